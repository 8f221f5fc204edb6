"""`label.judge`: a language model says which step is the first error, or scores each step.

Invariants: a rollout that is read is labelled or in `rejects`; a labelled one has all of its steps, a row of values for
each, and a row `first_error` in scores, which says why nothing is known where nothing is; what the judge writes is
journaled, kept as artifacts, and read strictly, so that rubbish is unknown and never a default. Rows depend on the
rollouts of one problem only.

Sources: the earliest error, asked of rollouts that the rule calls correct (`only: correct`), is FAPO's (2025) and
ProcessBench's (Zheng et al. 2024) question; scores by stated principles are PPR's ("Hybrid Reward Normalization for
Process-supervised Non-verifiable Agentic Tasks", 2025). Prompts, principles and how samples are put together are ours:
docs/judged-steps.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from synthflow import ids
from synthflow.contracts import Coverage, Estimate, Inputs, Services, Stage, StageInfo
from synthflow.judges import prompts
from synthflow.judges.client import Heard, JudgeClient, JudgeQuestion, judge_sampling
from synthflow.judges.config import reference_text
from synthflow.rollouts.cutting import Cut
from synthflow.rollouts.questions import note, problems_by_id
from synthflow.rollouts.score_rows import Scorer, plain_measure_row
from synthflow.rollouts.step_rows import reject_rows, step_rows, value_row
from synthflow.rollouts.views import check_verdicts, verdicts
from synthflow.schema import SCORES, STEP_VALUES, STEPS
from synthflow.stages.label.cutting import PolicyCutter
from synthflow.stages.label.flawed import fapo_reward, flawed_positive
from synthflow.stages.label.judge_config import StepJudgeConfig
from synthflow.stages.label.judge_prompt import indexed
from synthflow.stages.label.opinions import Opinion, by_earliest, by_scores, nothing
from synthflow.stages.label.selection import select

LABELER = "judge"
FIRST_ERROR, PROCESS_SCORE, FLAWED_POSITIVE, FAPO_REWARD = (
    "first_error",
    "process_score",
    "flawed_positive",
    "fapo_reward",
)
GUESSED_STEPS = 8
"""Steps of a rollout, for estimates before a run."""


class JudgeSteps(Stage):
    """Ask a language model about the steps of a rollout."""

    use = "label.judge"
    version = f"2+{prompts.shipped_version(prompts.SHIPPED_FOR_STEPS)}"
    finds_flaws = True
    Config = StepJudgeConfig
    reads = ("rollouts", "scores", "problems")
    writes = ("steps", "step_values", "scores", "artifacts")
    covers = Coverage("rollouts", "rollout_id", {"step_values": "rollout_id"})
    summary = "A language model names the earliest error, or scores every step; flawed positives."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        yield from check_verdicts(ancestors, self.config.verdicts)
        yield from self.config.mistakes()

    def samplings(self) -> Iterable[Mapping[str, Any]]:
        return [judge_sampling(self.config, self.config.template())]

    def estimate(self, upstream: Estimate) -> Estimate:
        config: StepJudgeConfig = self.config
        labelled = upstream.rollouts
        if config.rollouts_per_problem is not None:
            labelled = min(labelled, upstream.problems * config.rollouts_per_problem)
        asked, steps = labelled * config.k, labelled * min(GUESSED_STEPS, config.max_steps)
        rows = {"steps": steps, "step_values": steps, "scores": 3 * labelled, "artifacts": asked}
        told = f"at most: {labelled:.0f} rollouts, {config.k} samples each, {config.max_tokens} tokens each"
        return Estimate(upstream.problems, upstream.rollouts, asked, asked * config.max_tokens, rows, note=told)

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Steps, their values, what is known of whole rollouts, the judge's texts, and rejects.

        Raises:
            InfrastructureError: if some judgements are still owed.
        """
        config: StepJudgeConfig = self.config
        only = None if config.only == "all" else config.only
        selected, left_out = select(inputs, config, tokens=False, only=only)
        cutter = PolicyCutter.of(config, inputs, services)
        cuts = [cutter.cut(row) for row in selected.iter_rows(named=True)]
        panel = JudgeClient(config, config.policy, config.template(), services)
        asks, early = _asks(cuts, config, problems_by_id(inputs))
        asked = [cut for cut, reason in zip(cuts, early, strict=True) if reason is None]
        heard, artifacts = panel.hear(asks, [config.form(len(cut.spans)) for cut in asked])
        answers = iter(heard)
        samples = [next(answers) if reason is None else [] for reason in early]
        opinions = [
            _opinion(said, len(cut.spans), config) if reason is None else nothing(len(cut.spans), reason)
            for cut, said, reason in zip(cuts, samples, early, strict=True)
        ]
        hashed = config.judge_hash(panel.policy_id, self.version)
        scorer = Scorer(LABELER, f"{self.version}+{panel.policy_id}", hashed)
        common = {
            "labeler": LABELER,
            "labeler_version": self.version,
            "config_hash": hashed,
            "policy_id": panel.policy_id,
            "scale": "score",
            "stage_id": services.stage_id,
        }
        measures = [
            row
            for cut, opinion in zip(cuts, opinions, strict=True)
            for row in _measures(cut.row, opinion, config, scorer, services.stage_id)
        ]
        measures += _unjudged(left_out, inputs, config, scorer, services.stage_id)
        unknown = sum(opinion.reason is not None for opinion in opinions)
        services.count(
            rows=len(cuts), labelled=len(cuts), rejected=left_out.height, asked=artifacts.num_rows, unknown=unknown
        )
        return {
            "steps": STEPS.from_rows([row for cut in cuts for row in step_rows(cut, services.stage_id)]),
            "step_values": STEP_VALUES.from_rows([row | common for row in _value_rows(cuts, samples, opinions)]),
            "scores": SCORES.from_rows(measures),
            "artifacts": artifacts,
            "rejects": reject_rows(left_out.rows(), services.stage_id),
        }


