"""What a pipeline will do in a run directory, without doing it.

Reading a plan changes nothing: sources are read and cut as a run cuts them, models are identified but not loaded, and
the manifest and the journal are only looked at.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthflow.contracts import Estimate
from synthflow.plan.costs import Change, StageCost, cost_of_change
from synthflow.plan.other_run import other_run
from synthflow.plan.planned import plan_run
from synthflow.plan.sources import partition_sizes, read_sources
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

    def to_json(self) -> dict[str, Any]:
        requests = sum(s.requests for s in self.stages)
        tokens = sum(s.tokens for s in self.stages)
        price = self.price_per_million_tokens
        return {
            "name": self.name,
            "run": str(self.run),
            "stages": [asdict(s) for s in self.stages],
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
        UserError: if an input cannot be read or a model cannot be found.
    """
    planned = plan_run(pipeline, Manifest(root))
    now = read_sources(planned, root)
    planned = planned.with_sources({name: each.units for name, each in now.items()})
    problems = {name: sum(partition_sizes(planned, name, each).values()) for name, each in now.items()}
    flow, change = volumes(pipeline, problems), cost_of_change(planned, now, root)
    stages = [_stage_plan(cost, flow[cost.stage]) for cost in change.stages]
    price = pipeline.execution.price_per_million_tokens
    other = other_run(pipeline, planned.manifest)
    return Plan(pipeline.name, root, tuple(stages), sum(problems.values()), change, other, price)


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
