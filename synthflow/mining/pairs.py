"""`mine.pairs`: chosen and rejected texts, whole responses or single steps, each with where it came from.

Invariants: a pair cites both rollouts (and steps), its rule and its margin with a standard error; pairs depend on the
rollouts of one problem only, and no seed is drawn; a problem that yields none says why in `rejects`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import polars as pl
import pyarrow as pa
from pydantic import Field, model_validator

from synthflow.contracts import Coverage, Inputs, Services, Stage, StageConfig, StageInfo, Volume
from synthflow.mining import response, steps
from synthflow.mining.choose import Candidate, choose
from synthflow.schema import PAIRS, REJECTS
from synthflow.stages.views import check_verdicts, judged_rollouts

Rule = Literal["sibling", "continuation"]
DEFAULT_GAP = 0.3

_FIRST = (
    "rollout_id", "problem_id", "policy_id", "round", "sampling_id", "prefix_id", "prompt", "train_prompt",
    "completion", "completion_hash", "n_tokens", "verdict", "dropped",
)  # fmt: skip


class PairsConfig(StageConfig):
    """Fields of `mine.pairs`."""

    verdicts: str | None = Field(None, description="the verify stage whose verdicts count; null where there is one")
    labels: str | None = Field(None, description="level step: the label stage whose values count; null: the only one")
    level: Literal["response", "step"] = Field("response", description="pair whole responses or single steps")
    rules: tuple[Rule, ...] = Field(
        ("sibling", "continuation"), min_length=1, description="level step: how steps are paired"
    )
    min_gap: float | None = Field(
        None, gt=0.0, le=1.0, description=f"level step: least margin, {DEFAULT_GAP} where null; of responses it is 1"
    )
    max_length_ratio: float | None = Field(2.0, ge=1.0, description="longest over shorter side; null is no limit")
    max_per_problem: int = Field(4, ge=1, le=1024, description="most pairs of one problem")
    require_significance: bool = Field(
        False, description="level step: only margins that are beyond the noise of both values at 95%"
    )

    @model_validator(mode="after")
    def _levels(self) -> PairsConfig:
        if self.level == "response":
            for name in ("min_gap", "labels"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} is for level: step; leave it out")
            if self.require_significance:
                raise ValueError("require_significance is for level: step; verdicts have no interval")
        return self


class MinePairs(Stage):
    """Pairs of chosen and rejected."""

    use = "mine.pairs"
    version = "1"
    Config = PairsConfig
    reads = ("problems", "rollouts", "scores")
    writes = ("pairs",)
    covers = Coverage("problems", "problem_id", {"pairs": "problem_id"})
    summary = "Pair right with wrong responses, or better with worse steps after one prefix."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        yield from check_verdicts(ancestors, self.config.verdicts)
        if self.config.level == "response":
            return
        known = _label_stages(ancestors)
        if self.config.labels is not None and self.config.labels not in known:
            what = f"{self.config.labels!r} is not a label stage above this one"
            yield "labels", what, f"known: {', '.join(known) or 'none'}"
        elif not known:
            yield "level", "no stage above this one values steps", "read one such as label.monte_carlo"
        elif self.config.labels is None and len(known) > 1:
            yield "labels", f"several label stages above: {', '.join(known)}", "say which with labels: NAME"

    def estimate(self, upstream: Volume) -> Volume:
        # Our guess: six problems in ten are mixed, and those give all the pairs they may.
        pairs = upstream.problems * 0.6 * self.config.max_per_problem
        return Volume(upstream.problems, upstream.rollouts, rows={"pairs": pairs})

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        judged = judged_rollouts(inputs, self.config.verdicts).unique("rollout_id", keep="first", maintain_order=True)
        found = self._responses(judged) if self.config.level == "response" else self._steps(inputs, judged)
        prompts = {
            row["rollout_id"]: row["prompt"] if row["train_prompt"] is None else row["train_prompt"]
            for row in judged.select("rollout_id", "prompt", "train_prompt").iter_rows(named=True)
        }
        pairs: list[dict[str, Any]] = []
        rejects: list[dict[str, Any]] = []
        problems = inputs.frame("problems", ["problem_id"], nearest=True)["problem_id"].unique().sort()
        for problem in problems.to_list():
            candidates, empty_handed = found.get(problem, ([], self._nothing()))
            allowed = [c for c in candidates if self._within_limits(c)]
            kept = choose(allowed, self.config.max_per_problem, self.config.level)
            pairs.extend(_pair(c, problem, self.config.level, prompts, services.stage_id) for c in kept)
            if not kept:
                reason = "no_pair_within_limits" if candidates else empty_handed
                rejects.append(_reject(problem, reason, services.stage_id))
        services.count(rows=len(pairs), problems=len(problems), without_pairs=len(rejects))
        return {"pairs": PAIRS.from_rows(pairs), "rejects": REJECTS.from_rows(rejects)}

    def _nothing(self) -> str:
        return "no_rollouts" if self.config.level == "response" else "no_labelled_steps"

    def _within_limits(self, candidate: Candidate) -> bool:
        most = self.config.max_length_ratio
        if most is not None and candidate.length_ratio > most:
            return False
        return candidate.significant or not self.config.require_significance

    def _responses(self, judged: pl.DataFrame) -> dict[str, tuple[list[Candidate], str]]:
        """Candidates of every problem that has rollouts, and the reason where there are none."""
        usable = response.usable(judged.select(_FIRST))
        by_problem = {str(key[0]): part.rows(named=True) for key, part in usable.group_by("problem_id")}
        return {
            problem: (response.candidates(by_problem.get(problem, []), self.config.max_per_problem), "no_mixed_group")
            for problem in judged["problem_id"].unique().to_list()
        }

    def _steps(self, inputs: Inputs, judged: pl.DataFrame) -> dict[str, tuple[list[Candidate], str]]:
        """Candidates of every problem that has labelled steps, and the reason where there are none."""
        name = self.config.labels if self.config.labels is not None else _label_stages(inputs.ancestors)[-1]
        labelled = _labelled(inputs, name, judged)
        continuations = _by_problem(_correct_continuations(inputs, name))
        correct = judged.filter(pl.col("verdict") == "correct", pl.col("dropped").is_null())
        firsts = _by_problem(correct.select(*_FIRST, pl.lit(0).alias("prefix_chars")).sort("rollout_id"))
        gap = DEFAULT_GAP if self.config.min_gap is None else self.config.min_gap
        found = {}
        for problem, rows in _by_problem(labelled).items():
            nodes = steps.nodes_of(rows, continuations.get(problem, []), firsts.get(problem, []))
            comparable = any(node.comparable for node in nodes)
            reason = "no_pair_within_limits" if comparable else "no_two_steps_after_one_prefix"
            found[problem] = (steps.candidates(nodes, self.config.rules, gap), reason)
        return found


def _label_stages(ancestors: Sequence[StageInfo]) -> list[str]:
    return [a.name for a in ancestors if "step_values" in a.writes]


def _by_problem(frame: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    parts = frame.partition_by("problem_id", as_dict=True, maintain_order=True)
    return {str(key[0]): part.rows(named=True) for key, part in parts.items()}


def _of_stage(inputs: Inputs, stage: str, table: str, columns: Sequence[str]) -> pl.DataFrame:
    frame = pl.from_arrow(inputs.of_stage(stage, table, columns))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _labelled(inputs: Inputs, stage: str, judged: pl.DataFrame) -> pl.DataFrame:
    """Steps with values and their rollouts, which no filter drops; in the order of their ids."""
    cut = ["step_id", "segmenter", "char_start", "char_end", "token_start", "token_end"]
    valued = [
        "step_id", "rollout_id", "problem_id", "value_before", "value", "value_low", "value_high", "n", "successes",
        "advantage", "advantage_se",
    ]  # fmt: skip
    rollouts = judged.filter(pl.col("dropped").is_null(), pl.col("token_ids").is_not_null()).select(
        "rollout_id", "policy_id", "round", "prompt", "completion", "token_ids"
    )
    return (
        _of_stage(inputs, stage, "steps", cut)
        .filter(pl.col("token_start").is_not_null())
        .join(_of_stage(inputs, stage, "step_values", valued), on="step_id", how="inner")
        .join(rollouts, on="rollout_id", how="inner")
        .sort("problem_id", "step_id")
    )


def _correct_continuations(inputs: Inputs, stage: str) -> pl.DataFrame:
    """Correct continuations of whole steps, with the length of their prefix's text; in the order of their ids."""
    columns = [
        "rollout_id", "problem_id", "policy_id", "round", "prefix_id", "prompt", "completion", "condition",
        "parent_rollout_id", "branch_step", "on_policy",
    ]  # fmt: skip
    ends = _of_stage(inputs, stage, "steps", ["rollout_id", "index", "char_end"]).select(
        pl.col("rollout_id").alias("parent_rollout_id"),
        (pl.col("index") + 1).alias("branch_step"),
        pl.col("char_end").alias("prefix_chars"),
    )
    scores = _of_stage(inputs, stage, "scores", ["target_id", "kind", "verdict"])
    correct = scores.filter(pl.col("kind") == "verdict", pl.col("verdict") == "correct")
    return (
        _of_stage(inputs, stage, "rollouts", columns)
        .filter(pl.col("condition") == "prefix", pl.col("on_policy"))  # none that was told to stop
        .join(ends, on=["parent_rollout_id", "branch_step"], how="inner")
        .join(correct, left_on="rollout_id", right_on="target_id", how="semi")
        .sort("problem_id", "rollout_id")
    )


def _pair(candidate: Candidate, problem: str, level: str, prompts: Mapping[str, Any], stage_id: str) -> dict[str, Any]:
    chosen, rejected = candidate.chosen, candidate.rejected
    return {
        "pair_id": candidate.pair_id(level),
        "problem_id": problem,
        "level": level,
        "prompt": prompts[rejected.rollout_id],
        "prefix": candidate.prefix,
        "chosen": chosen.text,
        "rejected": rejected.text,
        "chosen_rollout_id": chosen.rollout_id,
        "rejected_rollout_id": rejected.rollout_id,
        "chosen_step_id": chosen.step_id,
        "rejected_step_id": rejected.step_id,
        "chosen_value": chosen.value,
        "rejected_value": rejected.value,
        "margin": candidate.margin,
        "margin_se": candidate.margin_se,
        "length_ratio": candidate.length_ratio,
        "rule": candidate.rule,
        "stage_id": stage_id,
    }


def _reject(problem: str, reason: str, stage_id: str) -> dict[str, Any]:
    return {
        "problem_id": problem,
        "target_kind": "problem",
        "target_id": problem,
        "reason": reason,
        "stage_id": stage_id,
    }
