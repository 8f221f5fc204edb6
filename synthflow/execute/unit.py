"""Run one stage over one unit of work, on a worker: read, run, check, write, and say what was written.

Nothing is committed here: the driver appends the commit to the manifest once this has returned, so a unit that was
killed half-way leaves files that nobody counts, and is simply run again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa

from synthflow.contracts import ExportStage, Stage
from synthflow.contracts.foreign import told_in_one_line, wraps
from synthflow.errors import InvariantBroken
from synthflow.execute.coverage import check_coverage, check_keys
from synthflow.execute.held import Held, HeldInputs
from synthflow.execute.releases import earlier, publish
from synthflow.execute.services import WorkerServices
from synthflow.execute.shard_inputs import ShardInputs
from synthflow.execute.tasks import UnitTask
from synthflow.execute.unanswered import endings
from synthflow.ids import digest
from synthflow.rollouts.telemetry import NOTE, elapsed_row
from synthflow.schema import TELEMETRY
from synthflow.stages.adapters import origin, stage_class
from synthflow.stores.graph import ALL
from synthflow.stores.manifest import Commit
from synthflow.stores.shards import Shard, own_copy, write_shard


def build_stage(name: str, use: str, config: Mapping[str, Any]) -> Stage:
    """A stage from its name and its configuration as the manifest holds it."""
    cls = stage_class(use)
    return cls(name, cls.Config.model_validate(dict(config)))


def run_unit(task: UnitTask, *finished: Commit, held: Held | None = None) -> Commit:
    """Run a stage over a unit of work.

    Args:
        finished: commits of ancestors that were made in this attempt.
        held: what was read of this partition before, and keeps what is read now.

    Raises:
        InvariantBroken: if the stage loses a row or writes one twice.
        InfrastructureError: if samples are still owed.
    """
    started = time.monotonic()
    record, context = task.record, task.context
    with told_in_one_line(f"stage {record.name!r} ({origin(record.use)})", stage_class(record.use), log=True):
        stage = build_stage(record.name, record.use, record.config)
    inputs = _inputs(task, finished, held)
    services = WorkerServices(context, record.name, record.stage_id, task.unit)
    # A unit that Dask runs twice writes two sets of files; the one that is committed stays as it was hashed.
    name = f"part-{digest(task.key)[:10]}-{uuid4().hex[:4]}"
    files: dict[str, str] = {}
    outputs: dict[str, pa.Table] = {}
    left_out: list[Shard] = []
    with told_in_one_line(_who(stage, task), *wraps(stage), log=True):
        if isinstance(stage, ExportStage):
            services.counts_rows = True  # what it released, which only it knows

            def keep(rejects: pa.Table) -> None:
                check_keys(record.name, {"rejects": rejects})
                left_out.extend(_write(context.root, {"rejects": rejects}, record.folder, f"{name}-{len(left_out)}"))

            services.earlier = earlier(context.root, task.released, record.fingerprint)
            files = publish(stage, inputs, services, context.root, keep)
            if task.released is not None and services.earlier is not None and services.earlier.kept:
                for shard in (s for s in task.released.shards if s.table == "rejects"):
                    left_out.append(own_copy(context.root, shard, record.folder, f"{name}-{len(left_out)}"))
        else:
            outputs = dict(stage.run(inputs, services))
    _append(outputs, "rejects", services.heard.rejects(outputs, record.stage_id))
    _check_outputs(record.name, stage, inputs, outputs)
    if not services.counts_rows:
        services.wrote(sum(t.num_rows for n, t in outputs.items() if n != "telemetry"))
    services.flush()
    _append(outputs, "telemetry", _telemetry(task, time.monotonic() - started, services.heard.notes))
    shards = (*left_out, *_write(context.root, outputs, record.folder, name))
    made_of = (record.name, record.fingerprint, record.stage_id, task.unit, task.key)
    return Commit(*made_of, context.attempt, shards, files, endings(outputs))


def _inputs(task: UnitTask, finished: Sequence[Commit], held: Held | None) -> ShardInputs:
    commits: dict[str, dict[str, Commit]] = {name: dict(units) for name, units in task.done.items()}
    for commit in finished:
        commits.setdefault(commit.stage, {})[commit.unit] = commit
    units = None if task.unit == ALL else [task.unit]
    of = (task.context.root, task.ancestors, task.record.parents, commits, task.sources, units)
    return ShardInputs(*of) if held is None or units is None else HeldInputs(*of, held)


def _who(stage: Stage, task: UnitTask) -> str:
    on = "all partitions" if task.unit == ALL else f"partition {task.unit}"
    return f"stage {task.record.name!r} ({origin(task.record.use)}), on {on},"


def _check_outputs(name: str, stage: Stage, inputs: ShardInputs, outputs: Mapping[str, pa.Table]) -> None:
    undeclared = set(outputs) - {*stage.writes, "rejects", "telemetry"}
    if undeclared:
        raise InvariantBroken(f"stage {name!r} wrote {sorted(undeclared)}, which it does not declare in `writes`")
    check_keys(name, {n: t for n, t in outputs.items() if n != "telemetry"})
    if stage.covers is not None:
        check_coverage(name, stage.covers, inputs, outputs)


def _write(root: Path, outputs: Mapping[str, pa.Table], folder: str, name: str) -> tuple[Shard, ...]:
    return tuple(write_shard(root, table, rows, folder, name) for table, rows in outputs.items() if rows.num_rows)


def _worker_name() -> str:
    """HOST, and the name of the Dask worker where there is one: HOST/cpu-0."""
    import socket

    from distributed import get_worker

    try:
        return f"{socket.gethostname()}/{get_worker().name}"
    except ValueError:
        return socket.gethostname()


def _append(outputs: dict[str, pa.Table], table: str, rows: pa.Table) -> None:
    if rows.num_rows:
        outputs[table] = pa.concat_tables([outputs[table], rows]) if table in outputs else rows


def _telemetry(task: UnitTask, seconds: float, notes: Mapping[str, int]) -> pa.Table:
    target, attempt = f"{task.record.name}/{task.unit}", task.context.attempt
    elapsed = elapsed_row("", "task", target, seconds, _worker_name(), attempt, task.record.stage_id)
    told = [{**elapsed, "metric": f"{NOTE}{note}", "value": float(n)} for note, n in sorted(notes.items())]
    return TELEMETRY.from_rows([elapsed, *told])