def _asks(
    cuts: Sequence[Cut], config: StepJudgeConfig, problems: Mapping[str, Mapping[str, Any]]
) -> tuple[list[JudgeQuestion], list[str | None]]:
    """What the judge is asked, and by rollout why it is not."""
    asks: list[JudgeQuestion] = []
    early: list[str | None] = []
    principles = "\n".join(f"{i}. {text}" for i, text in enumerate(config.stated_principles(), 1))
    for cut in cuts:
        row = cut.row
        problem = problems[row["problem_id"]]
        reference = reference_text(problem, config.reference)
        solution = indexed(cut.texts(), config.max_chars)
        if not row["completion"].strip():
            early.append("empty")
        elif solution is None:
            early.append("too_large")
        elif config.reference is not None and reference is None:
            early.append("no_gold")
        else:
            early.append(None)
            values = {"question": prompts.question_text(problem["prompt"]), "solution": solution}
            if reference is not None:
                values["reference"] = reference
            if config.mode == "scores":
                values["principles"] = principles
            details = {"mode": config.mode, "n_steps": len(cut.spans), "segmenter": cut.label}
            asks.append(JudgeQuestion(row["problem_id"], values, (row["rollout_id"],), details))
    return asks, early


def _opinion(samples: Sequence[Heard], n_steps: int, config: StepJudgeConfig) -> Opinion:
    if config.mode == "earliest":
        return by_earliest(samples, n_steps, config.min_agreement)
    return by_scores(samples, n_steps, config.scale, config.error_below, config.min_agreement)


def _value_rows(
    cuts: Sequence[Cut], samples: Sequence[Sequence[Heard]], opinions: Sequence[Opinion]
) -> Iterator[dict[str, Any]]:
    """Rows of all rollouts. The judge's tokens are booked on the first step of the first rollout that needed them."""
    paid: set[str] = set()
    for cut, said, opinion in zip(cuts, samples, opinions, strict=True):
        owed = {sample.sample_id: sample.n_tokens for sample in said if sample.sample_id not in paid}
        paid |= owed.keys()
        for index in range(len(cut.spans)):
            share = None if opinion.p_first_error is None else float(opinion.p_first_error[index])
            yield value_row(cut, index, opinion.values) | {
                "n": 0,
                "successes": 0,
                "n_unknown": 0,
                "p_first_error": share,
                "tokens_spent": 0 if index else sum(owed.values()),
            }


def _measures(
    row: Mapping[str, Any], opinion: Opinion, config: StepJudgeConfig, scorer: Scorer, stage_id: str
) -> Iterator[dict[str, Any]]:
    """What is known of one judged rollout."""

    def measure(name: str, value: float | None) -> dict[str, Any]:
        why = (opinion.reason or "disagreement", opinion.problem) if value is None else (None, None)
        said = plain_measure_row(row, value, Scorer(name, scorer.version, scorer.config_hash), stage_id, why[0])
        return said | {"detail": note(why[1])}

    first = opinion.values.first_error
    yield measure(FIRST_ERROR, None if first is None else float(first))
    if config.mode == "scores":
        yield measure(PROCESS_SCORE, ids.finite(float(opinion.values.value.mean())))
    if row["verdict"] == "correct":
        flawed = flawed_positive(row["verdict"], opinion.has_error)
        yield measure(FLAWED_POSITIVE, None if flawed is None else float(flawed))
    if row["verdict"] != "unknown":
        yield measure(FAPO_REWARD, fapo_reward(row["verdict"], opinion.has_error))


def _unjudged(
    left_out: pl.DataFrame, inputs: Inputs, config: StepJudgeConfig, scorer: Scorer, stage_id: str
) -> list[dict[str, Any]]:
    """Rewards of the wrong rollouts that the judge was spared, since they do not depend on it."""
    if config.only != "correct":
        return []
    of = verdicts(inputs, config.verdicts).filter(pl.col("verdict") == "wrong").select("rollout_id")
    spared = left_out.filter(pl.col("reason") == "not_correct").join(of, on="rollout_id", how="semi")
    rewarding = Scorer(FAPO_REWARD, scorer.version, scorer.config_hash)
    return [
        plain_measure_row(row, fapo_reward("wrong", None), rewarding, stage_id, None)
        for row in spared.sort("problem_id", "rollout_id").iter_rows(named=True)
    ]
