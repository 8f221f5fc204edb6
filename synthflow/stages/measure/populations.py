"""Populations: the first rollouts that each stage retains, so that stage against axis gives a delta.

A stage that samples retains its own first rollouts; one that labels steps, the rollouts it cut; one that mines
pairs, the rollouts whose text stands in a pair; every other one, what its parents retain less what it drops: by a
filter's score of 0, or by a row in `rejects`. A continuation counts for the first rollout it continues. Rules
depend on what a stage declares to write, never on the rows of a partition, so that partitions agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synthflow.contracts import Inputs, StageInfo

Mask = NDArray[np.bool_]
Column = Any
"""A chunked array of Arrow."""

MAX_BRANCHES = 1000
"""Continuations of continuations that are followed back; more is a cycle, which no sampler writes."""


def measured_stages(ancestors: tuple[StageInfo, ...]) -> list[str]:
    """Ancestors that have rollouts: those that write them, and all after these."""
    found: set[str] = set()
    for stage in ancestors:
        if "rollouts" in stage.writes or found.intersection(stage.parents):
            found.add(stage.name)
    return [stage.name for stage in ancestors if stage.name in found]


def origins(rollouts: pa.Table) -> pa.Table:
    """The first rollout that each rollout continues, itself for a first one: rollout_id, origin.

    Args:
        rollouts: rollout_id and parent_rollout_id of all rollouts, continuations included.

    Raises:
        ValueError: if rollouts continue each other in a circle.
    """
    names, parents = rollouts["rollout_id"], rollouts["parent_rollout_id"]
    found = pc.coalesce(parents, names)
    for _ in range(MAX_BRANCHES):
        above = parents.take(pc.index_in(found, value_set=names))
        if above.null_count == len(above):
            return pa.table({"rollout_id": names, "origin": found})
        found = pc.coalesce(above, found)
    raise ValueError("rollouts continue each other in a circle: parent_rollout_id never ends at a first rollout")


class Populations:
    """Masks over first rollouts by stage.

    Args:
        first: columns rollout_id, problem_id and made_by, the stage that sampled it.
        origin: what `origins` says.
    """

    def __init__(self, inputs: Inputs, first: pa.Table, origin: pa.Table) -> None:
        self.inputs = inputs
        self.first = first
        self.origin = origin
        self.pairs: dict[str, pa.Table] = {}

    def masks(self) -> Mapping[str, Mask]:
        """What each measured stage retains, in topological order."""
        found: dict[str, Mask] = {}
        measured = measured_stages(tuple(self.inputs.ancestors))
        for stage in self.inputs.ancestors:
            if stage.name not in measured:
                continue
            above = np.zeros(self.first.num_rows, dtype=bool)
            for parent in stage.parents:
                above |= found.get(parent, np.zeros_like(above))
            found[stage.name] = self._retained(stage, above)
        return found

    def _retained(self, stage: StageInfo, above: Mask) -> Mask:
        if "pairs" in stage.writes:
            self.pairs[stage.name] = self._pair_rollouts(stage.name)
            return self._among(self.pairs[stage.name]["rollout_id"])
        self.pairs[stage.name] = pa.concat_tables(
            [_NO_PAIRS, *(self.pairs[p] for p in stage.parents if p in self.pairs)]
        )
        for table in ("steps", "step_values"):
            if table in stage.writes:
                return self._among(self.inputs.of_stage(stage.name, table, ["rollout_id"])["rollout_id"])
        if "rollouts" in stage.writes:
            return _mask(_equal(self.first["made_by"], stage.name))
        return above & ~self._dropped(stage)

    def _dropped(self, stage: StageInfo) -> Mask:
        gone = np.zeros(self.first.num_rows, dtype=bool)
        if "scores" in stage.writes:
            scores = self.inputs.of_stage(stage.name, "scores", ["target_kind", "target_id", "kind", "value"])
            of_filters: Column = pc.and_(_equal(scores["kind"], "filter"), _equal(scores["target_kind"], "rollout"))
            dropped: Column = pc.and_(of_filters, _equal(scores["value"], 0.0))
            gone |= self._among(scores["target_id"].filter(dropped))
        rejects = self.inputs.of_stage(stage.name, "rejects", ["target_kind", "target_id"])
        if not rejects.num_rows:
            return gone
        by_kind = {kind: rejects["target_id"].filter(_equal(rejects["target_kind"], kind)) for kind in _REJECTED}
        gone |= self._among(by_kind["rollout"]) | self._among(by_kind["problem"], "problem_id")
        return gone | self._only_in(stage.name, by_kind["pair"])

    def _only_in(self, stage: str, rejected_pairs: Column) -> Mask:
        """Rollouts that stand in rejected pairs and in no other."""
        pairs = self.pairs[stage]
        rejected = pc.is_in(pairs["pair_id"], value_set=rejected_pairs)
        self.pairs[stage] = pairs.filter(pc.invert(rejected))
        return self._among(pairs.filter(rejected)["rollout_id"]) & ~self._among(self.pairs[stage]["rollout_id"])

    def _pair_rollouts(self, stage: str) -> pa.Table:
        """pair_id and rollout_id of both sides of each pair; a continuation counts for the first rollout."""
        pairs = self.inputs.of_stage(stage, "pairs", ["pair_id", "chosen_rollout_id", "rejected_rollout_id"])
        sides = pa.chunked_array(
            [*pairs["chosen_rollout_id"].chunks, *pairs["rejected_rollout_id"].chunks], pa.string()
        )
        origin = self.origin["origin"].take(pc.index_in(sides, value_set=self.origin["rollout_id"]))
        ids = pa.chunked_array([*pairs["pair_id"].chunks, *pairs["pair_id"].chunks], pa.string())
        return pa.table({"pair_id": ids, "rollout_id": pc.coalesce(origin, sides)})

    def _among(self, ids: Column, column: str = "rollout_id") -> Mask:
        return _mask(pc.is_in(self.first[column], value_set=ids))


def _equal(column: Column, value: str | float) -> Column:
    return pc.equal(column, pa.scalar(value))


def _mask(found: Column) -> Mask:
    mask: Mask = found.to_numpy()
    return mask


_NO_PAIRS = pa.table({"pair_id": pa.array([], pa.string()), "rollout_id": pa.array([], pa.string())})
_REJECTED = ("rollout", "problem", "pair")
