"""Where a run executes: a local Dask cluster that it starts and stops, or a scheduler that is there already.

Engine workers carry the resource `synthflow_engine` and do nothing but sample; CPU workers carry `synthflow_cpu`
and run the stages. On somebody else's scheduler the same resources are expected of its workers:
`dask worker ADDRESS --resources "synthflow_cpu=64"` and `... "synthflow_engine=64"`.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthflow.errors import InfrastructureError, UserError
from synthflow.execute.gpus import VISIBLE
from synthflow.execute.tasks import CPU, ENGINE, SPILL_MB

if TYPE_CHECKING:
    from distributed import Client

_SLOTS = 1000
"""Units of a resource a worker offers: a placement, not a bound; a stage that waits for samples keeps its unit."""

WAIT_S = 60.0
"""Seconds that the workers of an existing scheduler may take to come, where the user does not say: our default."""

_LOOK_EVERY_S = 0.5

_SETTINGS: Mapping[str, Any] = {
    # A worker's children (engines, verifiers) must be allowed to exist.
    "distributed.worker.daemon": False,
    "distributed.worker.use-file-locking": False,
    "distributed.scheduler.allowed-failures": 5,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.comm.timeouts.connect": "60s",
    "distributed.scheduler.worker-ttl": None,
    "distributed.admin.tick.limit": "1h",
    # Logs for Dask's dashboard, which we do not start. They grow with the number of tasks, up to these lengths; one
    # keeps whole messages, and a message to an engine holds all requests of a partition.
    "distributed.admin.log-length": 200,
    "distributed.admin.low-level-log-length": 4,
    "distributed.admin.system-monitor.log-length": 60,
    # A profiler that stops every thread a hundred times a second, and keeps what it saw.
    "distributed.worker.profile.enabled": False,
    "logging.distributed": "error",
}


_ALLOCATOR = {"ARROW_DEFAULT_MEMORY_POOL": os.environ.get("ARROW_DEFAULT_MEMORY_POOL", "system")}
"""Arrow's own allocator keeps freed memory for itself: 30 MB of an engine's worker, 70 MB of a CPU worker, measured."""


@dataclass(frozen=True, slots=True)
class ClusterSize:
    """Processes of a local cluster: `engines` hold models, `cpu` run stages; `partitions` flow at once.

    `gpus` is CUDA_VISIBLE_DEVICES of each engine, empty where none is dealt. `memory_mb` is what each may hold of rows
    that can go to disk.
    """

    cpu: int
    engines: int
    partitions: int
    gpus: tuple[str, ...] = ()
    memory_mb: int = SPILL_MB


def _worker(name: str, resource: str, threads: int, env: Mapping[str, str]) -> dict[str, Any]:
    from distributed import Nanny

    return {
        "cls": Nanny,
        "options": {
            "nthreads": threads,
            "resources": {resource: _SLOTS},
            "memory_limit": 0,
            "silence_logs": 40,
            "dashboard": False,
            "env": dict(env),
            "name": name,
            "local_directory": None,
        },
    }


def worker_specs(size: ClusterSize) -> dict[str, dict[str, Any]]:
    """The workers of a local cluster by name, as Dask's `SpecCluster` takes them; every engine sees its own GPUs."""
    shared = {"POLARS_MAX_THREADS": "1", **_ALLOCATOR}
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **shared}
    workers = {f"cpu-{i}": _worker(f"cpu-{i}", CPU, 1, single) for i in range(size.cpu)}
    for i in range(size.engines):
        env = {**shared, **({VISIBLE: size.gpus[i]} if size.gpus else {})}
        workers[f"engine-{i}"] = _worker(f"engine-{i}", ENGINE, size.partitions, env)
    return workers


def partitions_for(workers: int) -> int:
    """Partitions in flight that keep so many workers busy: one is worked on while the next waits. Our default."""
    return max(4, 2 * workers)


def partitions_of(client: Client) -> int:
    """Partitions in flight that keep the workers busy that a scheduler has now."""
    return partitions_for(sum(1 for _ in _workers(client)))


