"""Reference solutions: many valid ways to walk from the given numbers to the target.

Invariant: a solution is a list of lines, one binary operation with its true result in each, then the line
with the boxed answer; so it has exactly n_ops + 1 lines whatever the strategy. Two strategies differ in the
order in which quantities are derived and in how a signed sum is associated, never in what is true.
"""

from __future__ import annotations

import random

from synthflow.demo.world_facts import Facts, Quantity
from synthflow.demo.world_words import FINAL_LINES, STEP_LINES

SUM_STYLES = ("story", "gains_first", "net", "losses_grouped")


def solve(facts: Facts, rng: random.Random) -> list[str]:
    """One random valid solution as lines (without line ends)."""
    lines: list[str] = []
    for index in _order(facts, rng):
        lines.extend(_derive(facts, facts.quantities[index], rng))
    lines.append(rng.choice(FINAL_LINES).format(gold=facts.gold))
    return lines


def _order(facts: Facts, rng: random.Random) -> list[int]:
    """A random topological order of the needed quantities; half of the time the order of the story."""
    needed = facts.needed()
    if rng.random() < 0.5:
        return needed
    open_, done, out = set(needed), {i for i, q in enumerate(facts.quantities) if q.op == "given"}, []
    while open_:
        ready = sorted(i for i in open_ if all(a in done for a in facts.quantities[i].args))
        pick = rng.choice(ready)
        open_.remove(pick)
        done.add(pick)
        out.append(pick)
    return out


def _derive(facts: Facts, q: Quantity, rng: random.Random) -> list[str]:
    values = [facts.quantities[a].value for a in q.args]
    if q.op != "sum":
        left, right = values
        if q.op == "mul" and rng.random() < 0.3:
            left, right = right, left
        return [_line(q, q.say, left, "*" if q.op == "mul" else "/", right, q.value, rng)]
    return _sum_lines(q, values, rng)


def _sum_lines(q: Quantity, values: list[int], rng: random.Random) -> list[str]:
    """The lines of a signed sum, associated in one of SUM_STYLES; no partial result is negative."""
    terms = list(zip(q.signs, values, strict=True))
    plus = [v for s, v in terms if s > 0]
    minus = [v for s, v in terms if s < 0]
    styles = ["story"]
    if len(terms) > 2:
        styles.append("gains_first")
        if len(plus) > 2:
            styles.append("net")
        if len(minus) > 1:
            styles.append("losses_grouped")
    style = rng.choice(styles)
    if style == "story" and not _runs_positive(terms):
        style = "gains_first"
    if style == "gains_first":
        head, rest = plus[:1], plus[1:]
        if rng.random() < 0.5:
            head, rest = plus[-1:], plus[:-1]
        terms = [(1, v) for v in head + rest] + [(-1, v) for v in minus]
    out: list[str] = []
    if style == "net":
        gains = _fold(q, [(1, v) for v in plus[1:]], q.say + "+", out, rng)
        terms = [(1, plus[0]), (1, gains)] + [(-1, v) for v in minus]
    if style == "losses_grouped" or (style == "net" and len(minus) > 1):
        losses = _fold(q, [(1, v) for v in minus], q.say + "-", out, rng)
        terms = [t for t in terms if t[0] > 0] + [(-1, losses)]
    _fold(q, terms, q.say, out, rng)
    return out


def _runs_positive(terms: list[tuple[int, int]]) -> bool:
    total = 0
    for sign, value in terms:
        total += sign * value
        if total < 0:
            return False
    return True


def _fold(q: Quantity, terms: list[tuple[int, int]], say: str, out: list[str], rng: random.Random) -> int:
    total = terms[0][1]
    for sign, value in terms[1:]:
        result = total + sign * value
        out.append(_line(q, say, total, "+" if sign > 0 else "-", value, result, rng))
        total = result
    return total


def _line(q: Quantity, say: str, left: int, op: str, right: int, result: int, rng: random.Random) -> str:
    pool = STEP_LINES[say]
    return rng.choice(pool).format(eq=f"{left} {op} {right} = {result}", who=q.who, what=q.what)
