"""Families of the long world: till and purse, money that comes and goes eight to sixteen times.

Invariant: a family tells a problem of exactly `n_ops` events in the order of their sentences, every one an addition
or a subtraction of a small number to what was there before, so that a single step is easy and only their number makes
a problem hard. Each event has a name and an object of its own, by which a solution tells which one it is at. No two
events have one amount and every balance is above all amounts and has two digits, so that an equation has one reading,
and the checker does not take a wrong one for another event's; every balance is a quantity of the facts, which are
ordered: an event that is left out is a wrong step, and not only a wrong answer in the end.

Both are the same sum seen from the two sides of the counter: in `till` the people buy and the shop gains, in `purse`
*they* buy and lose; a solution names the person in the one and the goods in the other.
"""

from __future__ import annotations

from synthflow.demo.world_facts import Facts
from synthflow.demo.world_story import Story

LEAST, MOST = 2, 25  # of one event
LOW, HIGH = MOST + 1, 99  # of every balance


def till(s: Story, n_ops: int) -> Facts:
    """What a shop has after its customers have bought and sold."""
    return _balance(s, n_ops, "till", told=True)


def purse(s: Story, n_ops: int) -> Facts:
    """What some people have left after they have bought and sold."""
    return _balance(s, n_ops, "purse", told=False)


def _balance(s: Story, n_ops: int, slot: str, *, told: bool) -> Facts:
    """The story; `told` says whether the solution names the person (else the goods)."""
    index, start = s.number(LOW, HIGH)
    s.tell(slot, x=start)
    amounts = s.rng.sample(range(LEAST, MOST + 1), n_ops)
    for (who, what), x in zip(s.pairs(n_ops), amounts, strict=True):
        total = s.facts.value(index)
        gain = total - x < LOW or (total + x <= HIGH and s.rng.random() < 0.5)
        event = s.facts.given(x)
        s.tell(f"{slot}_in" if gain else f"{slot}_out", who=who, what=what, x=x)
        names = {"who": who} if told else {"what": what}
        index = s.facts.total([index, event], [1, 1 if gain else -1], say=slot, **names)
    s.tell(f"ask_{slot}")
    return s.finish(index, ordered=True)
