"""What a run will do: its stages with their fingerprints, their units of work, and which of those are done.

Invariants: `plan` and `run` read the same `PlannedRun`, so that what the one says is what the other does; planning
writes nothing and loads no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from synthflow.contracts import Estimate, PolicyIdentity
from synthflow.plan.records import stage_records
from synthflow.plan.volumes import volumes
from synthflow.spec.pipeline import Pipeline
from synthflow.stages.source.base import Source
from synthflow.stores.graph import Graph, StageRecord
from synthflow.stores.manifest import Manifest


def policy_identities(pipeline: Pipeline) -> dict[str, PolicyIdentity]:
    """Identities of the policies that stages sample from.

    Raises:
        UserError: if a model cannot be found.
    """
    from synthflow.backends import open_backend

    used = {name for node in pipeline.nodes for name in type(node.stage).policies(node.config)}
    return {name: open_backend(pipeline.policies[name]).identity() for name in sorted(used)}


@dataclass(frozen=True, slots=True)
class SourceUnits:
    """Units of a source: its partitions in order, and the unit of what it left out, if it did.

    `content` is a hash of what its files hold, where that is told without making problems of it.
    """

    partitions: tuple[str, ...]
    left_out: str | None
    content: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A pipeline against what a run directory holds.

    Attributes:
        identities: of the policies that stages sample from, by their names in the spec.
        graph: the stages, and the units of work that they have as far as the sources are cut.
    """

    pipeline: Pipeline
    identities: Mapping[str, PolicyIdentity]
    manifest: Manifest
    graph: Graph

    @property
    def records(self) -> list[StageRecord]:
        """The stages in topological order."""
        return list(self.graph.stages.values())

    def with_sources(self, units: Mapping[str, SourceUnits]) -> PlannedRun:
        """The same plan over what the sources hold now."""
        left_out = {name: each.left_out for name, each in units.items() if each.left_out is not None}
        partitions = {name: each.partitions for name, each in units.items()}
        return replace(self, graph=Graph(self.records, partitions, left_out))

    def units_done(self, stage: str) -> int:
        return sum(self.manifest.find(stage, unit, self.graph) is not None for unit in self.graph.units(stage))

    def pending(self) -> dict[str, int]:
        """Units that are still to be done, by stage; stages that have none are left out."""
        counts = {name: len(self.graph.units(name)) - self.units_done(name) for name in self.graph.stages}
        return {name: n for name, n in counts.items() if n}

    def open_stages(self) -> list[str]:
        """Stages that have work left, as far as is known: those whose units are not cut yet have."""
        return [
            name for name in self.graph.stages if not (n := len(self.graph.units(name))) or self.units_done(name) < n
        ]

    def is_latest(self) -> bool:
        """Whether the latest attempt has this plan and these units, so that a run need not open another."""
        latest = self.manifest.graph
        same_units = (latest.partitions, latest.left_out) == (self.graph.partitions, self.graph.left_out)
        return same_units and [r.to_json() for r in latest.stages.values()] == [r.to_json() for r in self.records]

    def problems(self) -> dict[str, int]:
        """Problems of every source, from its committed shards."""
        counts: dict[str, int] = {}
        for record in self.records:
            if record.scope == "source":
                units = self.graph.units(record.name)
                commits = (self.manifest.find(record.name, unit, self.graph) for unit in units)
                counts[record.name] = sum(s.rows for c in commits if c for s in c.shards if s.table == "problems")
        return counts

    def estimates(self) -> dict[str, Estimate]:
        """What every stage will do, guessed where only a model's answers tell."""
        return volumes(self.pipeline, self.problems())

    def expected_requests(self) -> dict[str, int]:
        """Requests of the stages that know theirs exactly before a model has answered: those that sample groups."""
        flow = self.estimates()
        nodes = self.pipeline.nodes
        return {node.name: int(flow[node.name].requests) for node in nodes if type(node.stage).samples_groups}


def plan_run(
    pipeline: Pipeline, manifest: Manifest, identities: Mapping[str, PolicyIdentity] | None = None
) -> PlannedRun:
    """Plan a pipeline over the units that its sources had in the latest attempt.

    Args:
        identities: of the policies, where they are known; None asks the backends, which need the models for it.

    Raises:
        UserError: if a model cannot be found, or what a stage names cannot be read.
    """
    identities = policy_identities(pipeline) if identities is None else identities
    manifest.forget_lost()
    sources = {node.name for node in pipeline.nodes if isinstance(node.stage, Source)}
    latest = manifest.graph
    partitions = {name: units for name, units in latest.partitions.items() if name in sources}
    left_out = {name: unit for name, unit in latest.left_out.items() if name in sources}
    graph = Graph(stage_records(pipeline, identities), partitions, left_out)
    return PlannedRun(pipeline, identities, manifest, graph)
