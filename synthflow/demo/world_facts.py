"""The facts of a demo problem: its quantities, as data that survives JSON.

Invariant: a problem is a small directed acyclic graph. Every quantity is either *given* (a number that is
written in the prompt) or *derived* (a signed sum, a product or an exact quotient of earlier quantities), the
list is in topological order, every value is an integer, and the target is the last thing that has to be
known. Everything else in the demo world (wording, reference solutions, the step checker) is computed from
this graph and from nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

OPS = ("sum", "mul", "div")


@dataclass(frozen=True, slots=True)
class Quantity:
    """One quantity. `op` is "given" or one of OPS; `args` are indices of earlier quantities.

    signs: +1 or -1 for each argument of a sum (all +1 otherwise). say: key of the sentence pool that tells
    about this quantity in a solution; who, what: its slots.
    """

    value: int
    op: str = "given"
    args: tuple[int, ...] = ()
    signs: tuple[int, ...] = ()
    say: str = ""
    who: str = ""
    what: str = ""

    @property
    def n_ops(self) -> int:
        """Binary operations needed to derive it from its arguments."""
        return max(0, len(self.args) - 1)


@dataclass(frozen=True, slots=True)
class Facts:
    """All quantities of one problem in topological order, and the index of the one that is asked for.

    ordered: whether a solution has to go through these quantities, as a ledger through its balances; else the terms of
    a sum may be taken in any order.
    """

    quantities: tuple[Quantity, ...]
    target: int
    ordered: bool = False

    @property
    def gold(self) -> int:
        return self.quantities[self.target].value

    def needed(self) -> list[int]:
        """Indices of the derived quantities on which the target depends (itself included), ascending."""
        seen: set[int] = set()
        stack = [self.target]
        while stack:
            i = stack.pop()
            if i not in seen:
                seen.add(i)
                stack.extend(self.quantities[i].args)
        return sorted(i for i in seen if self.quantities[i].op != "given")

    @property
    def n_ops(self) -> int:
        return sum(self.quantities[i].n_ops for i in self.needed())

    def to_json(self) -> dict[str, Any]:
        rows: list[dict[str, Any]] = []
        for q in self.quantities:
            if q.op == "given":
                rows.append({"value": q.value})
                continue
            row: dict[str, Any] = {"value": q.value, "op": q.op, "args": list(q.args), "say": q.say}
            if q.op == "sum":
                row["signs"] = list(q.signs)
            row.update({k: v for k, v in (("who", q.who), ("what", q.what)) if v})
            rows.append(row)
        return {"quantities": rows, "target": self.target} | ({"ordered": True} if self.ordered else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Facts:
        """Inverse of `to_json`. Raises ValueError or KeyError when the data is not a valid graph."""
        out: list[Quantity] = []
        for i, row in enumerate(data["quantities"]):
            op = row.get("op", "given")
            args = tuple(int(a) for a in row.get("args", ()))
            if op != "given" and (op not in OPS or len(args) < 2 or any(not 0 <= a < i for a in args)):
                raise ValueError(f"quantity {i}: bad op or arguments")
            signs = tuple(int(s) for s in row.get("signs", (1,) * len(args)))
            if len(signs) != len(args) or any(s not in (1, -1) for s in signs):
                raise ValueError(f"quantity {i}: bad signs")
            if op == "div" and len(args) != 2:
                raise ValueError(f"quantity {i}: a quotient has two arguments")
            out.append(
                Quantity(
                    int(row["value"]),
                    op,
                    args,
                    signs,
                    row.get("say", ""),
                    row.get("who", ""),
                    row.get("what", ""),
                )
            )
        target = int(data["target"])
        if not 0 <= target < len(out):
            raise ValueError("target is not a quantity")
        return cls(tuple(out), target, bool(data.get("ordered", False)))


@dataclass(slots=True)
class FactsBuilder:
    """Collects quantities while a family tells its story; values are computed, never passed in."""

    quantities: list[Quantity] = field(default_factory=list)

    def given(self, value: int) -> int:
        self.quantities.append(Quantity(value))
        return len(self.quantities) - 1

    def total(
        self,
        args: Sequence[int],
        signs: Sequence[int] | None = None,
        *,
        say: str,
        who: str = "",
        what: str = "",
    ) -> int:
        """A signed sum; of a single argument it is that argument itself."""
        if len(args) == 1:
            return args[0]
        signs = tuple(signs) if signs is not None else (1,) * len(args)
        value = sum(s * self.value(a) for s, a in zip(signs, args, strict=True))
        return self._add(Quantity(value, "sum", tuple(args), signs, say, who, what))

    def times(self, left: int, right: int, *, say: str, who: str = "", what: str = "") -> int:
        value = self.value(left) * self.value(right)
        return self._add(Quantity(value, "mul", (left, right), (1, 1), say, who, what))

    def quotient(self, left: int, right: int, *, say: str, who: str = "", what: str = "") -> int:
        value, rest = divmod(self.value(left), self.value(right))
        if rest:
            raise ValueError("a quotient of the demo world is exact")
        return self._add(Quantity(value, "div", (left, right), (1, 1), say, who, what))

    def value(self, index: int) -> int:
        return self.quantities[index].value

    def build(self, target: int, *, ordered: bool = False) -> Facts:
        return Facts(tuple(self.quantities), target, ordered)

    def _add(self, quantity: Quantity) -> int:
        self.quantities.append(quantity)
        return len(self.quantities) - 1
