"""`mine.pairs`: chosen and rejected texts, whole responses or single steps, each with where it came from.

Invariants: a pair cites both rollouts (and steps), its rule and its margin with a standard error; pairs depend on the
rollouts of one problem only, and no seed is drawn; a problem that yields none says why in `rejects`. How reliable a
pair is (see `reliability`) is said of those that were chosen, and chooses none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import polars as pl
import pyarrow as pa
from pydantic import Field, model_validator

from synthflow.contracts import Coverage, Estimate, Inputs, Services, Stage, StageConfig, StageInfo
from synthflow.rollouts.problem_measures import problem_rejects
from synthflow.rollouts.scores import check_scorer, numbers
from synthflow.rollouts.views import check_verdicts, judged_rollouts
from synthflow.schema import PAIRS
from synthflow.stages.mine import reliability, response, steps
from synthflow.stages.mine.choose import Candidate, choose
from synthflow.stages.mine.negatives import Negatives
from synthflow.stages.mine.outcomes import check_consensus, check_flawed, flawed_positives, joint_verdicts

Rule = Literal["sibling", "continuation"]
DEFAULT_GAP = 0.3

_OF_STEPS = (
    "rollout_id", "problem_id", "policy_id", "round", "prefix_id", "prompt", "train_prompt", "completion", "token_ids",
)  # fmt: skip
_OF_RESPONSES = {"consensus": None, "unknown": "ignore", "flawed": "keep", "negatives": "even", "scored_by": None}


_ROW: dict[str, type[pl.DataType]] = {
    "pair_id": pl.String,
    "problem_id": pl.String,
    "level": pl.String,
    "prefix": pl.String,
    "chosen": pl.String,
    "rejected": pl.String,
    "chosen_rollout_id": pl.String,
    "rejected_rollout_id": pl.String,
    "chosen_step_id": pl.String,
    "rejected_step_id": pl.String,
    "chosen_value": pl.Float64,
    "rejected_value": pl.Float64,
    "margin": pl.Float64,
    "margin_se": pl.Float64,
    "length_ratio": pl.Float64,
    "visit_confidence": pl.Float64,
    "rule": pl.String,
    "interval_overlap": pl.Float64,
    "p_better": pl.Float64,
}

Found = tuple[pl.DataFrame, pl.DataFrame]
"""Pairs, with the round of their rollouts; and the reason of every problem that would have none."""


class PairsConfig(StageConfig):
    """Fields of `mine.pairs`."""

    verdicts: str | None = Field(None, description="the verify stage whose verdicts count; null where there is one")
    labels: str | None = Field(None, description="level step: the label stage whose values count; null: the only one")
    level: Literal["response", "step"] = Field("response", description="pair whole responses or single steps")
    rules: tuple[Rule, ...] = Field(
        ("sibling", "continuation"), min_length=1, description="level step: how steps are paired"
    )
    siblings: Literal["all", "extremes"] = Field(
        "all", description="level step: every two siblings, or of each prefix the best against the worst"
    )
    min_gap: float | None = Field(
        None, gt=0.0, le=1.0, description=f"level step: least margin, {DEFAULT_GAP} where null; of responses it is 1"
    )
    max_length_ratio: float | None = Field(2.0, ge=1.0, description="longest over shorter side; null is no limit")
    max_per_problem: int = Field(4, ge=1, le=1024, description="most pairs of one problem")
    require_significance: bool = Field(
        False, description="level step: only margins that are beyond the noise of both values at 95%"
    )
    consensus: tuple[str, ...] | None = Field(
        None, min_length=2, description="level response: verify stages that must all say correct of chosen, and not "
        "all of rejected; in place of verdicts",
    )  # fmt: skip
    unknown: Literal["ignore", "wrong"] = Field(
        "ignore", description="level response: an unknown verdict stands on neither side, or may be rejected"
    )
    flawed: Literal["keep", "drop"] = Field(
        "keep", description="level response: whether a flawed positive may be chosen; it is never rejected"
    )
    negatives: Negatives = Field(
        "even", description="level response: which wrong ones come first: all alike; one drawn, or the first, of "
        "the group, and no other; the hardest by scored_by; or the nearest in length or text",
    )  # fmt: skip
    scored_by: str | None = Field(
        None, description="negatives hardest: STAGE or STAGE/SCORER that is fooled most, or mean_logprob"
    )

    @model_validator(mode="after")
    def _levels(self) -> PairsConfig:
        if self.level == "response":
            for name in ("min_gap", "labels"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} is for level: step; leave it out")
            if self.require_significance:
                raise ValueError("require_significance is for level: step; verdicts have no interval")
        else:
            for name, default in _OF_RESPONSES.items():
                if getattr(self, name) != default:
                    raise ValueError(f"{name} is for level: response; leave it out")
        if (self.scored_by is not None) != (self.negatives == "hardest"):
            raise ValueError("scored_by belongs to negatives: hardest, which needs it")
        if self.consensus is not None and self.verdicts is not None:
            raise ValueError("consensus says whose verdicts count: leave verdicts out")
        return self


class MinePairs(Stage):
    """Pairs of chosen and rejected."""

    use = "mine.pairs"
    version = "2"
    mines_pairs = True
    Config = PairsConfig
    reads = ("problems", "rollouts", "scores")
    writes = ("pairs",)
    covers = Coverage("problems", "problem_id", {"pairs": "problem_id"})
    summary = "Pair right with wrong responses, or better with worse steps after one prefix."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        if self.config.consensus is None:
            yield from check_verdicts(ancestors, self.config.verdicts)
        else:
            yield from check_consensus(ancestors, self.config.consensus)
        if self.config.level == "response":
            yield from check_flawed(ancestors, self.config.flawed)
            yield from check_scorer(ancestors, "scored_by", self.config.scored_by)
            return
        known = _label_stages(ancestors)
        if self.config.labels is not None and self.config.labels not in known:
            what = f"{self.config.labels!r} is not a label stage above this one"
            yield "labels", what, f"known: {', '.join(known) or 'none'}"
        elif not known:
            yield "level", "no stage above this one values steps", "read one such as label.monte_carlo"
        elif self.config.labels is None and len(known) > 1:
            yield "labels", f"several label stages above: {', '.join(known)}", "say which with labels: NAME"

    def estimate(self, upstream: Estimate) -> Estimate:
        # Our guess: six problems in ten are mixed, and those give all the pairs they may.
        pairs = upstream.problems * 0.6 * self.config.max_per_problem
        return Estimate(upstream.problems, upstream.rollouts, rows={"pairs": pairs})

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        stage = self.config.verdicts if self.config.consensus is None else self.config.consensus[0]
        columns = response.COLUMNS if self.config.level == "response" else _OF_STEPS
        judged = judged_rollouts(inputs, stage, columns).unique("rollout_id", keep="first", maintain_order=True)
        problems = inputs.frame("problems", ["problem_id"], nearest=True).unique().sort("problem_id")
        if self.config.level == "response":
            judged = self._sided(inputs, judged)
            (pairs, empty_handed), history = self._responses(inputs, judged), _judged_texts(judged)
        else:
            name = self.config.labels if self.config.labels is not None else _label_stages(inputs.ancestors)[-1]
            labelled = _labelled(inputs, name, judged)
            (pairs, empty_handed), history = self._steps(inputs, name, judged, labelled), _valued_texts(labelled)
        nothing = "no_rollouts" if self.config.level == "response" else "no_labelled_steps"
        without = problems.join(pairs, on="problem_id", how="anti").join(empty_handed, on="problem_id", how="left")
        reasons = without["reason"].fill_null(nothing).to_list()
        services.count(rows=pairs.height, problems=problems.height, without_pairs=without.height)
        mined = self._audited(pairs, inputs, history).with_columns(pl.lit(services.stage_id).alias("stage_id"))
        rejects = problem_rejects(without["problem_id"].to_list(), reasons, services.stage_id)
        return {"pairs": PAIRS.conform(mined.to_arrow()), "rejects": rejects}

    def _audited(self, pairs: pl.DataFrame, inputs: Inputs, history: pl.DataFrame) -> pl.DataFrame:
        """The pairs with the reliability columns that others' judgements decide, without their `round`."""
        if self.config.level == "response":
            agreed = reliability.response_agreement(pairs, inputs)
        else:
            agreed = reliability.step_agreement(pairs, inputs, _label_stages(inputs.ancestors))
        held = reliability.round_consistency(pairs, history)
        return (
            pairs.drop("round")
            .join(agreed, on="pair_id", how="left", maintain_order="left")
            .join(held, on="pair_id", how="left", maintain_order="left")
        )

    def _within_limits(self, candidate: Candidate) -> bool:
        most = self.config.max_length_ratio
        if most is not None and candidate.length_ratio > most:
            return False
        return candidate.significant or not self.config.require_significance

    def _sided(self, inputs: Inputs, judged: pl.DataFrame) -> pl.DataFrame:
        """`right`: true where a rollout may be chosen, false where it may be rejected, null where neither."""
        config = self.config
        if config.consensus is not None:
            joint = joint_verdicts(inputs, config.consensus).select("rollout_id", "verdict")
            judged = judged.drop("verdict").join(joint, on="rollout_id", how="left", maintain_order="left")
        sides = {"correct": True, "wrong": False} | ({"unknown": False} if config.unknown == "wrong" else {})
        right = pl.col("verdict").replace_strict(sides, default=None, return_dtype=pl.Boolean)
        if config.flawed == "drop":
            flawed = pl.col("rollout_id").is_in(flawed_positives(inputs)["rollout_id"].implode())
            right = pl.when(~flawed).then(right)
        return judged.with_columns(right.alias("right"))

    def _responses(self, inputs: Inputs, judged: pl.DataFrame) -> Found:
        how, rule = self.config.negatives, self.config.negatives
        if how == "even":
            rule = "verdict" if self.config.consensus is None else "consensus"
        usable = response.usable(judged, how)
        problem = pl.col("problem_id")
        reason = pl.lit("no_mixed_group")
        if self.config.scored_by is not None:
            usable = usable.join(numbers(inputs, self.config.scored_by), on="rollout_id", how="left")
            usable, without = response.scored(usable)
            reason = pl.when(problem.is_in(without.implode())).then(pl.lit("no_scored_negative")).otherwise(reason)
        crossed = response.Crossed.of(usable, how, self.config.max_per_problem)
        pairs = crossed.pairs(how, rule, self.config.max_per_problem, self.config.max_length_ratio)
        too_unlike = problem.is_in(crossed.problems.implode())
        reason = pl.when(too_unlike).then(pl.lit("no_pair_within_limits")).otherwise(reason)
        return pairs, judged.select("problem_id").unique().with_columns(reason.alias("reason"))

    def _steps(self, inputs: Inputs, name: str, judged: pl.DataFrame, labelled: pl.DataFrame) -> Found:
        """A loop over problems and their steps: what follows one prefix is a tree of texts."""
        continuations = _by_problem(_correct_continuations(inputs, name))
        correct = judged.filter(pl.col("verdict") == "correct", pl.col("dropped").is_null())
        correct = correct.drop("token_ids", "train_prompt").with_columns(pl.lit(0).alias("prefix_chars"))
        firsts = _by_problem(correct.sort("rollout_id"))
        gap = DEFAULT_GAP if self.config.min_gap is None else self.config.min_gap
        rows: list[tuple[Any, ...]] = []
        reasons: dict[str, str] = {}
        for problem, labels in _by_problem(labelled).items():
            nodes = steps.nodes_of(labels, continuations.get(problem, []), firsts.get(problem, []))
            found = steps.candidates(nodes, self.config.rules, gap, self.config.siblings)
            allowed = [c for c in found if self._within_limits(c)]
            rows.extend(_row(c, problem) for c in choose(allowed, self.config.max_per_problem, "step"))
            comparable = any(node.comparable for node in nodes)
            reasons[problem] = "no_pair_within_limits" if comparable else "no_two_steps_after_one_prefix"
        prompt = pl.coalesce("train_prompt", "prompt").alias("prompt")
        asked = judged.select(pl.col("rollout_id").alias("rejected_rollout_id"), prompt, "round")
        pairs = pl.DataFrame(rows, schema=_ROW, orient="row").join(
            asked, on="rejected_rollout_id", how="left", maintain_order="left"
        )
        empty_handed = {"problem_id": list(reasons), "reason": list(reasons.values())}
        return pairs, pl.DataFrame(empty_handed, schema={"problem_id": pl.String, "reason": pl.String})


