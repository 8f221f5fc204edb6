"""The live batch: one forward pass a step, one token a row.

Invariant: column i of `state`, row i of the decoder and `rows[i]` are the same completion. A row enters with the keys
and values of its prompt but for the last token; every step feeds each row its last token at its own position and draws
the next. What a row has drawn, and how it draws, stays at one place from its first token to its last.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch

from synthflow.backends.admission import Admitted, cut_at_stop, first_stop
from synthflow.backends.detokenize import Stream
from synthflow.backends.renderer import PolicyRenderer
from synthflow.backends.transformers.decoding import Decoder
from synthflow.backends.transformers.scoring import Scoring, read
from synthflow.backends.transformers.token_sampling import CHUNK, Knobs, Uniforms, draw
from synthflow.contracts import SampleResult


class _StopWatch:
    """Looks for stop texts while a completion grows, never further back than one could begin."""

    def __init__(self, stream: Stream, stops: Sequence[str]) -> None:
        self._stream, self._stops, self._tail = stream, stops, ""
        self._keep = max(map(len, stops)) - 1

    def push(self, token: int) -> bool:
        text = self._tail + self._stream.push(token)
        self._tail = text[max(len(text) - self._keep, 0) :]
        return first_stop(text, self._stops) is not None


@dataclass(slots=True)
class Row:
    """One completion under way."""

    admitted: Admitted
    future: Future[SampleResult]
    uniforms: Uniforms
    watch: _StopWatch | None
    started: float = 0.0

    @property
    def plain(self) -> bool:
        params = self.admitted.request.params
        return params.temperature == 1 and not self.truncated

    @property
    def truncated(self) -> bool:
        params = self.admitted.request.params
        return params.temperature > 0 and (params.top_p < 1 or params.top_k > 0)


def open_row(admitted: Admitted, future: Future[SampleResult], renderer: PolicyRenderer) -> Row:
    """A row that has sampled nothing yet."""
    request = admitted.request
    stops = [s for s in request.params.stop if s]
    watch = _StopWatch(renderer.stream(), stops) if stops else None
    return Row(admitted, future, Uniforms(request.seed), watch)


class Batch:
    """At most `size` rows of one model.

    Args:
        model: a causal language model of transformers, in evaluation mode on `device`.
        decoder: its forward pass, a token a row.
        context: tokens a row may hold.
    """

    def __init__(
        self, model: Any, decoder: Decoder, renderer: PolicyRenderer, size: int, context: int, device: str
    ) -> None:
        self.rows: list[Row] = []
        self._model, self._decoder, self._renderer, self._device = model, decoder, renderer, device
        vocabulary = model.get_input_embeddings().weight.shape[0]
        self._is_stop = torch.zeros(vocabulary, dtype=torch.bool, device=device)
        self._is_stop[[t for t in sorted(renderer.stop_token_ids) if t < vocabulary]] = True
        self._context = context
        self._float = torch.float64 if model.dtype == torch.float64 else torch.float32
        # Of every row: its last token, that token's position, tokens drawn, and its place in all tensors below.
        self._state = torch.zeros((4, size), dtype=torch.int64, device=device)
        self._free = list(range(size))
        self._limit = torch.zeros(size, dtype=torch.int64, device=device)
        self._knobs = Knobs(torch.ones(size, device=device), torch.ones(size, device=device), self._limit.clone())
        self._uniforms = torch.zeros((size, CHUNK), dtype=torch.float64, device=device)
        self._tokens = torch.zeros((size, 0), dtype=torch.int32, device=device)
        self._logprobs = torch.zeros((2, size, 0), dtype=torch.float32, device=device)
        self._plain, self._truncated = True, False
        self._watched: list[int] = []

    def room_for(self, candidate: Row, beside: Sequence[Row]) -> bool:
        """Whether the candidate fits with the live rows and those that enter `beside` it."""
        rows = [r.admitted for r in (candidate, *beside, *self.rows)]
        most = self._decoder.room(max(len(r.prompt) for r in rows), max(r.limit for r in rows))
        return len(rows) == 1 or len(rows) <= most

    def enter(self, fresh: list[Row]) -> None:
        """Prefill the prompts of new rows and add them to the live ones."""
        live, now = len(self.rows), time.monotonic()
        self._widen(max(r.admitted.limit for r in fresh))
        prompts, limits = [r.admitted.prompt for r in fresh], [r.admitted.limit for r in fresh]
        self._decoder.enter(prompts, limits)
        homes = [self._free.pop() for _ in fresh]
        state = [[p[-1] for p in prompts], [len(p) - 1 for p in prompts], [0] * len(fresh), homes]
        self._state[:, live : live + len(fresh)] = torch.tensor(state, device=self._device)
        params = [r.admitted.request.params for r in fresh]
        for tensor, values in (
            (self._limit, limits),
            (self._knobs.temperature, [p.temperature for p in params]),
            (self._knobs.top_p, [p.top_p for p in params]),
            (self._knobs.top_k, [p.top_k for p in params]),
        ):
            tensor[homes] = torch.tensor(values, dtype=tensor.dtype, device=self._device)
        self._uniforms[homes] = torch.stack([r.uniforms.next_chunk() for r in fresh]).to(self._device)
        for row in fresh:
            row.started = now
        self.rows.extend(fresh)
        self._changed()

    def _changed(self) -> None:
        self._plain = all(r.plain for r in self.rows)
        self._truncated = any(r.truncated for r in self.rows)
        self._watched = [i for i, r in enumerate(self.rows) if r.watch is not None]

    def _widen(self, limit: int) -> None:
        have = self._tokens.shape[1]
        if limit > have:
            width = max(limit, min(2 * have, self._context))
            self._tokens = torch.nn.functional.pad(self._tokens, (0, width - have))
            self._logprobs = torch.nn.functional.pad(self._logprobs, (0, width - have))

    def read(self, readings: Sequence[Scoring]) -> None:
        """Score given tokens in one teacher-forced pass, beside the live rows, and resolve their futures."""
        read(self._model, readings, self._device, self._float)

    def step(self) -> int:
        """One token for every live row; finished rows resolve their futures and leave. Returns tokens drawn."""
        n = len(self.rows)
        last, position, count, home = self._state[:, :n]
        logits = self._decoder.step(last, position)
        tokens, logprobs, sampled = draw(
            logits.to(self._float),
            self._knobs.of(home),
            self._uniforms[home, count % CHUNK],
            plain=self._plain,
            truncated=self._truncated,
        )
        if not bool(torch.isfinite(logprobs).all()):
            raise FloatingPointError("the model gives logits that are not finite; try dtype: float32")
        self._tokens[home, count] = tokens.to(torch.int32)
        self._logprobs[0, home, count] = logprobs.to(torch.float32)
        self._logprobs[1, home, count] = sampled.to(torch.float32)
        last.copy_(tokens)
        self._state[1:3, :n] += 1
        self._refill(count, home)
        ended = self._is_stop[tokens] | (count >= self._limit[home])
        self._leave(self._watch(tokens, ended))
        return n

    def _refill(self, count: torch.Tensor, home: torch.Tensor) -> None:
        for i in (count % CHUNK == 0).nonzero()[:, 0].tolist():
            self._uniforms[home[i]] = self.rows[i].uniforms.next_chunk().to(self._device)

    def _watch(self, tokens: torch.Tensor, ended: torch.Tensor) -> list[int]:
        found = set(ended.nonzero()[:, 0].tolist())
        if self._watched:
            drawn = tokens.tolist()
            found.update(i for i in self._watched if (w := self.rows[i].watch) is not None and w.push(drawn[i]))
        return sorted(found)

    def _leave(self, ended: list[int]) -> None:
        if not ended:
            return
        results = [(self.rows[i].future, self._result(i)) for i in ended]
        self._free += self._state[3, ended].tolist()
        order = self._decoder.leave(ended)
        self._state[:, : len(order)] = self._state[:, order]
        self.rows = [self.rows[i] for i in order]
        self._changed()
        for future, result in results:
            future.set_result(result)

    def _result(self, i: int) -> SampleResult:
        row, (n, home) = self.rows[i], self._state[2:, i].tolist()
        request = row.admitted.request
        tokens = self._tokens[home, :n].tolist()
        text, kept, at_text = cut_at_stop(self._renderer, tokens, request.params.stop)
        stopped = at_text or tokens[-1] in self._renderer.stop_token_ids
        return SampleResult(
            rollout_id=request.rollout_id,
            text=text,
            finish_reason="stop" if stopped else "length",
            token_ids=tuple(tokens[:kept]),
            logprobs=tuple(self._logprobs[0, home, :kept].tolist()),
            sampling_logprobs=None if row.plain else tuple(self._logprobs[1, home, :kept].tolist()),
            n_tokens=kept,
            prompt_tokens=len(row.admitted.prompt),
            elapsed_s=time.monotonic() - row.started,
        )

    def clear(self) -> list[Row]:
        """Drop all rows and their memory; the caller answers for their futures."""
        dropped, self.rows = self.rows, []
        self._free = list(range(self._state.shape[1]))
        self._decoder.clear()
        self._changed()
        return dropped
