"""How many processes a run gets: engines only where something samples, CPU workers from the cores."""

from __future__ import annotations

import os
from collections.abc import Collection

from synthflow.execute.cluster import ClusterSize, partitions_for
from synthflow.execute.gpus import Placement, place, visible_gpus
from synthflow.spec.pipeline import Pipeline


def cluster_size(pipeline: Pipeline, stages: Collection[str], *, local: bool = True) -> ClusterSize:
    """Processes for the work of some stages.

    Args:
        local: they run on this machine, whose GPUs are dealt out.

    Raises:
        UserError: if this machine's GPUs are too few for an engine.
    """
    from synthflow.backends import open_backend

    cores = os.cpu_count() or 1
    used = {p for node in pipeline.nodes if node.name in stages for p in type(node.stage).policies(node.config)}
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
