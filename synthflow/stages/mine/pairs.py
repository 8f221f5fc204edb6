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
from synthflow.rollouts.scores import check_scorer, numbers
from synthflow.rollouts.views import check_verdicts, judged_rollouts
from synthflow.schema import PAIRS, REJECTS
from synthflow.stages.mine import reliability, response, steps
from synthflow.stages.mine.choose import Candidate, choose
from synthflow.stages.mine.negatives import Negatives
from synthflow.stages.mine.outcomes import check_consensus, check_flawed, flawed_positives, joint_verdicts

Rule = Literal["sibling", "continuation"]
DEFAULT_GAP = 0.3

_FIRST = (
    "rollout_id", "problem_id", "policy_id", "round", "sampling_id", "prefix_id", "prompt", "train_prompt",
    "completion", "completion_hash", "n_tokens", "verdict", "dropped",
)  # fmt: skip
_OF_RESPONSES = {"consensus": None, "unknown": "ignore", "flawed": "keep", "negatives": "even", "scored_by": None}


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
        judged = judged_rollouts(inputs, stage).unique("rollout_id", keep="first", maintain_order=True)
        if self.config.level == "response":
            judged = self._sided(inputs, judged)
            found, history = self._responses(inputs, judged), _judged_texts(judged)
        else:
            name = self.config.labels if self.config.labels is not None else _label_stages(inputs.ancestors)[-1]
            labelled = _labelled(inputs, name, judged)
            found, history = self._steps(inputs, name, judged, labelled), _valued_texts(labelled)
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
        mined = self._audited(PAIRS.from_rows(pairs), inputs, judged, history)
        return {"pairs": mined, "rejects": REJECTS.from_rows(rejects)}

    def _audited(self, pairs: pa.Table, inputs: Inputs, judged: pl.DataFrame, history: pl.DataFrame) -> pa.Table:
        """The pairs with the reliability columns that others' judgements decide."""
        frame = pl.from_arrow(pairs)
        assert isinstance(frame, pl.DataFrame)
        if self.config.level == "response":
            agreed = reliability.response_agreement(frame, inputs)
        else:
            agreed = reliability.step_agreement(frame, inputs, _label_stages(inputs.ancestors))
        rounds = judged.select(pl.col("rollout_id").alias("rejected_rollout_id"), "round")
        held = reliability.round_consistency(frame.join(rounds, on="rejected_rollout_id", how="left"), history)
        with_both = (
            frame.drop("scorer_agreement", "round_consistency")
            .join(agreed, on="pair_id", how="left", maintain_order="left")
            .join(held, on="pair_id", how="left", maintain_order="left")
        )
        return PAIRS.conform(with_both.to_arrow())

    def _nothing(self) -> str:
        return "no_rollouts" if self.config.level == "response" else "no_labelled_steps"

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

    def _responses(self, inputs: Inputs, judged: pl.DataFrame) -> dict[str, tuple[list[Candidate], str]]:
        """Candidates of every problem that has rollouts, and the reason where there are none."""
        how, rule = self.config.negatives, self.config.negatives
        if how == "even":
            rule = "verdict" if self.config.consensus is None else "consensus"
        first = "index" if how == "first" else "rollout_id"
        usable = response.usable(judged.select(*_FIRST, "right", "index"), first)
        if self.config.scored_by is not None:
            told = numbers(inputs, self.config.scored_by)
            usable = usable.join(told, on="rollout_id", how="left", maintain_order="left")
        by_problem = {str(key[0]): part.rows(named=True) for key, part in usable.group_by("problem_id")}
        most = self.config.max_per_problem
        found = {}
        for problem in judged["problem_id"].unique().to_list():
            rows = by_problem.get(problem, [])
            unscored = how == "hardest" and all(row["number"] is None for row in rows if not row["right"])
            reason = "no_scored_negative" if unscored and response.candidates(rows, most) else "no_mixed_group"
            found[problem] = (response.candidates(rows, most, how, rule), reason)
        return found

    def _steps(
        self, inputs: Inputs, name: str, judged: pl.DataFrame, labelled: pl.DataFrame
    ) -> dict[str, tuple[list[Candidate], str]]:
        """Candidates of every problem that has labelled steps, and the reason where there are none."""
        continuations = _by_problem(_correct_continuations(inputs, name))
        correct = judged.filter(pl.col("verdict") == "correct", pl.col("dropped").is_null())
        firsts = _by_problem(correct.select(*_FIRST, pl.lit(0).alias("prefix_chars")).sort("rollout_id"))
        gap = DEFAULT_GAP if self.config.min_gap is None else self.config.min_gap
        found = {}
        for problem, rows in _by_problem(labelled).items():
            nodes = steps.nodes_of(rows, continuations.get(problem, []), firsts.get(problem, []))
            comparable = any(node.comparable for node in nodes)
            reason = "no_pair_within_limits" if comparable else "no_two_steps_after_one_prefix"
            found[problem] = (steps.candidates(nodes, self.config.rules, gap, self.config.siblings), reason)
        return found


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
        "visit_confidence": candidate.visit_confidence,
        "rule": candidate.rule,
        "interval_overlap": reliability.interval_overlap(candidate),
        "p_better": reliability.p_better(candidate.margin, candidate.margin_se),
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
