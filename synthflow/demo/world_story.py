"""The teller: writes the sentences of one problem in the wording of one split.

Invariant: every sentence of a problem comes from the pools of its split and every (name, object) pair that
shares a sentence is a pair of that split; `template` records which patterns were used, in order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from synthflow.demo.world_facts import Facts, FactsBuilder
from synthflow.demo.world_words import CONTAINERS, NAMES, OBJECTS, Split, pair_is_heldout, patterns


@dataclass(slots=True)
class Story:
    """State while one problem is told: random numbers, the facts so far, the sentences so far."""

    rng: random.Random
    split: Split
    n_ops: int
    facts: FactsBuilder = field(default_factory=FactsBuilder)
    lines: list[str] = field(default_factory=list)
    template: list[str] = field(default_factory=list)

    def tell(self, slot: str, **slots: object) -> None:
        pool = patterns(slot, self.split)
        pick = self.rng.randrange(len(pool))
        self.lines.append(pool[pick].format(**slots))
        self.template.append(f"{slot}.{pick}")

    def draw(self, low: int, high: int) -> int:
        """A number from low to at most high; short problems have smaller ones, so difficulty grows with n_ops."""
        share = min(1.0, 0.25 + 0.15 * self.n_ops)
        return self.rng.randint(low, low + round(share * (high - low)))

    def number(self, low: int, high: int) -> tuple[int, int]:
        """A new given quantity: (its index in the facts, its value)."""
        value = self.draw(low, high)
        return self.facts.given(value), value

    def cast(self, n: int) -> tuple[list[str], str]:
        """n different names and one object, every pair of this split."""
        obj = self.rng.choice(OBJECTS)
        names = [name for name in NAMES if self._fits(name, obj)]
        return self.rng.sample(names, n), obj

    def wares(self, n: int) -> tuple[str, list[str]]:
        """One name and n different objects, every pair of this split."""
        name = self.rng.choice(NAMES)
        return name, self.rng.sample([obj for obj in OBJECTS if self._fits(name, obj)], n)

    def pairs(self, n: int) -> list[tuple[str, str]]:
        """n pairs of a name and an object, no name and no object twice, every pair of this split.

        Raises ValueError when the draw leaves an object without a name.
        """
        names, out = self.rng.sample(NAMES, len(NAMES)), []
        for obj in self.rng.sample(OBJECTS, n):
            name = next((name for name in names if self._fits(name, obj)), None)
            if name is None:
                raise ValueError("no name is left for an object")
            names.remove(name)
            out.append((name, obj))
        return out

    def containers(self) -> list[str]:
        return self.rng.sample(CONTAINERS, len(CONTAINERS))

    def finish(self, target: int) -> Facts:
        return self.facts.build(target)

    def _fits(self, name: str, obj: str) -> bool:
        return pair_is_heldout(name, obj) == (self.split == "heldout")


def split_terms(rng: random.Random, n_ops: int, most: int = 5) -> tuple[int, int]:
    """Divides n_ops into a sum of `terms` of which `products` are products: products + terms - 1 = n_ops."""
    terms = rng.randint((n_ops + 2) // 2, min(n_ops + 1, most))
    return terms, n_ops - terms + 1