@contextmanager
def connected(
    size: ClusterSize,
    scheduler: str | None,
    logs: Path,
    *,
    wait_s: float = WAIT_S,
    tell: Callable[[str], None] = lambda text: None,
) -> Iterator[Client]:
    """A client of the cluster. What a local cluster's workers print goes to `logs/<worker>.log`.

    Args:
        scheduler: address of a scheduler that runs already, or its scheduler file; None for a cluster of our own.
        wait_s: seconds that its workers may take to come: in a queue they come late.
        tell: is told what is waited for.

    Raises:
        UserError: if no scheduler answers at the address.
        InfrastructureError: if no worker there offers the resources.
    """
    import dask
    import distributed  # noqa: F401 - its defaults must be there: what `set` finds missing, it deletes when it ends

    with dask.config.set(dict(_SETTINGS)):
        if scheduler is not None:
            with _existing(scheduler, size, wait_s, tell) as client:
                yield client
        else:
            with _local(size) as client:
                from synthflow.execute.worker_plugin import PrintToFile

                client.register_plugin(PrintToFile(str(logs.resolve())))
                yield client


def lend_engines(client: Client) -> None:
    """Let the engines' workers run stages, one at a time each, once nothing is sampled any more. Models are closed."""
    engines = [address for address, worker in _workers(client) if worker.get("resources", {}).get(ENGINE)]
    if engines:
        client.run(_run_stages, workers=engines, on_error="ignore")  # one that dies meanwhile stays an engine's


async def _run_stages(dask_worker: Any) -> None:
    from synthflow.execute.engines import close_engines

    await asyncio.to_thread(close_engines)
    await dask_worker.set_resources(**{CPU: 1})


@contextmanager
def _quiet_tracker() -> Iterator[None]:
    """Python's resource tracker, started meanwhile, does not print what a killed engine left, which it cleans up."""
    before = os.environ.get("PYTHONWARNINGS")
    quiet = "ignore::UserWarning:multiprocessing.resource_tracker"
    os.environ["PYTHONWARNINGS"] = f"{before},{quiet}" if before else quiet
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


@contextmanager
def _local(size: ClusterSize) -> Iterator[Client]:
    from distributed import Client, Scheduler, SpecCluster

    # Even without a dashboard there is an HTTP server; on Dask's own port two runs would be in each other's way.
    options = {"dashboard": False, "host": "127.0.0.1", "port": 0, "dashboard_address": "127.0.0.1:0"}
    with (
        _quiet_tracker(),
        SpecCluster(
            workers=worker_specs(size),
            scheduler={"cls": Scheduler, "options": options},
            silence_logs=40,
            name="synthflow",
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def _existing(where: str, size: ClusterSize, wait_s: float, tell: Callable[[str], None]) -> Iterator[Client]:
    from distributed import Client

    deadline = time.monotonic() + wait_s
    try:
        client = Client(timeout="15s", set_as_default=False, **_scheduler(where, deadline, tell))
    except (OSError, TimeoutError, ValueError) as error:
        raise UserError(f"--scheduler {where}: no Dask scheduler answers there ({error})") from error
    with client:
        needed = [CPU, *([ENGINE] if size.engines else [])]
        while missing := [r for r in needed if not _offers(client, r)]:
            if time.monotonic() > deadline:
                raise InfrastructureError(
                    f"--scheduler {where}: no worker offers {' or '.join(missing)}; start some with "
                    f'dask worker ... --resources "{missing[0]}={_SLOTS}", and let --wait SECONDS cover their start '
                    f"(it was {wait_s:g})"
                )
            tell(f"waiting for a worker that offers {' and one that offers '.join(missing)}")
            time.sleep(_LOOK_EVERY_S)
        yield client


def _scheduler(where: str, deadline: float, tell: Callable[[str], None]) -> dict[str, str]:
    """How Dask's client finds a scheduler: by its address, or by the file that `dask scheduler` writes.

    Raises:
        UserError: if the file is not there in time, or is none of a scheduler's.
    """
    if "://" in where or not (where.endswith(".json") or Path(where).exists()):
        return {"address": where}
    while not Path(where).exists():
        if time.monotonic() > deadline:
            raise UserError(f"--scheduler {where}: there is no such file; `dask scheduler --scheduler-file` writes it")
        tell(f"waiting for {where}")
        time.sleep(_LOOK_EVERY_S)
    try:
        return {"address": str(json.loads(Path(where).read_text())["address"])}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(
            f"--scheduler {where}: not a file that `dask scheduler --scheduler-file` wrote ({error!r})"
        ) from error


def _workers(client: Client) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Address and description of every worker."""
    found: Mapping[str, Mapping[str, Any]] = client.scheduler_info(n_workers=-1)["workers"]
    return found.items()


def _offers(client: Client, resource: str) -> bool:
    return any(worker.get("resources", {}).get(resource, 0) > 0 for _, worker in _workers(client))
