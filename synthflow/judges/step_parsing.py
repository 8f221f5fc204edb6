"""What a judge says about the steps of a solution: the index of the earliest error, or a score for each step.

Invariants: those of `readings`. An index is a whole number from -1 (no error) to the last step; scores are one finite
number on the scale for every step. Anything else is nothing, with the problem in words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from synthflow.judges.parsing import Answer, Layout, ParsedJudgement, number_on_scale, value_in_object
from synthflow.verifiers.answers.finding.extract import after_thinking

NO_ERROR = -1

_SCORED = re.compile(r"[\s*_`#>-]*score of step[ \t]{0,8}([0-9]{1,6})[ \t*_`]*[:：](.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EarliestError:
    """The index of the earliest error in a solution of `n_steps` steps; -1 where there is none."""

    n_steps: int
    layout: Layout = "line"

    def instruction(self) -> str:
        what = f"the index, a whole number from 0 to {self.n_steps - 1}, or -1 if there is no error"
        if self.layout == "json":
            return (
                'Answer with one JSON object and nothing else. Its key "reason" holds your reasons in a sentence, '
                f'its key "earliest" holds {what}.'
            )
        return f"Give your reasons first. The last line must be Earliest: followed by {what}, and nothing else."

    def read(self, completion: str) -> ParsedJudgement:
        answer = Answer("Earliest", scale=(float(NO_ERROR), float(self.n_steps - 1)), layout=self.layout)
        reading = answer.read(completion)
        if isinstance(reading.value, float) and not reading.value.is_integer():
            return ParsedJudgement(None, f"{reading.value:g} is no index")
        return reading


@dataclass(frozen=True, slots=True)
class StepScores:
    """A score on `scale` (both ends included) for each of `n_steps` steps, in their order."""

    n_steps: int
    scale: tuple[float, float]
    layout: Layout = "line"

    def instruction(self) -> str:
        what = f"a number from {self.scale[0]:g} to {self.scale[1]:g}"
        if self.layout == "json":
            return (
                'Answer with one JSON object and nothing else. Its key "reason" holds your reasons in a sentence, '
                f'its key "scores" holds a list of {self.n_steps} numbers, one for each step, each {what}.'
            )
        return (
            f"Give your reasons first. Then end with {self.n_steps} lines, one for each step from 0 to "
            f"{self.n_steps - 1}: Score of step 0: followed by {what}, and so on. Nothing may follow them."
        )

    def read(self, completion: str) -> ParsedJudgement:
        text = after_thinking(completion).strip()
        if not text:
            return ParsedJudgement(None, "empty")
        return self._read_json(text) if self.layout == "json" else self._read_lines(text)

    def _read_lines(self, text: str) -> ParsedJudgement:
        lines = [line for line in text.splitlines() if line.strip()]
        stated = [_SCORED.fullmatch(line) for line in lines]
        if stated[-1] is None:
            return ParsedJudgement(None, "the last line does not begin with Score of step")
        number = Answer("Score", scale=self.scale)
        found: dict[int, float] = {}
        for match in stated:
            if match is None:
                continue
            step, reading = int(match.group(1)), number.read(f"Score: {match.group(2)}")
            if not isinstance(reading.value, float):
                return ParsedJudgement(None, f"step {step}: {reading.problem}")
            if found.setdefault(step, reading.value) != reading.value:
                return ParsedJudgement(None, f"several scores of step {step} contradict each other")
        return self._all(found)

    def _all(self, found: dict[int, float]) -> ParsedJudgement:
        unknown = next((step for step in found if step >= self.n_steps), None)
        if unknown is not None:
            return ParsedJudgement(None, f"there is no step {unknown}")
        missing = next((step for step in range(self.n_steps) if step not in found), None)
        if missing is not None:
            return ParsedJudgement(None, f"step {missing} has no score")
        return ParsedJudgement(tuple(found[step] for step in range(self.n_steps)))

    def _read_json(self, text: str) -> ParsedJudgement:
        values, problem = value_in_object(text, "scores")
        if problem is not None:
            return ParsedJudgement(None, problem)
        if not isinstance(values, list) or len(values) != self.n_steps:
            return ParsedJudgement(None, f"'scores' holds no list of {self.n_steps}")
        readings = [number_on_scale(value, "scores", self.scale) for value in values]
        lost = next((reading for reading in readings if reading.value is None), None)
        if lost is not None:
            return lost
        return ParsedJudgement(tuple(reading.value for reading in readings if isinstance(reading.value, float)))