def _judged_texts(judged: pl.DataFrame) -> pl.DataFrame:
    """What `round_consistency` compares pairs of responses with; only rounds that are there several times are read."""
    right = judged.filter(pl.col("right").is_not_null())
    return right.select(
        "problem_id",
        "round",
        pl.lit("").alias("prefix"),
        pl.col("completion").alias("text"),
        pl.col("right").cast(pl.Float64).alias("value"),
        pl.lit(None, pl.Float64).alias("advantage"),
    )


def _valued_texts(labelled: pl.DataFrame) -> pl.DataFrame:
    """What `round_consistency` compares pairs of steps with."""
    if labelled["round"].n_unique() < 2:  # nothing to compare: the prefixes of all steps are not written out
        labelled = labelled.clear()
    start, end = pl.col("char_start"), pl.col("char_end")
    return labelled.select(
        "problem_id",
        "round",
        pl.col("completion").str.slice(0, start).alias("prefix"),
        pl.col("completion").str.slice(start, end - start).alias("text"),
        pl.col("value").cast(pl.Float64),
        pl.col("advantage").cast(pl.Float64),
    )


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
        "step_id", "rollout_id", "problem_id", "value_before", "value", "value_low", "value_high", "n", "n_unknown",
        "successes", "advantage", "advantage_se",
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


def _row(candidate: Candidate, problem: str) -> tuple[Any, ...]:
    """The columns of `_ROW`."""
    chosen, rejected = candidate.chosen, candidate.rejected
    return (
        candidate.pair_id("step"),
        problem,
        "step",
        candidate.prefix,
        chosen.text,
        rejected.text,
        chosen.rollout_id,
        rejected.rollout_id,
        chosen.step_id,
        rejected.step_id,
        chosen.value,
        rejected.value,
        candidate.margin,
        candidate.margin_se,
        candidate.length_ratio,
        candidate.visit_confidence,
        candidate.rule,
        reliability.interval_overlap(candidate),
        reliability.p_better(candidate.margin, candidate.margin_se),
    )
