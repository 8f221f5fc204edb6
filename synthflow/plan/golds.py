"""How many gold answers of a source no verifier below it can read, before anything is sampled.

Invariants: a gold answer is counted only where every verify stage below that reads gold answers says that it cannot
read this one, in words of its own; of more than 5,000 problems those with the smallest ids are looked at, a simple
random sample that does not depend on the order of the input, and what is told says so. No worker starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from synthflow.contracts import Question, Verifier
from synthflow.contracts.foreign import told_in_one_line
from synthflow.rollouts.questions import question
from synthflow.stages.verify.registered import VerifyStage

if TYPE_CHECKING:
    from synthflow.spec.pipeline import Pipeline

MOST = 5000
EXAMPLES = 3
_COLUMNS = ("problem_id", "prompt", "answer", "metadata", "domain", "source")
_SHOWN = 100  # characters of a gold answer


@dataclass(frozen=True)
class UnreadGold:
    """A gold answer that no verifier can read, and why."""

    problem_id: str
    answer: str
    why: str


@dataclass(frozen=True)
class Golds:
    """What is known of a source's gold answers.

    Attributes:
        problems: all that the source brings; `looked_at` of them were read, `unparsable` of these cannot be.
        verifiers: the verify stages that were asked; none where no stage below reads gold answers.
    """

    problems: int
    looked_at: int = 0
    unparsable: int = 0
    verifiers: tuple[str, ...] = ()
    examples: tuple[UnreadGold, ...] = ()

    def note(self) -> str:
        """The count in words; empty where every gold answer can be read."""
        if not self.unparsable:
            return ""
        of = f"{self.unparsable:,} of {self.looked_at:,} gold answers"
        sampled = f" looked at (of {self.problems:,})" if self.problems > MOST else ""
        return f"{of}{sampled} cannot be read by {' or '.join(self.verifiers)}"


class GoldSample:
    """The problems of a source with the smallest ids, as far as it was read; `problems` counts all."""

    def __init__(self) -> None:
        self.problems = 0
        self._kept = pl.DataFrame()
        self._limit: Any = None

    def add(self, batch: pa.Table) -> None:
        self.problems += batch.num_rows
        frame = pl.from_arrow(batch.select(list(_COLUMNS)))
        assert isinstance(frame, pl.DataFrame)
        if self._limit is not None:
            frame = frame.filter(pl.col("problem_id") < self._limit)
        if frame.height:
            self._kept = pl.concat([self._kept, frame]) if self._kept.height else frame
        if self._kept.height > 2 * MOST:
            self._kept = self._kept.bottom_k(MOST, by="problem_id")
            self._limit = self._kept["problem_id"].max()

    def rows(self) -> pl.DataFrame:
        return self._kept.sort("problem_id").head(MOST) if self._kept.height else self._kept


def reads_golds_of(pipeline: Pipeline, source: str) -> dict[str, VerifyStage]:
    """The verify stages below a source that read gold answers, by name."""
    return {
        n.name: n.stage
        for n in pipeline.nodes
        if isinstance(n.stage, VerifyStage) and source in _above(pipeline, n.name) and _reads_golds(n.stage)
    }


def golds_of(pipeline: Pipeline, source: str, sample: GoldSample) -> Golds:
    """Ask the verify stages below a source about its gold answers."""
    asked = [*reads_golds_of(pipeline, source).values()]
    needed = all(stage.needs_answer for stage in asked)  # else what is to be met may stand in the metadata
    rows = [row for row in sample.rows().iter_rows(named=True) if row["answer"] is not None or not needed]
    if not asked or not rows:
        return Golds(sample.problems)
    faults = _faults(asked, [question("", "", row) for row in rows])
    bad = [
        UnreadGold(r["problem_id"], (r["answer"] or "")[:_SHOWN], why)
        for r, why in zip(rows, faults, strict=True)
        if why
    ]
    told = tuple(stage.verifier for stage in asked)
    return Golds(sample.problems, len(rows), len(bad), told, tuple(bad[:EXAMPLES]))


def _reads_golds(stage: VerifyStage) -> bool:
    return stage.needs_answer or stage.wrapped.gold_faults is not Verifier.gold_faults


def _faults(stages: Sequence[VerifyStage], questions: Sequence[Question]) -> list[str | None]:
    """Why no stage can read a gold answer, by the first stage; equal questions are asked once."""
    different = {replace(each, problem_id=""): each for each in questions}
    said = []
    for stage in stages:
        verifier = stage.own_verifier()
        try:
            with told_in_one_line(f"verifier {stage.verifier!r}, asked about gold answers,", verifier):
                faults = list(verifier.gold_faults(list(different)))
                if len(faults) != len(different):
                    raise ValueError(f"{len(faults)} answers to {len(different)} questions")
            missing = ["no gold answer" if stage.needs_answer and q.answer is None else None for q in different]
            said.append({q: none or fault for q, none, fault in zip(different, missing, faults, strict=True)})
        finally:
            verifier.close()
    return [
        said[0][key] if all(faults[key] for faults in said) else None
        for key in (replace(each, problem_id="") for each in questions)
    ]


def _above(pipeline: Pipeline, name: str) -> set[str]:
    above: set[str] = set()
    todo = list(pipeline[name].parents)
    while todo:
        parent = todo.pop()
        if parent not in above:
            above.add(parent)
            todo.extend(pipeline[parent].parents)
    return above
