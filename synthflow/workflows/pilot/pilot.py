"""`plan --pilot`: run a small sample of a pipeline for real, and project the whole of it from what that measured.

Invariants: nothing of the real run is changed. A pilot is a run of its own in `RUN/.pilot`, on problems that are
chosen by their ids, through the stages that come before any release. It samples into the journal of the real run,
whose requests have the same ids, so that a pilot's rollouts are not sampled twice; and it holds the real run's lock,
so that the two never sample at once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthflow.errors import UserError
from synthflow.plan.partition_size import partition_size
from synthflow.stages.source.base import Source
from synthflow.stores.lock import RunLock
from synthflow.stores.rundir import RunDirectory
from synthflow.workflows.pilot.choose import Chosen, ChosenProblems, choose_problems
from synthflow.workflows.pilot.measured import Measured, measure
from synthflow.workflows.pilot.projection import LEVEL, REPLICATES, Projection, Range, Vector
from synthflow.workflows.pilot.speed import Speed, speed_of, within

if TYPE_CHECKING:
    from synthflow.execute.cluster import ClusterSize
    from synthflow.execute.run import Display
    from synthflow.execute.stopping import Stopper
    from synthflow.spec.nodes import Node
    from synthflow.spec.pipeline import Pipeline

FOLDER = ".pilot"
DEFAULT_PROBLEMS = 16
_PARTITIONS = 8
"""Partitions of a pilot, all in flight at once: the engine sees one batch, the journal a few narrow segments."""


@dataclass(frozen=True)
class Pilot:
    """What a pilot measured and projects; `to_json` gives plain data.

    Attributes:
        root: the pilot's own run directory.
        start_s: seconds from the start until the first request was open; None where nothing was sampled this time.
        sampled_now: rollouts that were not journaled before.
    """

    pipeline: Pipeline
    root: Path
    measured: Measured
    projection: Projection
    speed: Speed | None
    size: ClusterSize
    elapsed_s: float
    start_s: float | None
    sampled_now: int

    @property
    def sampling(self) -> list[str]:
        return sampling_stages(self.pipeline)

    def to_json(self) -> dict[str, Any]:
        """`measured` is of the pilot, `stages` and `total` are projected; ranges are of 90%."""
        requests, tokens = self._summed("requests"), self._summed("tokens")
        return {
            "run": str(self.root),
            "interval": LEVEL,
            "problems": self.projection.total,
            "measured": self._measured(),
            "stages": [self._stage(name) for name in self.sampling],
            "total": {
                "requests": requests.to_json(),
                "tokens": tokens.to_json(),
                **self._times(),
                "disk_bytes": self._disk().to_json(),
                **self._yields(),
                "cost": self._cost(tokens),
            },
        }

    def _measured(self) -> dict[str, Any]:
        sums = {name: sum(column.values()) for name, column in self.measured.columns.items()}
        rollouts = sum(sums[f"requests/{s}"] for s in self.sampling)
        tokens = sum(sums[f"tokens/{s}"] for s in self.sampling)
        return {
            "problems": self.projection.n,
            "rollouts": rollouts,
            "sampled_now": self.sampled_now,
            "tokens": tokens,
            "tokens_per_rollout": tokens / rollouts if rollouts else None,
            "bytes_per_rollout": sums.get("bytes", 0.0) / rollouts if rollouts else None,
            "tokens_per_s": self.speed.tokens_per_s if self.speed else None,
            "busy_s": self.speed.busy_s if self.speed else None,
            "engines": self.size.engines,
            "start_s": self.start_s,
            "elapsed_s": round(self.elapsed_s, 3),
            "mixed_share": {
                name.partition("/")[2]: sums[f"mixed/{name.partition('/')[2]}"] / n
                for name, n in sums.items()
                if name.startswith("groups/") and n
            },
        }

    def _stage(self, name: str) -> dict[str, Any]:
        sums = {q: sum(self.measured.columns[f"{q}/{name}"].values()) for q in ("requests", "tokens", "truncated")}
        answered = sums["requests"]
        return {
            "stage": name,
            "use": self.pipeline[name].use,
            "requests": self.projection.of(f"requests/{name}").to_json(),
            "tokens": self.projection.of(f"tokens/{name}").to_json(),
            "tokens_per_rollout": sums["tokens"] / answered if answered else None,
            "truncated_share": sums["truncated"] / answered if answered else None,
        }

    def _summed(self, quantity: str) -> Range:
        return self.projection.between(*self._sum_and_draws(quantity))

    def _sum_and_draws(self, quantity: str) -> tuple[float, Vector]:
        names = [f"{quantity}/{stage}" for stage in self.sampling]
        draws = [self.projection.replicates(name) for name in names]
        return sum(self.projection.value(name) for name in names), sum(draws[1:], start=draws[0])

    def _times(self) -> dict[str, Any]:
        """Engine time is of all engines together; wall time is the start, then whatever takes longer."""
        if self.speed is None:
            return {"engine_s": None, "engine_hours": None, "wall_s": None}
        tokens, draws = self._sum_and_draws("tokens")
        speeds = self.speed.replicates(REPLICATES, self.projection.rng)
        sampling, drawn = tokens / self.speed.tokens_per_s, draws / speeds
        engine = self.projection.between(sampling, drawn).times(self.size.engines)
        factor = self.projection.total / self.projection.n / self.size.cpu
        cpu = sum(self.measured.cpu_s.values()) * factor
        wall = self.projection.between(max(sampling, cpu), drawn.clip(min=cpu)).plus(self.start_s or 0.0)
        return {
            "engine_s": engine.to_json(),
            "engine_hours": engine.times(1 / 3600).to_json(),
            "wall_s": wall.to_json(),
        }

    def _disk(self) -> Range:
        partitions = -(-self.projection.total // partition_size(self.pipeline, self.projection.total))
        return self.projection.of("bytes").plus(self.measured.fixed_bytes * partitions)

    def _yields(self) -> dict[str, Any]:
        names = list(self.measured.columns)
        mixed = {}
        for name in names:
            if name.startswith("mixed/"):
                one_group = max(self.measured.columns[name].values(), default=0) <= 1
                found = self.projection.share(name) if one_group else self.projection.of(name)
                mixed[name.partition("/")[2]] = found.to_json()
        pairs = {n.partition("/")[2]: self.projection.of(n).to_json() for n in names if n.startswith("pairs/")}
        steps = self.projection.of("steps").to_json() if "steps" in names else None
        return {"mixed_groups": mixed, "labelled_steps": steps, "pairs": pairs}

    def _cost(self, tokens: Range) -> dict[str, Any] | None:
        price = self.pipeline.execution.price_per_million_tokens
        return None if price is None else tokens.times(price / 1e6).to_json()


def sampling_stages(pipeline: Pipeline) -> list[str]:
    """Names of the stages that sample, in topological order."""
    return [node.name for node in pipeline.nodes if type(node.stage).policies(node.config)]


def run_pilot(
    pipeline: Pipeline,
    root: Path,
    problems: int = DEFAULT_PROBLEMS,
    *,
    display: Display | None = None,
    scheduler: str | None = None,
    stopper: Stopper | None = None,
) -> Pilot:
    """Run the pilot of a run directory, or finish one that was interrupted.

    Args:
        root: the run directory of the real run, made if it is not there.
        problems: how many to take, about; all of them if there are fewer.

    Raises:
        UserError: if no stage samples, or an input is bad.
        RunLocked: if a run, or another pilot, is going on in `root`.
        Stopped: if `stopper` was asked to stop; the same call again resumes.
        Incomplete: if some work is owed; the same call again resumes.
    """
    from synthflow.execute.run import run_pipeline
    from synthflow.execute.sizing import cluster_size

    sampling = sampling_stages(pipeline)
    if not sampling:
        raise UserError(
            f"{pipeline.name}: no stage samples, so a pilot has nothing to measure; `synthflow plan` without --pilot "
            "counts the rows"
        )
    RunDirectory.create(root)
    with RunLock(root):
        stages = _stages(pipeline)
        chosen = choose_problems({n.name: n.stage for n in stages if isinstance(n.stage, Source)}, problems)
        small = _small(pipeline, stages, chosen)
        pilot = _folder(root)
        started_at = time.time()
        done = run_pipeline(small, pilot, scheduler=scheduler, display=display, stopper=stopper)
        measured = measure(pilot, [p for c in chosen.values() for p in c.problems], sampling)
    own = within(measured.answers, _attempts(pilot))
    fresh = [a for a in measured.answers if a.at >= started_at]
    return Pilot(
        pipeline=pipeline,
        root=pilot,
        measured=measured,
        projection=Projection([measured.of(c) for c in chosen.values()]),
        speed=speed_of(own),
        size=cluster_size(pipeline, {node.name for node in pipeline.nodes}),
        elapsed_s=done.elapsed_s,
        start_s=min(a.at - a.elapsed_s for a in fresh) - started_at if fresh else None,
        sampled_now=len(fresh),
    )


def _folder(root: Path) -> Path:
    """The pilot's run directory, whose journal is that of the real run: a relative link, so that both can be moved."""
    pilot, journal = root / FOLDER, root / "journal"
    pilot.mkdir(exist_ok=True)
    journal.mkdir(exist_ok=True)
    link = pilot / "journal"
    if not link.is_symlink() and not link.exists():
        try:
            link.symlink_to(Path("..") / "journal", target_is_directory=True)
        except OSError as error:
            raise UserError(
                f"{link}: a link to the run's journal cannot be made here ({error}); give --out on another disk"
            ) from error
    return pilot


