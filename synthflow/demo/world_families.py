"""Families that tell about one person or one shop: transfers, purchases, packs, sharing.

Invariant: a family tells a problem whose target takes exactly `n_ops` binary operations, for every n_ops
from 1 to 8; it may leave numbers that the world refuses (see `world.py`), which then draws again.
"""

from __future__ import annotations

from synthflow.demo.world_facts import Facts
from synthflow.demo.world_story import Story, split_terms


def transfers(s: Story, n_ops: int) -> Facts:
    """A running total: one person, a start, then n_ops gains and losses."""
    (who,), what = s.cast(1)
    index, total = s.number(5, 40)
    s.tell("start", who=who, x=total, what=what)
    args, signs = [index], [1]
    for _ in range(n_ops):
        total = _event(s, who, what, total, args, signs)
    s.tell("ask_has", who=who, what=what)
    return s.finish(s.facts.total(args, signs, say="has", who=who, what=what))


def purchases(s: Story, n_ops: int) -> Facts:
    """A bill of several items, or what is left of a budget after it."""
    change = n_ops > 1 and s.rng.random() < 0.4
    if n_ops == 1:
        change = s.rng.random() < 0.3
    n_terms, n_products = split_terms(s.rng, n_ops - change)
    who, wares = s.wares(n_terms)
    kinds = [True] * n_products + [False] * (n_terms - n_products)
    s.rng.shuffle(kinds)
    rows = [(kind, s.draw(2, 9), s.draw(2, 9), s.draw(3, 20)) for kind in kinds]
    terms: list[int] = []
    if change:
        spent = sum(x * y if kind else one for kind, x, y, one in rows)
        budget = spent + s.draw(1, 20)
        terms.append(s.facts.given(budget))
        s.tell("budget", who=who, x=budget)
    for what, (kind, x, y, one) in zip(wares, rows, strict=True):
        if kind:
            left, right = s.facts.given(x), s.facts.given(y)
            terms.append(s.facts.times(left, right, say="cost", who=who, what=what))
            s.tell("item_mul", who=who, x=x, y=y, what=what)
        else:
            terms.append(s.facts.given(one))
            s.tell("item_one", who=who, x=one, what=what)
    s.tell("ask_change" if change else "ask_cost", who=who)
    if change:
        signs = [1] + [-1] * (len(terms) - 1)
        return s.finish(s.facts.total(terms, signs, say="change", who=who))
    return s.finish(s.facts.total(terms, say="bill", who=who))


def packs(s: Story, n_ops: int) -> Facts:
    """Things in containers and loose ones, some of them lost again."""
    n_losses = s.rng.randint(0, min(2, n_ops - 1))
    n_terms, n_products = split_terms(s.rng, n_ops - n_losses, most=len(s.containers()) + 1)
    n_products = min(n_products, 4)
    (who,), what = s.cast(1)
    kinds = [True] * n_products + [False] * (n_terms - n_products)
    s.rng.shuffle(kinds)
    terms, boxes = [], s.containers()
    for kind in kinds:
        if kind:
            (left, x), (right, y), box = s.number(2, 9), s.number(2, 9), boxes.pop()
            terms.append(s.facts.times(left, right, say="packed", who=box, what=what))
            s.tell("packs", who=who, x=x, y=y, what=what, box=box)
        else:
            index, x = s.number(3, 20)
            terms.append(index)
            s.tell("loose", who=who, x=x, what=what)
    signs, total = [1] * len(terms), sum(s.facts.value(t) for t in terms)
    for _ in range(n_losses):
        index, x = s.number(1, max(1, min(20, total - 1)))
        total -= x
        terms.append(index)
        signs.append(-1)
        s.tell("loss", who=who, x=x, what=what)
    s.tell("ask_has", who=who, what=what)
    return s.finish(s.facts.total(terms, signs, say="has", who=who, what=what))


def sharing(s: Story, n_ops: int) -> Facts:
    """Several bring things, the pool is shared equally, and one of the friends goes on with the share."""
    n_after = s.rng.randint(0, min(3, n_ops - 1))
    n_terms = n_ops - n_after
    people, what = s.cast(min(n_terms, 5) + 1)
    hero = people.pop()
    args, signs, total = [], [], 0
    for i in range(n_terms):
        if i and total > 10 and s.rng.random() < 0.25:
            index, x = s.number(1, min(20, total - 5))
            s.tell("broken", x=x, what=what)
            args.append(index)
            signs.append(-1)
            total -= x
        else:
            index, x = s.number(6, 30)
            s.tell("bring", who=people[i % len(people)], x=x, what=what)
            args.append(index)
            signs.append(1)
            total += x
    pool = s.facts.total(args, signs, say="sum", what=what)
    divisors = [k for k in range(2, 10) if total % k == 0 and k < total]
    if not divisors:
        raise ValueError("the pool cannot be shared equally")
    k = s.rng.choice(divisors)
    s.tell("share", x=k, what=what)
    share = s.facts.quotient(pool, s.facts.given(k), say="share", what=what)
    if not n_after:
        s.tell("ask_share", what=what)
        return s.finish(share)
    s.tell("one_of", who=hero)
    args, signs, total = [share], [1], total // k
    for _ in range(n_after):
        total = _event(s, hero, what, total, args, signs)
    s.tell("ask_has", who=hero, what=what)
    return s.finish(s.facts.total(args, signs, say="has", who=hero, what=what))


def _event(s: Story, who: str, what: str, total: int, args: list[int], signs: list[int]) -> int:
    """Tells one gain or loss of `who`, appends it to the sum, and returns the new total (at least 1)."""
    gain = total < 8 or s.rng.random() < 0.5
    index, x = s.number(2, 20) if gain else s.number(2, min(20, total - 2))
    s.tell("gain" if gain else "loss", who=who, x=x, what=what)
    args.append(index)
    signs.append(1 if gain else -1)
    return total + x if gain else total - x
