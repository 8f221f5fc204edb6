"""Which GPUs this process may use, and which engine gets which: never one GPU for two engines.

The driver asks NVIDIA's management library (NVML), which counts what the container or the job may use, and starts no
CUDA context: the driver's process stays small, and every GPU free for its engine. What CUDA_VISIBLE_DEVICES leaves out
is left out here too, by CUDA's own rules.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from synthflow.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"
_NVML = "libnvidia-ml.so.1"


@dataclass(frozen=True, slots=True)
class Placement:
    """Engine processes of this machine, and CUDA_VISIBLE_DEVICES of each; `visible` is empty where none is dealt."""

    engines: int
    visible: tuple[str, ...] = ()


def count_gpus() -> int:
    """NVIDIA GPUs that this process may open; 0 without a driver."""
    try:
        nvml = ctypes.CDLL(_NVML)
    except OSError:
        return 0
    if nvml.nvmlInit_v2() != 0:
        return 0
    try:
        found = ctypes.c_uint(0)
        return int(found.value) if nvml.nvmlDeviceGetCount_v2(ctypes.byref(found)) == 0 else 0
    finally:
        nvml.nvmlShutdown()


def visible_gpus(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """GPUs as CUDA_VISIBLE_DEVICES names them (numbers, or UUIDs of GPUs and of MIG instances).

    As in CUDA, the list ends before the first entry that names no device.
    """
    there = count_gpus()
    named = environment.get(VISIBLE)
    if named is None or there == 0:
        return tuple(map(str, range(there)))
    visible: list[str] = []
    for entry in (part.strip() for part in named.split(",")):
        known = int(entry) < there if entry.isdecimal() else entry.startswith(("GPU-", "MIG-"))
        if not known or entry in visible:
            break
        visible.append(entry)
    return tuple(visible)


def place(
    gpus: Sequence[str], per_engine: Mapping[str, int], default: Iterable[int], engines: int | None = None
) -> Placement:
    """How many engines, and the GPUs of each, in order: two engines of two GPUs get "0,1" and "2,3".

    Args:
        gpus: what is visible.
        per_engine: GPUs of one engine by policy. A worker holds an engine of every policy, so the largest counts.
        default: engines that each policy's backend would start where no GPU limits it.
        engines: what the spec asks for; None for as many as fit.

    Raises:
        UserError: if there are GPUs, but too few.
    """
    policy = max(per_engine, key=lambda name: per_engine[name])
    each = per_engine[policy]
    if not gpus or not each:
        return Placement(engines or max(default))
    if each * (engines or 1) > len(gpus):
        raise UserError(_too_few(gpus, policy, each, engines))
    engines = engines or len(gpus) // each
    return Placement(engines, tuple(",".join(gpus[i * each : (i + 1) * each]) for i in range(engines)))


def _too_few(gpus: Sequence[str], policy: str, each: int, engines: int | None) -> str:
    there = f"{len(gpus)} {'is' if len(gpus) == 1 else 'are'} visible ({','.join(gpus)})"
    if each > len(gpus):
        return (
            f"policy {policy!r}: an engine of {each} GPUs (tensor_parallel_size) does not fit: {there}; "
            "lower it, or run where there are more"
        )
    return (
        f"execution.engines: {engines} engines of {each} {'GPU' if each == 1 else 'GPUs'} each do not fit: {there}; "
        f"give at most {len(gpus) // each}, or null for as many as fit"
    )
