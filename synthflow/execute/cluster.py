"""Where a run executes: a local Dask cluster that it starts and stops, or a scheduler that is there already.

Engine workers carry the resource `synthflow_engine` and do nothing but sample; CPU workers carry `synthflow_cpu`
and run the stages. On somebody else's scheduler the same resources are expected of its workers:
`dask worker ADDRESS --resources "synthflow_cpu=64"` and `... "synthflow_engine=64"`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthflow.errors import InfrastructureError, UserError
from synthflow.execute.tasks import CPU, ENGINE

if TYPE_CHECKING:
    from distributed import Client

_SLOTS = 1000
"""Units of a resource a worker offers: a placement, not a bound; a stage that waits for samples keeps its unit."""

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
    # Logs for Dask's dashboard, which we do not start: they grow with the number of tasks, up to these lengths.
    "distributed.admin.log-length": 200,
    "distributed.admin.low-level-log-length": 200,
    # A profiler that stops every thread a hundred times a second, and keeps what it saw.
    "distributed.worker.profile.enabled": False,
    "logging.distributed": "error",
}


@dataclass(frozen=True, slots=True)
class ClusterSize:
    """Processes of a local cluster: `engines` hold models, `cpu` run stages, `threads` units each at once."""

    cpu: int
    engines: int
    partitions: int


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


def _engine_env(index: int, engines: int) -> dict[str, str]:
    """One GPU an engine where there are several; nothing where the user has chosen already."""
    if engines > 1 and "CUDA_VISIBLE_DEVICES" not in os.environ:
        return {"CUDA_VISIBLE_DEVICES": str(index)}
    return {}


@contextmanager
def connected(size: ClusterSize, scheduler: str | None, logs: Path) -> Iterator[Client]:
    """A client of the cluster. What a local cluster's workers print goes to `logs/<worker>.log`.

    Raises:
        UserError: if no scheduler answers at the address.
        InfrastructureError: if no worker there offers the resources.
    """
    import dask

    with dask.config.set(dict(_SETTINGS)):
        if scheduler is not None:
            with _existing(scheduler, size) as client:
                yield client
        else:
            with _local(size) as client:
                from synthflow.execute.worker_plugin import PrintToFile

                client.register_plugin(PrintToFile(str(logs.resolve())))
                yield client


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

    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    workers = {f"cpu-{i}": _worker(f"cpu-{i}", CPU, 1, single) for i in range(size.cpu)}
    for i in range(size.engines):
        workers[f"engine-{i}"] = _worker(f"engine-{i}", ENGINE, size.partitions, _engine_env(i, size.engines))
    options = {"dashboard": False, "host": "127.0.0.1", "port": 0}
    with (
        _quiet_tracker(),
        SpecCluster(
            workers=workers, scheduler={"cls": Scheduler, "options": options}, silence_logs=40, name="synthflow"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def _existing(address: str, size: ClusterSize) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(address, timeout="15s", set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise UserError(f"--scheduler {address}: no Dask scheduler answers there ({error})") from error
    with client:
        offered: set[str] = set()
        for worker in client.scheduler_info(n_workers=-1)["workers"].values():
            offered |= {name for name, amount in worker.get("resources", {}).items() if amount > 0}
        missing = [r for r in (CPU, *([ENGINE] if size.engines else [])) if r not in offered]
        if missing:
            raise InfrastructureError(
                f"--scheduler {address}: no worker offers {' or '.join(missing)}; start some with "
                f'dask worker {address} --resources "{missing[0]}=1000"'
            )
        yield client
