"""How many processes a run gets, and what each may hold: engines only where something samples, CPU workers from the
cores and from the memory that the spec gives.
"""

from __future__ import annotations

import os
from collections.abc import Collection

from synthflow.execute.cluster import ClusterSize, partitions_for
from synthflow.execute.gpus import Placement, place, visible_gpus
from synthflow.execute.tasks import SPILL_MB
from synthflow.spec.pipeline import Pipeline

_BASE_MB = 320
"""What a process takes with a partition and nothing to spill: Python, Arrow, Polars, DuckDB; no model. Measured."""
_LEAST_MB = 64
"""What DuckDB needs to sort anything."""


def cluster_size(pipeline: Pipeline, stages: Collection[str], *, local: bool = True) -> ClusterSize:
    """Processes for the work of some stages.

    Args:
        local: they run on this machine, whose GPUs are dealt out.

    Raises:
        UserError: if this machine's GPUs are too few for an engine.
    """
    from synthflow.backends import open_backend

    cores = os.cpu_count() or 1
    used = policies_of(pipeline, stages)
    placement = Placement(0)
    if used:
        backends = {name: open_backend(pipeline.policies[name]) for name in sorted(used)}
        per_engine = {name: backend.gpus_per_engine() for name, backend in backends.items()}
        gpus = visible_gpus() if local and any(per_engine.values()) else ()
        default = (backend.default_engines() for backend in backends.values())
        placement = place(gpus, per_engine, default, pipeline.execution.engines)
    engines = placement.engines
    execution = pipeline.execution
    cpu = execution.cpu_workers or _bearable(max(1, min(cores - engines, 8)), engines, execution.memory_mb)
    partitions = execution.partitions_in_flight or partitions_for(engines + cpu)
    memory = spill_mb(execution.memory_mb, cpu + engines)
    return ClusterSize(cpu=cpu, engines=engines, partitions=partitions, gpus=placement.visible, memory_mb=memory)


def policies_of(pipeline: Pipeline, stages: Collection[str]) -> set[str]:
    """Policies that some stages sample from."""
    return {p for node in pipeline.nodes if node.name in stages for p in type(node.stage).policies(node.config)}


def spill_mb(memory_mb: int | None, workers: int) -> int:
    """What driver and workers may each hold of rows that can go to disk."""
    return SPILL_MB if memory_mb is None else max(_LEAST_MB, memory_mb // (workers + 1) - _BASE_MB)


def _bearable(wanted: int, engines: int, memory_mb: int | None) -> int:
    """CPU workers that the memory suffices for, at least one."""
    if memory_mb is None:
        return wanted
    return max(1, min(wanted, memory_mb // (_BASE_MB + _LEAST_MB) - engines - 1))
