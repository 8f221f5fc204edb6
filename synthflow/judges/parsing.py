"""What a judge's completion says, read strictly in the format it was asked for.

Invariants: a reading is one of the declared choices, or a finite number on the declared scale, or nothing with the
problem in words; there is no default. Only the judge's own text after its last `</think>` is read. The last line that
is not blank must be the statement (`Score: 7`, `**Final score:** **7**/10`), and every other line that begins like one
must say the same; or, for JSON, the whole text or the fenced block that ends it must be one object whose key, in
capitals or not, holds the value once, and no other fenced block may say otherwise. Work is linear in the length of the
text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from synthflow.verifiers.answers.finding.extract import after_thinking

Layout = Literal["line", "json"]

_NUMBER = re.compile(r"[-+]?[0-9]{1,9}(?:\.[0-9]{1,9})?")
_OUT_OF = re.compile(r"([^/]{1,24}?)[ \t*_`]*/[ \t*_`]*([0-9]{1,9})")
_FENCE = re.compile(r"^[ \t]{0,3}```[ \t]*(\w*)[ \t]*$", re.MULTILINE)
_DRESSING = " \t\r*_`"  # what chat models set a statement in


@dataclass(frozen=True, slots=True)
class ParsedJudgement:
    """A choice, a score or several; None where nothing can be read, and then `problem` says why."""

    value: str | float | tuple[float, ...] | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a judge is asked to end with: `label` and one of `choices`, or a number on `scale` (both ends included)."""

    label: str
    choices: tuple[str, ...] = ()
    scale: tuple[float, float] | None = None
    layout: Layout = "line"

    def __post_init__(self) -> None:
        if bool(self.choices) == (self.scale is not None):
            raise ValueError("an answer is one of several choices or a number on a scale")

    def instruction(self) -> str:
        """The words that ask for it."""
        if self.scale is not None:
            what = f"a number from {self.scale[0]:g} to {self.scale[1]:g}"
        else:
            what = " or ".join(filter(None, (", ".join(self.choices[:-1]), self.choices[-1])))
        if self.layout == "json":
            return (
                f'Answer with one JSON object and nothing else. Its key "reason" holds your reasons in a sentence, '
                f'its key "{self.label.lower()}" holds {what}.'
            )
        return f"Give your reasons first. The last line must be {self.label}: followed by {what}, and nothing else."

    def read(self, completion: str) -> ParsedJudgement:
        """What a completion states."""
        text = after_thinking(completion).strip()
        if not text:
            return ParsedJudgement(None, "empty")
        return self._read_json(text) if self.layout == "json" else self._read_lines(text)

    def _read_lines(self, text: str) -> ParsedJudgement:
        begins = re.compile(rf"[\s*_`#>-]*(?:final[ \t]+)?{re.escape(self.label)}[ \t*_`]*[:：](.*)", re.IGNORECASE)
        lines = [line for line in text.splitlines() if line.strip()]
        stated = [begins.fullmatch(line) for line in lines]
        if stated[-1] is None:
            return ParsedJudgement(None, f"the last line does not begin with {self.label}:")
        readings = [self._value(match.group(1)) for match in stated if match is not None]
        for reading in readings:
            if reading.value is None:
                return reading
        if len({reading.value for reading in readings}) > 1:
            return ParsedJudgement(None, f"several lines begin with {self.label}: and contradict each other")
        return readings[-1]

    def _value(self, written: str) -> ParsedJudgement:
        text = written.strip(_DRESSING).removesuffix(".").strip(_DRESSING)
        if self.scale is None:
            folded = {choice.casefold(): choice for choice in self.choices}
            found = folded.get(text.casefold())
            if found is None:
                return ParsedJudgement(None, f"{self.label}: is followed by no choice")
            return ParsedJudgement(found)
        of = _OUT_OF.fullmatch(text)
        if of is not None and float(of.group(2)) == self.scale[1]:
            text = of.group(1)
        if not _NUMBER.fullmatch(text):
            return ParsedJudgement(None, f"{self.label}: is followed by no single number")
        return on_scale(float(text), self.scale)

    def _read_json(self, text: str) -> ParsedJudgement:
        value, problem = value_in_object(text, self.label.lower())
        if problem is not None:
            return ParsedJudgement(None, problem)
        if self.scale is None:
            return (
                ParsedJudgement(value)
                if value in self.choices
                else ParsedJudgement(None, f"{self.label.lower()!r} holds no choice")
            )
        return number_on_scale(value, self.label.lower(), self.scale)


def value_in_object(text: str, key: str) -> tuple[Any, str | None]:
    """What stands under `key` in a text that is one JSON object or ends in a fenced one, and else the problem."""
    blocks = _fenced(text.replace("\r\n", "\n").strip())
    if blocks is None:
        return _value(text, key)
    value, problem = _value(blocks[-1], key)
    if problem is None:
        for block in blocks[:-1]:
            other, unread = _value(block, key)
            if unread is None and (type(other), other) != (type(value), value):
                return None, f"several objects hold the key {key!r} and contradict each other"
    return value, problem


def _fenced(text: str) -> list[str] | None:
    """What the fenced blocks hold, where the text ends in one that is JSON; None where it does not."""
    fences = list(_FENCE.finditer(text))
    if len(fences) < 2 or len(fences) % 2 or fences[-1].end() != len(text):
        return None
    if fences[-2].group(1).lower() not in ("", "json") or any(fence.group(1) for fence in fences[1::2]):
        return None
    return [text[a.end() : b.start()] for a, b in zip(fences[::2], fences[1::2], strict=True)]


def _value(text: str, key: str) -> tuple[Any, str | None]:
    try:
        said = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except _Twice as error:
        return None, f"the key {str(error)[:40]!r} stands twice"
    except (ValueError, RecursionError):
        return None, "not one JSON object"
    held = [value for name, value in said.items() if name.casefold() == key] if isinstance(said, Mapping) else []
    if len(held) > 1:
        return None, f"the key {key!r} stands twice"
    return (held[0], None) if held else (None, f"no JSON object with the key {key!r}")


def number_on_scale(value: Any, key: str, scale: tuple[float, float]) -> ParsedJudgement:
    """A number out of JSON, if it is one and lies on the scale."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ParsedJudgement(None, f"{key!r} holds no number")
    if isinstance(value, float) and not math.isfinite(value):
        return ParsedJudgement(None, f"{key!r} holds no finite number")
    if abs(value) > 1e9:
        return ParsedJudgement(None, "the number is not on the scale")
    return on_scale(float(value), scale)


def on_scale(number: float, scale: tuple[float, float]) -> ParsedJudgement:
    low, high = scale
    if not low <= number <= high:
        return ParsedJudgement(None, f"{number:g} is not on the scale from {low:g} to {high:g}")
    return ParsedJudgement(number + 0.0)  # no negative zero


class _Twice(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Twice(key)
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
