"""`verify.x` of every registered verifier `x`.

Invariant: the stage adds nothing to a verdict but what a machine can see before it asks: refused, poison, truncated, no
gold answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from synthflow.contracts import Inputs, Services, StageInfo, Verifier
from synthflow.errors import UserError
from synthflow.rollouts.adapted import ADAPTER_VERSION, AdaptedStage
from synthflow.rollouts.questions import problems_by_id
from synthflow.rollouts.score_rows import verdict_counts
from synthflow.rollouts.verdicts import Judging, ToJudge


class VerifyStage(AdaptedStage):
    """Verdicts of one verifier on the nearest rollouts; `stage_class` binds the verifier."""

    verifier: ClassVar[str]
    wrapped: ClassVar[type[Verifier]]
    needs_answer: ClassVar[bool] = True
    gives_verdicts = True
    reads = ("rollouts", "problems")
    writes = ("scores",)

    @classmethod
    def resolve_paths(cls, given: Mapping[str, Any], base_dir: Path) -> dict[str, Any]:
        return cls.wrapped.resolve_paths(given, base_dir)

    def own_verifier(self) -> Verifier:
        """The verifier as this stage configures it; close it when done."""
        return self.wrapped(self.wrapped.Config.model_validate(self.own_config()))

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        return self.own_verifier().check()

    def identity(self) -> Mapping[str, Any]:
        verifier = self.own_verifier()
        said = verifier.identity()
        verifier.close()
        # What it says replaces its fields, in which there may be paths of this machine.
        return dict.fromkeys(self.own) | dict(said.model_dump(mode="json") if hasattr(said, "model_dump") else said)

    def full_version(self) -> str:
        """The adapter's version and the verifier's with its libraries: another library may judge otherwise."""
        from synthflow.verifiers.opening import open_verifier

        opened = open_verifier(self.verifier, self.own_config())
        try:
            return f"{ADAPTER_VERSION}+{opened.full_version()}"
        finally:
            opened.close()

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Scores of kind verdict, one a rollout, and what stands behind them; elapsed seconds go to telemetry.

        Raises:
            UserError: if two ancestors give one problem different gold answers.
            InvariantBroken: if the verifier returns another number of judgements than it was asked for.
        """
        columns = ["rollout_id", "problem_id", "completion", "finish_reason", "condition"]
        rollouts, rejects = self.standing(inputs, columns, services.stage_id)
        _check_answers(inputs)
        problems = problems_by_id(inputs)
        rows = rollouts.select("rollout_id", "completion", "finish_reason", "problem_id").iter_rows()
        texts = [ToJudge(rollout, text, end, problems[problem]) for rollout, text, end, problem in rows]
        judging = Judging(self.verifier, self.own_config(), self.config.truncated, self.needs_answer)
        judged = judging.judge(texts, services)
        services.count(rows=len(texts), **verdict_counts(judged.judgements))
        return {"scores": judged.scores(services.stage_id), "rejects": rejects, "telemetry": judged.telemetry(services)}


def _check_answers(inputs: Inputs) -> None:
    answers = inputs.frame("problems", ["problem_id", "answer"]).unique()
    if answers.height != answers.get_column("problem_id").n_unique():
        twice = sorted(answers.filter(pl.col("problem_id").is_duplicated()).get_column("problem_id"))[0]
        raise UserError(f"problem {twice} has different answers in different sources; keep one of them")
