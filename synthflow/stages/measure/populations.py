"""Populations: the first rollouts that each stage retains, so that stage against axis gives a delta.

A stage that samples retains its own first rollouts; one that labels steps, the rollouts it cut; one that mines
pairs, the rollouts whose text stands in a pair; every other one, what its parents retain less what it drops: by a
filter's score of 0, or by a row in `rejects`. A continuation counts for the first rollout it continues. Rules
depend on what a stage declares to write, never on the rows of a partition, so that partitions agree.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from synthflow.contracts import Inputs, StageInfo

Mask = NDArray[np.bool_]
MAX_BRANCHES = 1000
"""Continuations of continuations that are followed back; more is a cycle, which no sampler writes."""


def measured_stages(ancestors: tuple[StageInfo, ...]) -> list[str]:
    """Ancestors that have rollouts: those that write them, and all after these."""
    found: set[str] = set()
    for stage in ancestors:
        if "rollouts" in stage.writes or found.intersection(stage.parents):
            found.add(stage.name)
    return [stage.name for stage in ancestors if stage.name in found]


def origins(rollouts: pl.DataFrame) -> pl.DataFrame:
    """The first rollout that each rollout continues, itself for a first one: rollout_id, origin.

    Args:
        rollouts: rollout_id and parent_rollout_id of all rollouts, continuations included.

    Raises:
        ValueError: if rollouts continue each other in a circle.
    """
    found = rollouts.select("rollout_id", pl.coalesce("parent_rollout_id", "rollout_id").alias("origin"))
    parent = rollouts.filter(pl.col("parent_rollout_id").is_not_null()).select(
        pl.col("rollout_id").alias("origin"), "parent_rollout_id"
    )
    for _ in range(MAX_BRANCHES):
        found = found.join(parent, on="origin", how="left")
        if found["parent_rollout_id"].null_count() == found.height:
            return found.select("rollout_id", "origin")
        found = found.select("rollout_id", pl.coalesce("parent_rollout_id", "origin").alias("origin"))
    raise ValueError("rollouts continue each other in a circle: parent_rollout_id never ends at a first rollout")


class Populations:
    """Masks over `first` (columns rollout_id, problem_id and made_by, the stage that sampled it) by stage."""

    def __init__(self, inputs: Inputs, first: pl.DataFrame, origin: pl.DataFrame) -> None:
        self.inputs = inputs
        self.first = first
        self.origin = origin
        self.pairs: dict[str, pl.DataFrame] = {}

    def masks(self) -> Mapping[str, Mask]:
        """What each measured stage retains, in topological order."""
        found: dict[str, Mask] = {}
        measured = measured_stages(tuple(self.inputs.ancestors))
        for stage in self.inputs.ancestors:
            if stage.name not in measured:
                continue
            above = np.zeros(self.first.height, dtype=bool)
            for parent in stage.parents:
                above |= found.get(parent, np.zeros_like(above))
            found[stage.name] = self._retained(stage, above)
        return found

    def _retained(self, stage: StageInfo, above: Mask) -> Mask:
        if "pairs" in stage.writes:
            self.pairs[stage.name] = self._pair_rollouts(stage.name)
            return self._among(self.pairs[stage.name]["rollout_id"])
        self.pairs[stage.name] = pl.concat([_NO_PAIRS, *(self.pairs[p] for p in stage.parents if p in self.pairs)])
        for table in ("steps", "step_values"):
            if table in stage.writes:
                return self._among(self._frame(stage.name, table, ["rollout_id"])["rollout_id"])
        if "rollouts" in stage.writes:
            return (self.first["made_by"] == stage.name).to_numpy()
        return above & ~self._dropped(stage)

    def _dropped(self, stage: StageInfo) -> Mask:
        gone = np.zeros(self.first.height, dtype=bool)
        if "scores" in stage.writes:
            scores = self._frame(stage.name, "scores", ["target_kind", "target_id", "kind", "value"])
            is_drop = (pl.col("kind") == "filter") & (pl.col("value") == 0) & (pl.col("target_kind") == "rollout")
            gone |= self._among(scores.filter(is_drop)["target_id"])
        rejects = self._frame(stage.name, "rejects", ["target_kind", "target_id"])
        by_kind = {kind: rejects.filter(pl.col("target_kind") == kind)["target_id"] for kind in _REJECTED}
        gone |= self._among(by_kind["rollout"])
        gone |= self.first["problem_id"].is_in(by_kind["problem"].implode()).to_numpy()
        return gone | self._only_in(stage.name, by_kind["pair"])

    def _only_in(self, stage: str, rejected_pairs: pl.Series) -> Mask:
        """Rollouts that stand in rejected pairs and in no other."""
        pairs = self.pairs[stage]
        rejected = pairs["pair_id"].is_in(rejected_pairs.implode())
        self.pairs[stage] = pairs.filter(~rejected)
        return self._among(pairs.filter(rejected)["rollout_id"]) & ~self._among(self.pairs[stage]["rollout_id"])

    def _pair_rollouts(self, stage: str) -> pl.DataFrame:
        sides = self._frame(stage, "pairs", ["pair_id", "chosen_rollout_id", "rejected_rollout_id"])
        long = sides.unpivot(index="pair_id", value_name="rollout_id").select("pair_id", "rollout_id")
        return long.join(self.origin, on="rollout_id", how="left").select(
            "pair_id", pl.coalesce("origin", "rollout_id").alias("rollout_id")
        )

    def _among(self, rollout_ids: pl.Series) -> Mask:
        return self.first["rollout_id"].is_in(rollout_ids.implode()).to_numpy()

    def _frame(self, stage: str, table: str, columns: list[str]) -> pl.DataFrame:
        frame = pl.from_arrow(self.inputs.of_stage(stage, table, columns))
        assert isinstance(frame, pl.DataFrame)
        return frame


_NO_PAIRS = pl.DataFrame(schema={"pair_id": pl.String, "rollout_id": pl.String})
_REJECTED = ("rollout", "problem", "pair")
