"""What a pipeline will do in a run directory, without doing it.

Reading a plan changes nothing: sources are read and counted, models are identified but not loaded, and the manifest is
only looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthflow.contracts import Estimate
from synthflow.plan.golds import Golds, golds_of
from synthflow.plan.planned import plan_run
from synthflow.plan.volumes import volumes
from synthflow.stages.source.base import Source
from synthflow.stores.manifest import Manifest

if TYPE_CHECKING:
    from synthflow.spec.pipeline import Pipeline

_BYTES_PER_TOKEN = 14.0
"""Disk a sampled token takes, journal and shard together, measured on the demo policy: our default."""


@dataclass(frozen=True)
class StagePlan:
    """One stage of a plan. `units` are partitions (1 for a stage of whole scope)."""

    name: str
    use: str
    units: int
    units_done: int
    rows: dict[str, float]
    requests: float
    tokens: float
    note: str


@dataclass(frozen=True)
class Plan:
    name: str
    run: Path
    stages: tuple[StagePlan, ...]
    problems: int
    price_per_million_tokens: float | None
    golds: Mapping[str, Golds] = field(default_factory=dict)
    """By source, where a verify stage below reads gold answers."""

    def to_json(self) -> dict[str, Any]:
        requests = sum(s.requests for s in self.stages)
        tokens = sum(s.tokens for s in self.stages)
        price = self.price_per_million_tokens
        return {
            "name": self.name,
            "run": str(self.run),
            "stages": [asdict(s) for s in self.stages],
            "golds": {source: asdict(golds) for source, golds in self.golds.items()},
            "total": {
                "problems": self.problems,
                "requests": requests,
                "tokens": tokens,
                "disk_bytes": tokens * _BYTES_PER_TOKEN,
                "cost": None if price is None else tokens / 1e6 * price,
            },
        }


def make_plan(pipeline: Pipeline, root: Path) -> Plan:
    """Plan a pipeline against what a run directory holds already.

    Raises:
        UserError: if an input cannot be read or a model cannot be found.
    """
    planned = plan_run(pipeline, Manifest(root))
    graph = planned.graph
    golds = {n.name: golds_of(pipeline, n.stage) for n in pipeline.nodes if isinstance(n.stage, Source)}
    problems = {name: found.problems for name, found in golds.items()}
    flow = volumes(pipeline, problems)
    stages = []
    for record in planned.records:
        expected = len(graph.units(record.name)) or sum(
            -(-problems[s] // pipeline.execution.partition_size) for s in graph.sources_of(record.name)
        )
        done = planned.units_done(record.name)
        stages.append(_stage_plan(record.name, record.use, expected, done, flow[record.name]))
    price = pipeline.execution.price_per_million_tokens
    told = {name: found for name, found in golds.items() if found.verifiers}
    return Plan(pipeline.name, root, tuple(stages), sum(problems.values()), price, told)


def _stage_plan(name: str, use: str, units: int, done: int, volume: Estimate) -> StagePlan:
    return StagePlan(name, use, units, done, dict(volume.rows), volume.requests, volume.tokens, volume.note)
