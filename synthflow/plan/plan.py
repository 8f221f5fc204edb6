"""What a pipeline will do in a run directory, without doing it.

Reading a plan changes nothing: sources are read and cut as a run cuts them, models are identified but not loaded, and
the manifest and the journal are only looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthflow.contracts import Estimate
from synthflow.io.without_pandas import without_pandas
from synthflow.plan.again import asked_again
from synthflow.plan.costs import Change, StageCost, cost_of_change
from synthflow.plan.golds import Golds, GoldSample, golds_of, reads_golds_of
from synthflow.plan.installed import check_installed
from synthflow.plan.other_run import other_run
from synthflow.plan.planned import plan_run
from synthflow.plan.sources import partition_sizes, read_sources, recorded_batches
from synthflow.plan.volumes import volumes
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
    change: Change
    other_run: str | None
    price_per_million_tokens: float | None
    golds: Mapping[str, Golds] = field(default_factory=dict)
    """By source, where a verify stage below that reads gold answers has work to do."""

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
            "change": self.change.to_json(),
            "other_run": self.other_run,
        }


def make_plan(pipeline: Pipeline, root: Path) -> Plan:
    """Plan a pipeline against what a run directory holds already.

    Raises:
        UserError: if an input cannot be read, a model cannot be found or a package that is needed is missing.
    """
    without_pandas()
    planned = plan_run(pipeline, Manifest(root))
    samples = {name: GoldSample() for name in planned.graph.stages}
    now = read_sources(planned, root, lambda name: samples[name].add)
    planned = planned.with_sources({name: each.units for name, each in now.items()})
    problems = {name: sum(partition_sizes(planned, name, each).values()) for name, each in now.items()}
    flow, change = volumes(pipeline, problems), cost_of_change(planned, now, root, asked_again(planned))
    stages = [_stage_plan(cost, flow[cost.stage]) for cost in change.stages]
    owed = {cost.stage for cost in change.stages if cost.owed}
    check_installed(pipeline, owed)
    golds = {}
    for name, each in now.items():
        if not owed.isdisjoint(reads_golds_of(pipeline, name)):
            if not each.was_read:
                for batch in recorded_batches(planned, name, each, root):
                    samples[name].add(batch)
            golds[name] = golds_of(pipeline, name, samples[name])
    return Plan(
        name=pipeline.name,
        run=root,
        stages=tuple(stages),
        problems=sum(problems.values()),
        change=change,
        other_run=other_run(pipeline, planned.manifest),
        price_per_million_tokens=pipeline.execution.price_per_million_tokens,
        golds={name: found for name, found in golds.items() if found.verifiers},
    )


def _stage_plan(cost: StageCost, volume: Estimate) -> StagePlan:
    return StagePlan(
        cost.stage,
        cost.use,
        cost.kept + cost.owed,
        cost.kept,
        dict(volume.rows),
        volume.requests,
        volume.tokens,
        volume.note,
    )
