"""The reference checker: the ground truth about every written step of a demo solution.

Invariant: a judgement depends on the problem's facts and on the steps up to and including the judged one,
never on later steps, and no input, however hostile, raises or takes more than bounded time.

What *right* means. A step is right when every equation in it

1. is arithmetically true,
2. has operands that are reachable: given numbers, or results of earlier steps that were right (or the small
   whole numbers 0..9, where they make sense as counts), and
3. lies on a path to the target: as a polynomial in the givens its result is a part of the target, that is
   target = ±(result * factor) + further terms, with nothing to be undone on the way; where the facts are ordered
   (a ledger), its result is one of their quantities.

A boxed answer is right when it is the gold answer and the target has been derived by then. Order and
association are free (unless the facts are ordered), several operations may stand in one line, and stating something
right again is right (`redundant`). Only equations and answers are judged; names and units in the sentence are not. A
detour that adds something in order to take it away again is judged as off the path.

What *wrong* means, in `error_kind`; the first one that applies names the step:

- `gibberish`: an equation that cannot be read, or neither words nor an equation;
- `wrong_operation`: the operands are reachable and another one of + - * / between them would lead on;
- `wrong_quantity`: an operand that is no reachable number, or reachable ones that do not belong together;
- `arithmetic_slip`: what is computed is on the path, but the written result is not its value;
- `inherited`: the step is faithful and true in itself, but builds on an earlier wrong value;
- `skipped_step`: true and on the path, but an operand (or the answer) was never derived;
- `wrong_answer`: the answer is not the gold one and not what the steps led to.

`inherits_error` is separate: it tells that a step uses a value that came from an earlier wrong step, whether
or not it adds an error of its own. Where a value has several readings, the one in favour of the step counts.
After an error the intended quantity stays known (if it could be told), so later steps are still judged; when
it could not be told, anything true that builds on it counts as inherited.

*Unjudgeable* is not wrong: `no_equation` (a sentence without any claim that can be checked), `empty`,
`too_long` (over MAX_LINE characters, or after MAX_STEPS steps).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from synthflow.demo.checker_parse import MAX_LINE, Equation, Expr, apply_operation, read_line
from synthflow.demo.checker_poly import Poly, all_polys, combine, constant, symbol, useful
from synthflow.demo.world_facts import Facts

MAX_STEPS, MAX_READINGS, MAX_CANDIDATES, MAX_SUM = 256, 400, 16, 10
Verdict = Literal["right", "wrong", "unjudgeable"]
ERROR_KINDS = (
    "arithmetic_slip",
    "wrong_operation",
    "wrong_quantity",
    "skipped_step",
    "inherited",
    "wrong_answer",
    "gibberish",
)


@dataclass(frozen=True, slots=True)
class StepJudgement:
    """What the checker says of one step; `value` is the last number that the step states, if an integer."""

    index: int
    verdict: Verdict
    error_kind: str | None = None
    inherits_error: bool = False
    redundant: bool = False
    value: int | None = None

    @property
    def right(self) -> bool:
        return self.verdict == "right"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A number that the solution may use: what it means (None: not known) and whether it is to be trusted."""

    poly: Poly | None
    trust: Literal["clean", "tainted", "skipped"]


@dataclass(slots=True)
class _State:
    facts: Facts
    polys: list[Poly | None]
    target: Poly
    gold: Fraction
    known: dict[Fraction, list[_Entry]] = field(default_factory=dict)
    underived: dict[int, list[tuple[int, int]]] | None = None  # value -> (sum quantity, mask of its terms)

    def add(self, value: Fraction, poly: Poly | None, *, clean: bool) -> None:
        entry = _Entry(poly, "clean" if clean else "tainted")
        entries = self.known.setdefault(value, [])
        if entry not in entries:
            entries.append(entry)

    def leads(self, poly: Poly) -> bool:
        """Whether a result that means this is on the path."""
        if self.facts.ordered:
            return any(p == poly for q, p in zip(self.facts.quantities, self.polys, strict=True) if q.op != "given")
        return useful(poly, self.target)

    def knows(self, value: Fraction, poly: Poly) -> bool:
        return any(e.trust == "clean" and e.poly == poly for e in self.known.get(value, ()))


