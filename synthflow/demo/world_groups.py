"""Families that tell about several people: production, comparisons, exchange.

Invariant: as in `world_families.py`, the target takes exactly `n_ops` operations for every n_ops from 1 to 8.
"""

from __future__ import annotations

from synthflow.demo.world_facts import Facts
from synthflow.demo.world_story import Story, split_terms


def production(s: Story, n_ops: int) -> Facts:
    """Workers with rates and hours; some of the product breaks, the rest is packed or sold."""
    tail = s.rng.choice(["", "pack", "sell"]) if n_ops > 1 else ""
    broken = n_ops > 2 and s.rng.random() < 0.4
    n_terms, n_products = split_terms(s.rng, n_ops - bool(tail) - broken)
    people, what = s.cast(n_terms)
    kinds = [True] * n_products + [False] * (n_terms - n_products)
    s.rng.shuffle(kinds)
    terms: list[int] = []
    for who, kind in zip(people, kinds, strict=True):
        if kind:
            (left, x), (right, y) = s.number(2, 9), s.number(2, 9)
            terms.append(s.facts.times(left, right, say="made", who=who, what=what))
            s.tell("worker_rate", who=who, x=x, y=y, what=what)
        else:
            index, x = s.number(4, 30)
            terms.append(index)
            s.tell("worker_one", who=who, x=x, what=what)
    signs = [1] * len(terms)
    if broken:
        index, x = s.number(1, 10)
        terms.append(index)
        signs.append(-1)
        s.tell("broken", x=x, what=what)
    total = s.facts.total(terms, signs, say="sum", what=what)
    if tail == "pack":
        divisors = [k for k in range(2, 10) if s.facts.value(total) % k == 0 and k < s.facts.value(total)]
        if not divisors:
            raise ValueError("the product does not fill whole boxes")
        k = s.rng.choice(divisors)
        s.tell("pack", x=k, what=what)
        s.tell("ask_boxes")
        return s.finish(s.facts.quotient(total, s.facts.given(k), say="boxes"))
    if tail == "sell":
        index, k = s.number(2, 4)
        s.tell("sell", x=k, what=what)
        s.tell("ask_income")
        return s.finish(s.facts.times(total, index, say="income"))
    s.tell("ask_total", what=what)
    return s.finish(total)


def comparisons(s: Story, n_ops: int) -> Facts:
    """A chain or tree of 'more than', 'fewer than', 'times as many'; one of them or a group is asked for."""
    n_links = s.rng.randint((n_ops + 1) // 2, min(n_ops, 5))
    n_group = n_ops - n_links + 1
    people, what = s.cast(n_links + 1)
    index, x = s.number(4, 20)
    s.tell("start", who=people[0], x=x, what=what)
    owned = [index]
    for i in range(1, n_links + 1):
        base = i - 1 if n_group == 1 or s.rng.random() < 0.6 else s.rng.randrange(i)
        slots = {"who": people[i], "what": what}
        have = s.facts.value(owned[base])
        kind = s.rng.choice(["more", "fewer", "times"])
        if (kind == "fewer" and have < 6) or (kind == "times" and have > 60):
            kind = "more"
        if kind == "times":
            index, x = s.number(2, 4)
            owned.append(s.facts.times(owned[base], index, say="own", **slots))
        else:
            index, x = s.number(2, 20) if kind == "more" else s.number(2, min(20, have - 2))
            owned.append(s.facts.total([owned[base], index], [1, 1 if kind == "more" else -1], say="own", **slots))
        s.tell(kind, x=x, other=people[base], **slots)
    if n_group == 1:
        s.tell("ask_one", who=people[-1], what=what)
        return s.finish(owned[-1])
    # everyone who is no one's base must be in the group, or a link would not be needed
    used = {a for i in range(1, n_links + 1) for a in s.facts.quantities[owned[i]].args}
    group = [i for i, q in enumerate(owned) if q not in used]
    others = [i for i in range(n_links + 1) if i not in group]
    if len(group) > n_group:
        raise ValueError("too many ends for the group")
    group = sorted(group + s.rng.sample(others, n_group - len(group)))
    named = ", ".join(people[i] for i in group[:-1]) + f" and {people[group[-1]]}"
    s.tell("ask_group", what=what, group=named)
    return s.finish(s.facts.total([owned[i] for i in group], say="sum", what=what))


def exchange(s: Story, n_ops: int) -> Facts:
    """Two or three people give things to each other; one of them, or a difference, is asked for."""
    difference = n_ops > 1 and s.rng.random() < 0.5
    people, what = s.cast(3)
    first, second, third = people
    sums: dict[str, tuple[list[int], list[int]]] = {}
    left: dict[str, int] = {}
    for who in (first, second):
        index, x = s.number(10, 40)
        sums[who], left[who] = ([index], [1]), x
        s.tell("start", who=who, x=x, what=what)
    open_ops = n_ops - difference
    noise = s.rng.randint(0, 1) if n_ops > 2 and not difference else 0
    while open_ops or noise:
        kinds = ["noise"] * noise
        if open_ops:
            kinds += ["out", "in"] + (["give", "give"] if open_ops > 1 or not difference else [])
        kind = s.rng.choice(kinds)
        who, other = (first, second) if s.rng.random() < 0.5 else (second, first)
        if not difference and kind != "noise" and first not in (who, other if kind == "give" else who):
            who, other = first, second
        if kind == "noise":
            who, other = second, third
            noise -= 1
        if kind == "in" or left[who] < 6:
            if kind == "noise":
                continue
            index, x = s.number(2, 20)
            s.tell("gain", who=who, x=x, what=what)
            _move(sums, left, who, index, x)
            open_ops -= 1
            continue
        index, x = s.number(2, min(15, left[who] - 2))
        _move(sums, left, who, index, -x)
        if kind == "out":
            s.tell("loss", who=who, x=x, what=what)
            open_ops -= 1
        else:
            s.tell("give", who=who, other=other, x=x, what=what)
            if other in left:
                _move(sums, left, other, index, x)
            if kind == "give":
                open_ops -= 2 if difference else 1
    if not difference:
        s.tell("ask_has", who=first, what=what)
        return s.finish(s.facts.total(*sums[first], say="has", who=first, what=what))
    more, less = (first, second) if left[first] > left[second] else (second, first)
    s.tell("ask_more", who=more, other=less, what=what)
    ends = [s.facts.total(*sums[who], say="has", who=who, what=what) for who in (more, less)]
    return s.finish(s.facts.total(ends, [1, -1], say="diff", who=more, what=what))


def _move(sums: dict[str, tuple[list[int], list[int]]], left: dict[str, int], who: str, index: int, delta: int) -> None:
    args, signs = sums[who]
    args.append(index)
    signs.append(1 if delta > 0 else -1)
    left[who] += delta
