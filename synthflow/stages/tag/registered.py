"""`tag.x` of every registered verifier `x`: 1 where it says correct, 0 where it says wrong, null where it cannot tell.

Invariant: a tag is a measure. No pass rate, no pair and no release takes it for a verdict on the answer, however many
of them stand above: whether a rollout says `wait` is no word on whether it is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from synthflow import ids
from synthflow.contracts import Inputs, Services, StageConfig, StageInfo, Verifier
from synthflow.rollouts.adapted import ADAPTER_VERSION, AdaptedStage
from synthflow.rollouts.questions import problems_by_id
from synthflow.rollouts.score_rows import Scorer, plain_measure_row
from synthflow.rollouts.verdicts import Judging, ToJudge
from synthflow.schema import SCORES


class TagConfig(StageConfig):
    """What every tag stage has besides its verifier's own fields."""

    truncated: Literal["unknown", "wrong", "judge"] = Field(
        "judge", description="what a rollout that ended at the token limit has: null, 0, or what the verifier finds"
    )


class TagStage(AdaptedStage):
    """Measures of one verifier on the nearest rollouts; `stage_class` binds the verifier."""

    verifier: ClassVar[str]
    wrapped: ClassVar[type[Verifier]]
    reads = ("rollouts", "problems")
    writes = ("scores",)

    @classmethod
    def resolve_paths(cls, given: Mapping[str, Any], base_dir: Path) -> dict[str, Any]:
        return cls.wrapped.resolve_paths(given, base_dir)

    def _own_verifier(self) -> Verifier:
        return self.wrapped(self.wrapped.Config.model_validate(self.own_config()))

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        return self._own_verifier().check()

    def identity(self) -> Mapping[str, Any]:
        verifier = self._own_verifier()
        said = verifier.identity()
        verifier.close()
        return dict.fromkeys(self.own) | dict(said.model_dump(mode="json") if hasattr(said, "model_dump") else said)

    def full_version(self) -> str:
        verifier = self._own_verifier()
        try:
            return f"{ADAPTER_VERSION}+{verifier.full_version()}"
        finally:
            verifier.close()

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Scores of kind measure, one a rollout; elapsed seconds go to telemetry."""
        columns = ["rollout_id", "problem_id", "completion", "finish_reason", "condition"]
        rollouts, rejects = self.standing(inputs, columns, services.stage_id)
        problems = problems_by_id(inputs)
        rows = rollouts.select("rollout_id", "completion", "finish_reason", "problem_id").iter_rows()
        texts = [ToJudge(rollout, text, end, problems[problem]) for rollout, text, end, problem in rows]
        judging = Judging(self.verifier, self.own_config(), self.config.truncated, self.wrapped.needs_answer)
        judged = judging.judge(texts, services)
        scorer = Scorer(self.verifier, judged.scorer.version, ids.content_id("c", "tag", judged.scorer.config_hash))
        scores = [
            plain_measure_row(
                {"problem_id": text.problem_id, "rollout_id": text.rollout_id},
                said.value if said.verdict != "unknown" else None,
                scorer,
                services.stage_id,
                said.reason,
            )
            for text, said in zip(judged.texts, judged.judgements, strict=True)
        ]
        services.count(rows=len(scores), tagged=sum(row["value"] == 1 for row in scores))
        return {"scores": SCORES.from_rows(scores), "rejects": rejects, "telemetry": judged.telemetry(services)}