def check_steps(problem_metadata: Mapping[str, Any], steps: Sequence[str]) -> list[StepJudgement]:
    """One judgement for each step, in order; see the module's docstring for what the words mean.

    Raises ValueError or KeyError only when the metadata is not that of a demo problem.
    """
    state = _start(Facts.from_json(problem_metadata["facts"]))
    return [_judge(state, index, step) for index, step in enumerate(steps)]


def first_error(judgements: Sequence[StepJudgement]) -> int | None:
    """Index of the first wrong step; None when there is none (unjudgeable steps are not errors)."""
    return next((j.index for j in judgements if j.verdict == "wrong"), None)


def _start(facts: Facts) -> _State:
    polys = all_polys(facts)
    target = polys[facts.target]
    if target is None:
        raise ValueError("the target has no polynomial in the given quantities")
    state = _State(facts, polys, target, Fraction(facts.gold))
    for index, q in enumerate(facts.quantities):
        if q.op == "given":
            state.add(Fraction(q.value), symbol(index), clean=True)
    return state


def _underived(state: _State, value: Fraction) -> list[_Entry]:
    """What a number would mean that was not written before: a quantity, or a part of a sum, of the problem."""
    if state.underived is None:
        state.underived = {}
        for index, q in enumerate(state.facts.quantities):
            if q.op != "sum" or len(q.args) > MAX_SUM:
                state.underived.setdefault(q.value, []).append((index, -1))
                continue
            terms = [s * state.facts.quantities[a].value for s, a in zip(q.signs, q.args, strict=True)]
            for mask in range(1, 1 << len(terms)):
                total = abs(sum(t for i, t in enumerate(terms) if mask >> i & 1))
                state.underived.setdefault(total, []).append((index, mask))
    out: list[_Entry] = []
    found = state.underived.get(int(value), []) if value.denominator == 1 else []
    for index, mask in found[:MAX_CANDIDATES]:
        q = state.facts.quantities[index]
        poly: Poly | None = state.polys[index]
        if mask >= 0:
            poly, total = {}, 0
            for i, (sign, arg) in enumerate(zip(q.signs, q.args, strict=True)):
                if mask >> i & 1:
                    poly = combine("+" if sign > 0 else "-", poly, state.polys[arg])
                    total += sign * state.facts.quantities[arg].value
            poly = combine("-", {}, poly) if total < 0 else poly
        out.append(_Entry(poly, "skipped"))
    return out


def _judge(state: _State, index: int, step: str) -> StepJudgement:
    if index >= MAX_STEPS or len(step) > MAX_LINE:
        return StepJudgement(index, "unjudgeable", "too_long")
    if not step.strip():
        return StepJudgement(index, "unjudgeable", "empty")
    line = read_line(step)
    claims = [e for e in line.equations if e.expr.op or not e.consistent or e.expr.value != e.result]
    found = [_judge_equation(state, equation) for equation in claims]
    if line.malformed:
        found.append(_Finding("gibberish"))
    if line.has_answer:
        found.append(_judge_answer(state, line.answer))
    if not found:
        if line.words:
            return StepJudgement(index, "unjudgeable", "no_equation")
        return StepJudgement(index, "wrong", "gibberish")
    last = line.answer if line.has_answer else claims[-1].result if claims else None
    value = int(last) if last is not None and last.denominator == 1 else None
    kind = next((f.kind for f in found if f.kind), None)
    return StepJudgement(
        index,
        "wrong" if kind else "right",
        kind,
        any(f.inherits for f in found),
        all(f.redundant for f in found),
        value,
    )


@dataclass(frozen=True, slots=True)
class _Finding:
    kind: str | None
    inherits: bool = False
    redundant: bool = False


