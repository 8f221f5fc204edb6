"""Reading what labelers say of the same steps, for `measure.step_agreement`.

Invariants: labelers are compared on steps with one id, which are the same spans of the same rollout; of more problems
than are wanted those with the smallest ids are read, which are hashes, so that they are a random sample that does not
depend on partitions; what is held grows with these problems and not with the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import polars as pl

from synthflow.contracts import Inputs, StageInfo, StepKind
from synthflow.rollouts.groups import GROUP
from synthflow.rollouts.views import verdicts

KINDS: tuple[str, ...] = get_args(StepKind)
SIZES = ((1, 3), (4, 7), (8, 15), (16, None))
"""Bins of the number of steps of a rollout, both ends in; the last is open."""

_VALUES = [
    "step_id", "problem_id", "rollout_id", "index", "labeler", "config_hash", "scale", "value", "advantage", "n",
    "is_first_error", "p_first_error", "tokens_spent",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class StepLabels:
    """What labelers say.

    Attributes:
        by_labeler: name -> one row a step, sorted by problem, rollout and index: problem (a code), rollout_id, step_id,
            index, is_last, scale, value, advantage, first (is_first_error), p_first, tokens, is_verdict (the value is
            the rollout's verdict, not an estimate).
        kinds: step_id and kind (of `StepKind`) of the truth's steps; empty where it tells none.
        places: one row a rollout: rollout_id, outcome (1, 0 or null), difficulty_bin, n_ops, steps.
    """

    by_labeler: dict[str, pl.DataFrame]
    kinds: pl.DataFrame
    places: pl.DataFrame


def label_stages(ancestors: Sequence[StageInfo]) -> list[str]:
    """Names of the ancestors that value steps."""
    return [a.name for a in ancestors if "step_values" in a.writes]


def read_labels(
    inputs: Inputs, stages: Sequence[str], truth: str | None, verdict_stage: str | None, problems: int | None
) -> StepLabels:
    """Read the labels of a run.

    Args:
        stages: label stages, the truth among them.
        truth: the stage that is the truth; None where there is none.
        verdict_stage: whose verdicts are the outcome; None where there is one verify stage.
        problems: most problems read; None reads all.
    """
    wanted = _problems(inputs, stages, problems)
    parts = [_read(part, stages, truth, verdict_stage, wanted) for part in inputs.partitions()]
    values = pl.concat([_no_values(), *(p[0] for p in parts)])
    kinds = pl.concat([pl.DataFrame(schema={"step_id": pl.String, "kind": pl.String}), *(p[1] for p in parts)])
    places = pl.concat([_no_places(), *(p[2] for p in parts)], how="vertical").unique("rollout_id").sort("rollout_id")
    return StepLabels(_by_labeler(values, stages), kinds.unique("step_id"), _with_sizes(places, values))


def _problems(inputs: Inputs, stages: Sequence[str], most: int | None) -> pl.DataFrame:
    """problem_id and a code of each problem that is read, in the order of the ids."""
    found: set[str] = set()
    for part in inputs.partitions():
        for stage in stages:
            found.update(_frame(part, stage, "step_values", ["problem_id"])["problem_id"].unique().to_list())
    chosen = sorted(found)[:most]
    return pl.DataFrame({"problem_id": chosen, "problem": range(len(chosen))}, schema=_PROBLEM)


_PROBLEM = {"problem_id": pl.String, "problem": pl.Int64}


def _read(
    part: Inputs, stages: Sequence[str], truth: str | None, verdict_stage: str | None, wanted: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    values = pl.concat(
        [
            _frame(part, stage, "step_values", _VALUES)
            .join(wanted, on="problem_id")
            .with_columns(pl.lit(stage).alias("stage"))
            for stage in stages
        ]
    ).select(_no_values().columns)
    rollouts = values.select("rollout_id").unique()
    return values, _kinds(part, truth, wanted), _places(part, verdict_stage, rollouts)


def _kinds(part: Inputs, truth: str | None, wanted: pl.DataFrame) -> pl.DataFrame:
    empty = pl.DataFrame(schema={"step_id": pl.String, "kind": pl.String})
    if truth is None:
        return empty
    scores = _frame(part, truth, "scores", ["problem_id", "target_kind", "target_id", "kind", "detail"])
    return (
        scores.filter(pl.col("target_kind") == "step", pl.col("kind") == "measure", pl.col("detail").is_in(KINDS))
        .join(wanted, on="problem_id", how="semi")
        .select(pl.col("target_id").alias("step_id"), pl.col("detail").alias("kind"))
    )


def _places(part: Inputs, verdict_stage: str | None, labelled: pl.DataFrame) -> pl.DataFrame:
    rollouts = part.frame("rollouts", ["rollout_id", *GROUP]).unique("rollout_id").join(labelled, on="rollout_id")
    bins = part.frame("problem_stats", [*GROUP, "difficulty_bin"]).unique(GROUP, keep="first", maintain_order=True)
    problems = part.frame("problems", ["problem_id", "metadata"]).unique("problem_id", keep="first")
    operations = problems.select("problem_id", pl.col("metadata").str.json_path_match("$.n_ops").alias("n_ops"))
    outcome = (
        pl.when(pl.col("verdict") == "correct").then(1.0).when(pl.col("verdict") == "wrong").then(0.0).alias("outcome")
    )
    judged = verdicts(part, verdict_stage).unique("rollout_id", keep="first", maintain_order=True)
    return (
        rollouts.join(bins, on=GROUP, how="left")
        .join(operations, on="problem_id", how="left")
        .join(judged.select("rollout_id", outcome), on="rollout_id", how="left")
        .select(_no_places().columns)
    )


def _by_labeler(values: pl.DataFrame, stages: Sequence[str]) -> dict[str, pl.DataFrame]:
    found = {}
    for stage in stages:
        own = values.filter(pl.col("stage") == stage)
        labelers = own["labeler"].unique().sort().to_list()
        for labeler in labelers:
            rows = (
                own.filter(pl.col("labeler") == labeler)
                .sort("problem", "rollout_id", "index", "config_hash")
                .unique("step_id", keep="first", maintain_order=True)
            )
            last = pl.col("index") == pl.col("index").max().over("rollout_id")
            found[stage if len(labelers) == 1 else f"{stage}/{labeler}"] = rows.with_columns(
                last.alias("is_last"), (last & (pl.col("scale") == "chance") & (pl.col("n") == 0)).alias("is_verdict")
            )
    return found


def _with_sizes(places: pl.DataFrame, values: pl.DataFrame) -> pl.DataFrame:
    counted = values.group_by("rollout_id").agg((pl.col("index").max() + 1).alias("size"))
    size = pl.col("size")
    named = pl.lit(None, pl.String)
    for low, high in reversed(SIZES):
        name = f"{low}+" if high is None else f"{low}-{high}"
        named = pl.when(size >= low if high is None else size.is_between(low, high)).then(pl.lit(name)).otherwise(named)
    return places.join(counted, on="rollout_id", how="left").with_columns(named.alias("steps")).drop("size")


def _frame(part: Inputs, stage: str, table: str, columns: list[str]) -> pl.DataFrame:
    frame = pl.from_arrow(part.of_stage(stage, table, columns))
    assert isinstance(frame, pl.DataFrame)
    return frame.rename(_SHORT, strict=False).with_columns(pl.col(pl.Float32).cast(pl.Float64))


_SHORT = {"is_first_error": "first", "p_first_error": "p_first", "tokens_spent": "tokens"}


def _no_values() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "stage": pl.String, "labeler": pl.String, "config_hash": pl.String, "step_id": pl.String,
            "problem": pl.Int64, "rollout_id": pl.String, "index": pl.Int32, "scale": pl.String, "value": pl.Float64,
            "advantage": pl.Float64, "n": pl.Int32, "first": pl.Boolean, "p_first": pl.Float64, "tokens": pl.Int64,
        }
    )  # fmt: skip


def _no_places() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "rollout_id": pl.String, "outcome": pl.Float64, "difficulty_bin": pl.String, "n_ops": pl.String,
        }
    )  # fmt: skip
