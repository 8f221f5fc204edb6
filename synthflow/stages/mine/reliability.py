"""How far a pair's order is to be trusted, from what else the run knows: four columns beside its margin.

Invariants: every number is a share or a probability in [0, 1], or null where nobody could say; none of them is part of
a pair's id, and none decides which pairs are mined. All definitions are our default.

- `interval_overlap`: what two 95% intervals have in common, as a share of the shorter one; 0 where they are disjoint,
  1 where one holds the other (a point in an interval, too). Null where a side has no interval of its own, as the
  chosen side of a `continuation` pair.
- `p_better`: the probability that the true margin is above 0, Phi(margin / margin_se), by the normal approximation; 1
  of a margin whose error is 0. Null where the margin has no error.
- `scorer_agreement`: of the stages above that judged both sides, the share that puts them in the pair's order: verify
  stages of a response pair (correct against wrong), label stages of a step pair (values; of a `continuation` pair
  whether the rejected step loses). Null where none judged both.
- `round_consistency`: of the earlier rounds in which the same two texts were judged after the same prefix, the share
  in which their order was the same; null where there is none. The order of a round is that of the mean values.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import polars as pl

from synthflow.contracts import Inputs
from synthflow.rollouts.views import verdicts, verify_stages
from synthflow.stages.mine.choose import Candidate, Side


def interval_overlap(candidate: Candidate) -> float | None:
    """Of a candidate's two sides."""
    ends = [_ends(side) for side in (candidate.chosen, candidate.rejected)]
    if candidate.rule == "continuation" or ends[0] is None or ends[1] is None:
        return None
    shared = min(ends[0][1], ends[1][1]) - max(ends[0][0], ends[1][0])
    shorter = min(ends[0][1] - ends[0][0], ends[1][1] - ends[1][0])
    if shared < 0:
        return 0.0
    return 1.0 if shorter <= 0 else min(shared / shorter, 1.0)


def _ends(side: Side) -> tuple[float, float] | None:
    low: float | None = side.low
    high: float | None = side.high
    return None if low is None or high is None else (low, high)


def p_better(margin: float, margin_se: float | None) -> float | None:
    """P(true margin > 0); None without an error to tell it by."""
    if margin_se is None:
        return None
    if margin_se <= 0:
        return float(margin > 0)
    return NormalDist().cdf(margin / margin_se)


def response_agreement(pairs: pl.DataFrame, inputs: Inputs) -> pl.DataFrame:
    """pair_id, scorer_agreement of pairs of responses."""
    told = []
    for stage in verify_stages(inputs.ancestors):
        said = (
            verdicts(inputs, stage, ["verdict"])
            .filter(pl.col("verdict") != "unknown")
            .unique("rollout_id", keep="first")
        )
        told.append(
            _ordered(pairs, said.select("rollout_id", (pl.col("verdict") == "correct").cast(pl.Float64)), "rollout_id")
        )
    return _share(told, "scorer_agreement")


def step_agreement(pairs: pl.DataFrame, inputs: Inputs, stages: Sequence[str]) -> pl.DataFrame:
    """pair_id, scorer_agreement of pairs of steps, by the label stages above."""
    told = []
    for stage in stages:
        rows = pl.from_arrow(inputs.of_stage(stage, "step_values", ["step_id", "value", "advantage"]))
        assert isinstance(rows, pl.DataFrame)
        valued = rows.unique("step_id", keep="first", maintain_order=True)
        told.append(_ordered(pairs, valued.drop_nulls("value").select("step_id", "value"), "step_id"))
        lost = valued.drop_nulls("advantage").select(
            pl.col("step_id").alias("rejected_step_id"), (pl.col("advantage") < 0).alias("held")
        )
        alone = pairs.filter(pl.col("chosen_step_id").is_null())
        told.append(alone.join(lost, on="rejected_step_id", how="inner").select("pair_id", "held"))
    return _share(told, "scorer_agreement")


def _ordered(pairs: pl.DataFrame, values: pl.DataFrame, key: str) -> pl.DataFrame:
    """pair_id, held: whether chosen has the larger value, of pairs whose sides both have one."""
    sides = [
        values.rename({key: f"{side}_{key}", next(c for c in values.columns if c != key): f"_{side}"})
        for side in ("chosen", "rejected")
    ]
    ends = pairs.select("pair_id", f"chosen_{key}", f"rejected_{key}")
    both = ends.join(sides[0], on=f"chosen_{key}", how="inner").join(sides[1], on=f"rejected_{key}", how="inner")
    return both.select("pair_id", (pl.col("_chosen") > pl.col("_rejected")).alias("held"))


def _share(told: Sequence[pl.DataFrame], name: str) -> pl.DataFrame:
    if not told:
        return pl.DataFrame(schema={"pair_id": pl.String, name: pl.Float64})
    return pl.concat(told).group_by("pair_id").agg(pl.col("held").mean().alias(name))


def round_consistency(pairs: pl.DataFrame, history: pl.DataFrame) -> pl.DataFrame:
    """pair_id, round_consistency.

    Args:
        pairs: pair_id, problem_id, round, prefix, chosen, rejected, chosen_step_id and level.
        history: problem_id, round, prefix, text, value and advantage (null where there is none), of all rounds; one
            text may stand there several times, whose mean counts.
    """
    key = ["problem_id", "prefix", "text"]
    if history["round"].n_unique() < 2:
        return pl.DataFrame(schema={"pair_id": pl.String, "round_consistency": pl.Float64})
    means = history.group_by(*key, "round").agg(pl.col("value").mean(), pl.col("advantage").mean())
    earlier = pl.col("_then") < pl.col("round")
    rejected = pairs.join(
        means.rename({"text": "rejected", "value": "_rejected", "advantage": "_lost", "round": "_then"}),
        on=["problem_id", "prefix", "rejected"],
        how="inner",
    ).filter(earlier)
    chosen = means.drop("advantage").rename({"text": "chosen", "value": "_chosen", "round": "_then"})
    both = rejected.join(chosen, on=["problem_id", "prefix", "chosen", "_then"], how="left")
    continued = (pl.col("level") == "step") & pl.col("chosen_step_id").is_null()
    held = pl.when(continued).then(pl.col("_lost") < 0).otherwise(pl.col("_chosen") > pl.col("_rejected"))
    return _share([both.select("pair_id", held.alias("held")).drop_nulls("held")], "round_consistency")