def _judge_equation(state: _State, equation: Equation) -> _Finding:
    """Judges one equation and adds its result to what later steps may use."""
    expr, result = equation.expr, equation.result
    true = equation.consistent and expr.value == result
    for trusts in (("clean",), ("clean", "tainted"), ("clean", "skipped")):
        readings = [(p, used) for p, used in _readings(state, expr, trusts) if p and state.leads(p)]
        if not readings:
            continue
        tainted = all(any(e.trust == "tainted" for _, e in used) for _, used in readings)
        if not true:
            for poly, _ in readings:
                state.add(result, poly, clean=False)
            return _Finding("arithmetic_slip", tainted)
        redundant = any(state.knows(result, poly) for poly, _ in readings)
        for poly, _ in readings:
            state.add(result, poly, clean=not tainted)
        if tainted:
            return _Finding("inherited", True)
        skipped = [(v, e) for _, used in readings for v, e in used if e.trust == "skipped"]
        for value, entry in skipped:
            state.add(value, entry.poly, clean=True)
        return _Finding("skipped_step" if skipped else None, False, redundant and not skipped)
    return _off_path(state, expr, result, true)


def _off_path(state: _State, expr: Expr, result: Fraction, true: bool) -> _Finding:
    """An equation that no reading puts on the path: inherited from something unknown, or an error of its own."""
    entries = [state.known.get(leaf.value, []) if leaf.value is not None else [] for leaf in expr.leaves()]
    tainted = [bool(e) and all(x.trust == "tainted" for x in e) for e in entries]
    vague = [any(x.trust == "tainted" and x.poly is None for x in e) for e in entries]
    if any(vague) and all(entries):
        state.add(result, None, clean=False)
        return _Finding("inherited" if true else "arithmetic_slip", True)
    if expr.op and expr.left and expr.right and not expr.left.op and not expr.right.op:
        for op in "+-*/":
            for left, right in ((expr.left, expr.right), (expr.right, expr.left)):
                other = apply_operation(op, left, right)
                for poly, _ in _readings(state, other, ("clean", "tainted")):
                    new = poly and other.value is not None and not state.knows(other.value, poly)
                    if new and poly and state.leads(poly):
                        state.add(result, poly, clean=False)
                        return _Finding("wrong_operation", any(tainted))
    state.add(result, None, clean=False)
    return _Finding("wrong_quantity", any(tainted))


def _readings(
    state: _State, expr: Expr, trusts: Sequence[str]
) -> Iterator[tuple[Poly | None, list[tuple[Fraction, _Entry]]]]:
    """What an expression can mean: (its polynomial, the operands it used), at most MAX_READINGS of them."""
    options: list[list[tuple[Fraction, _Entry]]] = []
    for leaf in expr.leaves():
        value = leaf.value if leaf.value is not None else Fraction(-1)
        entries = [e for e in state.known.get(value, ()) if e.trust in trusts and e.poly is not None]
        if "skipped" in trusts:
            entries += _underived(state, value)
        if value.denominator == 1 and 0 <= value <= 9:
            entries.append(_Entry(constant(value), "clean"))
        options.append([(value, e) for e in entries[:MAX_CANDIDATES]])
    for pick in itertools.islice(itertools.product(*options), MAX_READINGS):
        yield _poly_of(expr, iter([e.poly for _, e in pick])), list(pick)


def _poly_of(expr: Expr, leaves: Iterator[Poly | None]) -> Poly | None:
    if expr.left is None or expr.right is None:
        return next(leaves)
    left = _poly_of(expr.left, leaves)
    return combine(expr.op, left, _poly_of(expr.right, leaves))


def _judge_answer(state: _State, answer: Fraction | None) -> _Finding:
    if answer is None:
        return _Finding("wrong_answer")
    entries = state.known.get(answer, [])
    if answer == state.gold:
        if state.knows(answer, state.target):
            return _Finding(None)
        return _Finding("skipped_step", any(e.trust == "tainted" for e in entries))
    if any(e.trust == "tainted" and e.poly in (None, state.target) for e in entries):
        return _Finding("inherited", True)
    return _Finding("wrong_answer", any(e.trust == "tainted" for e in entries))
