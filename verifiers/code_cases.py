"""What a test of a program is.

Invariant: what is expected is kept apart from what a program is given, because only the latter may enter its process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Applied to plain values in our process; none of them can be made to take long by a value of bounded size.
WRAPPERS: dict[str, Callable[[Any], Any]] = {
    **{"set": set, "sorted": sorted, "list": list, "tuple": tuple, "len": len, "sum": sum, "abs": abs},
    **{"max": max, "min": min, "frozenset": frozenset, "round": round, "dict": dict, "bool": bool},
}
HASHING = ("set", "frozenset")


class BadTests(ValueError):
    """The tests cannot be read, or cannot be asked without showing the program what is expected."""


@dataclass(frozen=True, slots=True)
class StdinTest:
    """The program reads `stdin` and has to print `expected`."""

    stdin: str
    expected: str


@dataclass(frozen=True, slots=True)
class CallTest:
    """The function `name` is called and has to return `expected`, a plain value, or one of `also`.

    `how`: `equal`; `is` or `is not`; `true` or `false`, for what has to be so as a condition; `close` or `close_abs`,
    within `tolerance`; or a comparison such as `!=` or `<`. With `lenient` a tuple equals a list, since JSON has no
    tuples. `wrap` names functions of `WRAPPERS` that are applied to the result first, the innermost first.
    """

    name: str
    args: Sequence[Any]
    expected: Any = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    how: str = "equal"
    tolerance: float = 0.0
    lenient: bool = True
    wrap: tuple[str, ...] = ()
    also: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceTest:
    """Python that tests functions of the program, run in a process of its own, which asks for their results.

    `name` is what `candidate` stands for; `setup` runs first and may define what the tests use.
    """

    source: str
    name: str | None = None
    setup: str = ""
    names: tuple[str, ...] = ()


Test = StdinTest | CallTest | SourceTest


@dataclass(frozen=True, slots=True)
class Problem:
    """The tests of a problem; where a shape can be read in two ways, `readings` has both, the likelier first.

    `before` is code that stands before the program, such as HumanEval's prompt.
    """

    readings: tuple[tuple[Test, ...], ...]
    before: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """What the tests call; none if the program is a script."""
        found: dict[str, None] = {}
        for test in self.readings[0]:
            if isinstance(test, CallTest):
                found |= dict.fromkeys(test.name.split("."))
            elif isinstance(test, SourceTest):
                found |= dict.fromkeys(test.names)
        return tuple(found)
