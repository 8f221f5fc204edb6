"""The embedded backend: transformers' own model in this process, on any CPU or GPU.

Invariant: what is sampled is transformers' model under the request's parameters; only the cache and the loop
around it are ours (`decoding`, `batch`, `engine`), and for models of Llama's kind on a CPU the forward pass of one
token (`llama`). Batching changes a request's logits by rounding alone, and its draws not at all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from synthflow.backends.admission import Admitted, admit, done
from synthflow.backends.renderer import TOKENIZING, PolicyRenderer
from synthflow.backends.template_options import TemplateOptions
from synthflow.contracts import Backend, PolicyConfig, PolicyIdentity, SampleRequest, SampleResult
from synthflow.errors import InfrastructureError, UserError
from synthflow.models import directories

if TYPE_CHECKING:
    from synthflow.backends.transformers.engine import Engine


MOST_ENGINES = 8
ENGINE_BYTES = 2**30
"""Memory of an engine without weights and cache, generously."""


class TransformersOptions(TemplateOptions):
    """Options of the transformers backend."""

    batch_size: int = Field(192, ge=1, le=4096, description="rows in one forward pass")
    dtype: Literal["auto", "float32", "bfloat16", "float16", "float64"] = Field(
        "auto", description="number type of the weights; auto is float32 on a CPU, bfloat16 on a GPU"
    )
    device: str = Field("auto", description="cpu, cuda, cuda:1; auto takes a GPU if there is one")
    threads: int = Field(1, ge=1, description="CPU threads of one forward pass; engines on one machine share its cores")
    kv_cache_gb: float = Field(4.0, gt=0, description="most memory that keys and values may take, in GiB")
    max_context: int | None = Field(None, ge=2, description="hold less than the model could, in tokens")


class TransformersBackend(Backend):
    """Samples from a transformers model in this process; registered as `transformers`."""

    name = "transformers"
    Options = TransformersOptions

    def __init__(self, policy: PolicyConfig) -> None:
        super().__init__(policy)
        self.max_in_flight = 2 * self.options.batch_size
        self._engine: Engine | None = None
        self._vocabulary = 0

    @cached_property
    def _directory(self) -> Path:
        return directories.resolve_model(self.policy.model)

    @cached_property
    def _renderer(self) -> PolicyRenderer:
        return PolicyRenderer.load(self._directory, self.options)

    @cached_property
    def _context(self) -> int:
        return min(self._renderer.max_context, self.options.max_context or self._renderer.max_context)

    def identity(self) -> PolicyIdentity:
        return directories.identify(self._directory, self.options.identity())

    @classmethod
    def packages(cls, policy: PolicyConfig) -> dict[str, str]:
        return {**dict.fromkeys(("torch", "transformers", "safetensors"), "synthflow[transformers]"), **TOKENIZING}

    def default_engines(self) -> int:
        """On CPUs one engine for every `threads` cores, at most eight, as far as memory for the weights goes.

        Two engines of one thread sample more than one engine of two: a small model's operations are too short to
        be split. On a GPU one.
        """
        if self.options.device not in ("auto", "cpu") or (self.options.device == "auto" and _has_gpu()):
            return 1
        import psutil

        weights = sum(f.stat().st_size for f in directories.weight_files(self._directory))
        # float32 weights of a bfloat16 file, once more while they are loaded, and the libraries themselves
        fit = psutil.virtual_memory().available // (4 * weights + ENGINE_BYTES)
        return int(max(1, min(len(os.sched_getaffinity(0)) // self.options.threads, MOST_ENGINES, fit)))

    def gpus_per_engine(self) -> int:
        """One, unless the options name a device."""
        return int(self.options.device in ("auto", "cuda"))

    @classmethod
    def cannot_score(cls, policy: PolicyConfig) -> str | None:
        return None

    def start(self) -> None:
        """Load tokenizer and weights and start the engine's thread.

        Raises:
            UserError: if the model cannot be found, or keeps something else than keys and values of all tokens.
            InfrastructureError: if its weights cannot be loaded.
        """
        from synthflow.backends.transformers.engine import Engine

        engine = Engine(self._make_batch, self._renderer, self.options.batch_size, self.options.threads)
        try:
            engine.start()
        except UserError:
            raise
        except Exception as error:
            raise InfrastructureError(f"cannot load {self.policy.model}: {type(error).__name__}: {error}") from error
        self._engine = engine

    def _make_batch(self) -> Any:
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        from synthflow.backends.transformers.allocator import keep_memory
        from synthflow.backends.transformers.batch import Batch
        from synthflow.backends.transformers.decoding import open_decoder

        logging.disable_progress_bar()  # a bar per worker would bury the run's own progress lines
        device = self.options.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = self.options.dtype
        if dtype == "auto":
            dtype = "float32" if device == "cpu" else "bfloat16"
        model = AutoModelForCausalLM.from_pretrained(
            self._directory, dtype=getattr(torch, dtype), local_files_only=True, attn_implementation="sdpa"
        )
        model.eval().to(device)
        if device == "cpu":
            keep_memory()
        self._vocabulary = model.get_input_embeddings().weight.shape[0]
        window = getattr(model.config.get_text_config(), "sliding_window", None)
        if window is not None and window < self._context and _slides(model.config.get_text_config()):
            raise UserError(
                f"{self.policy.model}: attends to a window of {window} tokens; the transformers backend needs "
                f"max_context: {window} or less in the policy's options (or use the vllm backend)"
            )
        if self._context > 1 << 24:
            raise UserError(f"{self.policy.model}: its config.json tells no context length; set max_context")
        try:
            budget, size = self.options.kv_cache_gb * 2**30, self.options.batch_size
            decoder = open_decoder(model, budget, size, self._context, device)
            return Batch(model, decoder, self._renderer, size, self._context, device)
        except ValueError as error:
            raise UserError(f"{self.policy.model}: {error}; use the vllm backend for this model") from error

    def submit(self, request: SampleRequest) -> Future[SampleResult]:
        return self.submit_many([request])[0]

    def submit_many(self, requests: Sequence[SampleRequest]) -> list[Future[SampleResult]]:
        if self._engine is None:
            raise InfrastructureError("the transformers backend is not started")
        checked = [admit(r, self._renderer, self._context, self._vocabulary) for r in requests]
        queued = iter(self._engine.submit([c for c in checked if isinstance(c, Admitted)]))
        return [next(queued) if isinstance(c, Admitted) else done(c) for c in checked]

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def alive(self) -> bool:
        return self._engine is not None and self._engine.alive

    def load(self) -> dict[str, float]:
        e = self._engine
        return {} if e is None else {"busy_s": e.busy_s, "tokens": float(e.tokens), "finished": float(e.finished)}


def _has_gpu() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _slides(config: Any) -> bool:
    kinds = getattr(config, "layer_types", None)
    return kinds is None or "sliding_attention" in kinds
