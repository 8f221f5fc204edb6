"""`label.reference`: what a checker that knows the problem's world says of every step. The truth for tests.

Invariants: a rollout that is read is labelled or in `rejects`; a step's value is 1 until the first wrong step and 0
from it on, 1 before the first step, so advantages telescope to -1 where there is an error and 0 where there is none.
The checker never sees a verdict, and this stage uses verdicts only to choose the same rollouts as the other labelers.

Beside its value every step has a row in `scores` (kind measure, target a step): `detail` is right, newly_wrong,
inherited or unjudgeable, `value` 1, 0, 0 or null, `reason` names the error. Reasons for rejects beside those of
`selection`: unknown_problem (of another world), no_step_judged (no step makes a claim).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from synthflow import ids, registry
from synthflow.contracts import Coverage, Estimate, Inputs, Services, Stage, StageInfo, StepChecker, StepTruth
from synthflow.contracts.foreign import said
from synthflow.errors import InvariantBroken, SynthflowError, UserError, suggest
from synthflow.rollouts.cutting import Cut
from synthflow.rollouts.questions import note, problems_by_id
from synthflow.rollouts.step_rows import reject_rows, step_rows
from synthflow.rollouts.views import check_verdicts
from synthflow.schema import SCORES, STEP_VALUES, STEPS
from synthflow.stages.label.config import LabelConfig
from synthflow.stages.label.cutting import PolicyCutter
from synthflow.stages.label.selection import select

LABELER = "reference"
GUESSED_STEPS = 8
_VALUE = {"right": 1.0, "newly_wrong": 0.0, "inherited": 0.0, "unjudgeable": None}


class ReferenceConfig(LabelConfig):
    """Which world, beside the fields of every labeler."""

    checker: str = Field("demo", description="the registered step checker that knows the problems' world")


class Reference(Stage):
    """Judge every step by a checker that knows the problem."""

    use: ClassVar[str] = "label.reference"
    version: ClassVar[str] = "1"
    Config = ReferenceConfig
    reads = ("rollouts", "scores", "problems")
    writes = ("steps", "step_values", "scores")
    covers = Coverage("rollouts", "rollout_id", {"step_values": "rollout_id"})
    summary = "Judge every step by a checker that knows the problem's world: the truth for tests."

    @cached_property
    def _checker(self) -> StepChecker:
        found: StepChecker = registry.load("step_checkers", self.config.checker)()
        return found

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        yield from check_verdicts(ancestors, self.config.verdicts)
        known = registry.names("step_checkers")
        if self.config.checker not in known:
            hint = suggest(self.config.checker, known) or f"known: {', '.join(known) or 'none'}"
            yield "checker", f"no step checker is called {self.config.checker!r}", hint

    def full_version(self) -> str:
        try:
            return f"{self.version}+{self._checker.version}"
        except UserError:  # `check` says that nobody knows it
            return self.version

    def estimate(self, upstream: Estimate) -> Estimate:
        rows = upstream.rollouts * GUESSED_STEPS
        return Estimate(
            upstream.problems,
            upstream.rollouts,
            rows={"steps": rows, "step_values": rows, "scores": rows},
            note=f"guessed: {GUESSED_STEPS} steps a rollout, all rollouts labelled",
        )

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Steps, their values, what they are, and rejects.

        Raises:
            InvariantBroken: if the checker gives another number of judgements.
        """
        config: ReferenceConfig = self.config
        selected, left_out = select(inputs, config, tokens=False)
        rejects, cutter, problems = left_out.rows(), PolicyCutter.of(config, inputs, services), problems_by_id(inputs)
        labelled: list[tuple[Cut, list[StepTruth]]] = []
        for row in selected.iter_rows(named=True):
            cut = cutter.cut(row)
            truths = self._judge(problems[row["problem_id"]]["metadata"], cut)
            if isinstance(truths, str):
                rejects.append((row["problem_id"], row["rollout_id"], truths))
            elif truths is None or all(t.kind == "unjudgeable" for t in truths):
                reason = "unknown_problem" if truths is None else "no_step_judged"
                rejects.append((row["problem_id"], row["rollout_id"], reason))
            else:
                labelled.append((cut, truths))
        common = {
            "labeler": LABELER,
            "labeler_version": self.full_version(),
            "config_hash": config.labeler_hash(self._checker.version),
            "stage_id": services.stage_id,
        }
        services.count(rows=selected.height, labelled=len(labelled), rejected=len(rejects))
        return {
            "steps": STEPS.from_rows([r for cut, _ in labelled for r in step_rows(cut, services.stage_id)]),
            "step_values": STEP_VALUES.from_rows([r | common for c, t in labelled for r in _value_rows(c, t)]),
            "scores": SCORES.from_rows([r for c, t in labelled for r in self._score_rows(c, t, services.stage_id)]),
            "rejects": reject_rows(rejects, services.stage_id),
        }

    def _judge(self, metadata: str | None, cut: Cut) -> list[StepTruth] | str | None:
        """The truth of each step, None where the checker knows none, or why it failed."""
        try:
            facts = json.loads(metadata or "{}")
        except ValueError:
            return None
        try:
            truths = self._checker.check(facts, cut.texts()) if isinstance(facts, dict) else None
        except SynthflowError:
            raise
        except Exception as error:
            return f"checker_error: {said(error)}"
        if truths is not None and len(truths) != len(cut.spans):
            name = self._checker.name
            raise InvariantBroken(f"step checker {name!r}: {len(cut.spans)} steps, {len(truths)} judgements")
        return truths

    def _score_rows(self, cut: Cut, truths: Sequence[StepTruth], stage_id: str) -> Iterable[dict[str, Any]]:
        config_hash = ids.content_id("c", self._checker.name, self._checker.version)
        for index, truth in enumerate(truths):
            yield {
                "problem_id": cut.row["problem_id"],
                "target_kind": "step",
                "target_id": ids.step_id(cut.row["rollout_id"], cut.label, index),
                "kind": "measure",
                "scorer": f"steps.{self._checker.name}",
                "scorer_version": self._checker.version,
                "config_hash": config_hash,
                "value": _VALUE[truth.kind],
                "reason": note(truth.reason),
                "detail": truth.kind,
                "stage_id": stage_id,
            }


def _value_rows(cut: Cut, truths: Sequence[StepTruth]) -> Iterable[dict[str, Any]]:
    first = next((k for k, truth in enumerate(truths) if truth.is_wrong), len(truths))
    for index in range(len(truths)):
        before, value = float(index <= first), float(index < first)
        yield {
            "step_id": ids.step_id(cut.row["rollout_id"], cut.label, index),
            "problem_id": cut.row["problem_id"],
            "rollout_id": cut.row["rollout_id"],
            "index": index,
            "policy_id": cut.row["policy_id"],
            "scale": "score",
            "value_before": before,
            "value": value,
            "n": 0,
            "successes": 0,
            "n_unknown": 0,
            "value_low": value,
            "value_high": value,
            "advantage": value - before,
            "advantage_se": 0.0,
            "is_first_error": index == first,
            "p_first_error": float(index == first),
            "tokens_spent": 0,
        }