def _attempts(pilot: Path) -> list[tuple[float, float]]:
    """When each attempt of the pilot was at work (Unix times), as it said itself, also of one that was killed."""
    found = []
    for path in sorted(pilot.glob("logs/attempt-*/progress.json")):
        with suppress(ValueError, KeyError):  # half-written by a full disk: that attempt measures no speed
            said = json.loads(path.read_text(encoding="utf-8"))
            found.append((float(said["at"]) - float(said["elapsed_s"]), float(said["at"])))
    return found


def _stages(pipeline: Pipeline) -> list[Node]:
    """The stages a pilot runs: those of partition scope, those that sample, and whatever they read."""
    sampling, wanted = sampling_stages(pipeline), set[str]()
    for node in pipeline.nodes:
        if not isinstance(node.stage, Source) and (node.stage.scope == "partition" or node.name in sampling):
            wanted |= {node.name, *(above.name for above in pipeline.ancestors(node))}
    return [node for node in pipeline.nodes if node.name in wanted]


def _small(pipeline: Pipeline, stages: Sequence[Node], chosen: Mapping[str, Chosen]) -> Pipeline:
    """The pipeline over the chosen problems, cut so that all of them are in flight at once."""
    nodes = {
        node.name: replace(node, stage=ChosenProblems(node.stage, chosen[node.name]))
        if isinstance(node.stage, Source)
        else node
        for node in stages
    }
    size = -(-sum(len(c.problems) for c in chosen.values()) // _PARTITIONS)
    changes = {"partition_size": size, "partitions_in_flight": 2 * _PARTITIONS, "prometheus_port": None}
    return pipeline.narrowed(nodes, pipeline.execution.model_copy(update=changes))
