"""What was asked and has no answer: it is told by name, and too much of it stops a run.

Invariants: every rollout without an answer has a row in `rejects` with the words of whoever refused it; a stage of
which more than `max_error_rate` has none stops the run before anything of whole scope is made of it, and is owed again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from synthflow.contracts import UNANSWERED, SampleRequest
from synthflow.errors import Incomplete
from synthflow.execute.error_rate import too_many
from synthflow.schema import REJECTS
from synthflow.stores.manifest import SAMPLED, Manifest
from synthflow.stores.results import Results
from synthflow.stores.shards import read_shard

UNASKED = "not asked"
"""Counts problems whose prompt the policy's own template refuses, beside finish_reasons."""
_WORDS = 400
"""Characters of a reason that are kept in `rejects`."""


class Heard:
    """What one unit of work was answered: who had no answer and why, and what was not as asked."""

    def __init__(self) -> None:
        self._without: dict[str, tuple[str, str]] = {}  # rollout_id -> problem_id, reason
        self.notes: Counter[str] = Counter()

    def add(self, requests: Sequence[SampleRequest], results: Results) -> None:
        for at in results.with_notes():
            self.notes.update(results[at].notes)
        for at, (request, ending) in enumerate(zip(requests, results.finish_reasons(), strict=True)):
            if ending in UNANSWERED:
                words = f"{ending}: {results[at].reason or 'no reason given'}"
                self._without[request.rollout_id] = (request.problem_id, words[:_WORDS])

    def rejects(self, outputs: Mapping[str, pa.Table], stage_id: str) -> pa.Table:
        """A row for each rollout of `outputs` that has no answer."""
        if not self._without or "rollouts" not in outputs:
            return REJECTS.empty()
        written = outputs["rollouts"].column("rollout_id").to_pylist()
        rows = [(rollout, *self._without[rollout]) for rollout in written if rollout in self._without]
        return REJECTS.from_rows(
            [
                {
                    "problem_id": problem,
                    "target_kind": "rollout",
                    "target_id": rollout,
                    "reason": words.encode("utf-8", "replace").decode(),
                    "score": None,
                    "stage_id": stage_id,
                }
                for rollout, problem, words in rows
            ]
        )


def endings(outputs: Mapping[str, pa.Table]) -> dict[str, int]:
    """Rows of a unit without an answer, by finish_reason."""
    columns = [outputs[name].column("finish_reason") for name in SAMPLED if name in outputs]
    counts: Counter[str] = Counter()
    for column in columns:
        for ending in UNANSWERED.intersection(pc.unique(column).to_pylist()):
            counts[ending] += column.to_pylist().count(ending)
    if "rollouts" in outputs and "rejects" in outputs:
        rejects = outputs["rejects"].select(["target_kind", "reason"]).to_pylist()
        counts[UNASKED] += sum(r["target_kind"] == "problem" and r["reason"].startswith("refused:") for r in rejects)
    return dict(sorted((+counts).items()))


def check_answers(manifest: Manifest, stages: Sequence[str], root: Path, most: float) -> None:
    """See that stages which are finished were answered; what was not is taken back, so that it is owed.

    Raises:
        Incomplete: with the first words, if more than `most` of a stage has no answer.
    """
    for stage in stages:
        units = manifest.graph.units(stage)
        commits = [commit for unit in units if (commit := manifest.find(stage, unit)) is not None]
        counts = Counter[str]()
        for commit in commits:
            counts.update(commit.unanswered)
        total = sum(commit.sampled for commit in commits) + counts[UNASKED]
        if not too_many(counts.total(), total, most):
            continue
        words = _first_words(manifest, stage, root)
        manifest.withdraw({stage: [commit.unit for commit in commits if commit.unanswered]})
        ended = ", ".join(f"{n} {ending}" for ending, n in counts.items())
        raise Incomplete(
            f"stage {stage!r}: {counts.total()} of {total} requests have no answer ({ended}), more than max_error_rate "
            f"{most:g}; the first said: {words}\n"
            "what was answered is kept; mend the server or the policy and run again: the others are asked again "
            "(to accept so many, raise execution.max_error_rate)"
        )


def _first_words(manifest: Manifest, stage: str, root: Path) -> str:
    for unit in manifest.graph.units(stage):
        commit = manifest.find(stage, unit)
        for shard in commit.shards if commit is not None and commit.unanswered else ():
            if shard.table == "rejects":
                for reason in read_shard(root, shard, ["reason"]).column("reason").to_pylist():
                    if str(reason).partition(":")[0] in UNANSWERED:
                        return str(reason)
    return "its words stand in artifacts.details"
