"""`verify.judge`: a language model says whether an answer is right.

Invariants: every rollout that is read has one verdict or a row in `rejects`; nothing is asked about a rollout that was
refused, truncated or left nothing to judge; what the judge writes is journaled, kept as artifacts, and read strictly,
so that rubbish is unknown and never a default. Rows depend on a rollout's group only, which lies in one partition.

A judge of two answers is asked in both orders, since judges favour a place (Zheng et al. 2023, "Judging LLM-as-a-Judge
with MT-Bench and Chatbot Arena"): where the orders disagree, the comparison has no result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from synthflow import ids
from synthflow.contracts import Coverage, Estimate, Inputs, Judgement, Services, Stage, StageInfo
from synthflow.judges import prompts
from synthflow.judges.client import JudgeClient, judge_sampling
from synthflow.judges.config import reference_text
from synthflow.rollouts import score_rows as shared
from synthflow.rollouts.eligibility import split, verdict_from_finish_reason
from synthflow.rollouts.score_rows import Scorer
from synthflow.stages.verify import pairwise, pointwise
from synthflow.stages.verify.candidate import Candidate
from synthflow.stages.verify.config import JudgeConfig

NAME = "judge"
_NOT_HASHED = {"use", "of", "policy"}


class Judge(Stage):
    """A language model as judge: alone, in pairs, or against a reference."""

    use = "verify.judge"
    version = f"2+{prompts.shipped_version()}"
    gives_verdicts = True
    Config = JudgeConfig
    reads = ("rollouts", "problems")
    writes = ("scores", "artifacts")
    covers = Coverage("rollouts", "rollout_id", {"scores": "target_id"})
    summary = "Ask a language model: pointwise, pairwise in both orders, or against a reference."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        config: JudgeConfig = self.config
        return config.mistakes()

    def samplings(self) -> Iterable[Mapping[str, Any]]:
        return [judge_sampling(self.config, self.config.template())]

    def estimate(self, upstream: Estimate) -> Estimate:
        config: JudgeConfig = self.config
        asked, how = upstream.rollouts * config.k, f"{config.k} a rollout"
        if config.mode == "pairwise" and config.against == "reference":
            asked, how = 2 * asked, f"{2 * config.k} a rollout, both orders"
        elif config.mode == "pairwise":
            size = upstream.rollouts / upstream.problems if upstream.problems else 0.0
            pairs = size * (size - 1) / 2
            if config.opponents is not None:
                pairs = min(pairs, size * config.opponents)
            asked, how = upstream.problems * pairs * 2 * config.k, f"{pairs:.0f} pairs a group, both orders"
        return Estimate(
            upstream.problems,
            upstream.rollouts,
            asked,
            asked * config.max_tokens,
            {"scores": upstream.rollouts, "artifacts": asked},
            note=f"at most: {how}, equal texts are asked once, {config.max_tokens} tokens each",
        )

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Verdicts, the judge's texts, and rejects.

        Raises:
            InfrastructureError: if some judgements are still owed.
        """
        config: JudgeConfig = self.config
        rollouts, rejects = split(shared.read(inputs), services.stage_id)
        rows = rollouts.to_dicts()
        panel = JudgeClient(config, config.policy, config.template(), services)
        scorer = self._scorer(panel.policy_id)
        judgements, candidates = _candidates(rows, inputs, config)
        weigh = pointwise.judge if config.mode == "pointwise" else pairwise.judge
        judged, measured, artifacts = weigh(candidates, config, panel)
        rows_by_id = {row["rollout_id"]: row for row in rows}
        measures = [
            shared.measure_row(rows_by_id[rollout], name, value, scorer, services.stage_id)
            for rollout, name, value in measured
        ]
        tables = shared.finish(rows, judgements | judged, measures, scorer, services)
        services.count(asked=artifacts.num_rows)
        return {**tables, "artifacts": artifacts, "rejects": rejects}

    def _scorer(self, policy_id: str) -> Scorer:
        fields = self.config.model_dump(mode="json", exclude=_NOT_HASHED)
        config_hash = ids.content_id("c", fields, self.config.template(), policy_id)
        return Scorer(NAME, f"{self.version}+{policy_id}", config_hash)


def _candidates(
    rows: Sequence[Mapping[str, Any]], inputs: Inputs, config: JudgeConfig
) -> tuple[dict[str, Judgement], list[Candidate]]:
    """Judgements that need no judge, and the rollouts that do."""
    problems = {
        row["problem_id"]: row
        for row in inputs.frame("problems", ["problem_id", "prompt", "answer", "metadata"]).iter_rows(named=True)
    }
    known: dict[str, Judgement] = {}
    candidates = []
    for row in rows:
        early = verdict_from_finish_reason(row["finish_reason"], config.truncated)
        problem = problems[row["problem_id"]]
        reference = reference_text(problem, config.reference)
        text = prompts.shown_answer(row["completion"], config.max_chars, config.thinking)
        if early is None and config.reference is not None and reference is None:
            early = Judgement.unknown("no_gold", f"the problem has no {config.reference}")
        if early is None and not text:
            early = Judgement.unknown("empty")
        if early is not None:
            known[row["rollout_id"]] = early
        else:
            candidates.append(Candidate(row, text, prompts.question_text(problem["prompt"]), reference))
    return known, candidates
