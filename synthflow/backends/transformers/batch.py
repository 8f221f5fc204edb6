"""The live batch: one forward pass a step, one token a row.

Invariant: row i of every tensor, slot i of the keys and values and `rows[i]` are the same completion. A row
enters with the keys and values of its prompt but for the last token; every step feeds each row its last token at
its own position and draws the next. Identical prompts are prefilled once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from synthflow.backends.admission import Admitted, cut_at_stop, first_stop
from synthflow.backends.detokenize import Stream
from synthflow.backends.renderer import PolicyRenderer
from synthflow.backends.transformers.kv_cache import Slots, probe
from synthflow.backends.transformers.scoring import Scoring, read
from synthflow.backends.transformers.token_sampling import CHUNK, Knobs, Uniforms, draw
from synthflow.contracts import SampleResult

PREFILL_TOKENS = 4096
"""Padded tokens of one prefill pass."""


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
    def need(self) -> int:
        return len(self.admitted.prompt) + self.admitted.limit

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
        budget: bytes that keys and values may take.
        context: tokens a row may hold.
    """

    def __init__(
        self, model: Any, renderer: PolicyRenderer, size: int, budget: float, context: int, device: str
    ) -> None:
        self.rows: list[Row] = []
        self._model, self._renderer, self._size, self._device = model, renderer, size, device
        stop = sorted(renderer.stop_token_ids)
        vocabulary = model.get_input_embeddings().weight.shape[0]
        self._slots = Slots(probe(model, stop[0] if stop else 0, device), budget, size, model.dtype, device)
        self._is_stop = torch.zeros(vocabulary, dtype=torch.bool, device=device)
        self._is_stop[[t for t in stop if t < vocabulary]] = True
        self._columns = torch.arange(context, device=device)
        self._width = 0
        self._float = torch.float64 if model.dtype == torch.float64 else torch.float32
        integers = {"dtype": torch.int64, "device": device}
        self._last = torch.zeros(size, **integers)
        self._position = torch.zeros(size, **integers)
        self._count = torch.zeros(size, **integers)
        self._limit = torch.zeros(size, **integers)
        self._knobs = Knobs(torch.ones(size, device=device), torch.ones(size, device=device), self._count.clone())
        self._uniforms = torch.zeros((size, CHUNK), dtype=torch.float64, device=device)
        self._tokens = torch.zeros((size, 0), dtype=torch.int32, device=device)
        self._logprobs = torch.zeros((2, size, 0), dtype=torch.float32, device=device)

    def _per_row(self) -> list[torch.Tensor]:
        k = self._knobs
        fixed = [self._last, self._position, self._count, self._limit, k.temperature, k.top_p, k.top_k, self._uniforms]
        return [*fixed, self._tokens, self._logprobs[0], self._logprobs[1]]

    def room_for(self, candidate: Row, beside: Sequence[Row]) -> bool:
        """Whether the candidate fits with the live rows and those that enter `beside` it."""
        need = max(r.need for r in (candidate, *beside, *self.rows))
        others = len(self.rows) + len(beside)
        return others == 0 or others < self._slots.room(need)

    def enter(self, fresh: list[Row]) -> None:
        """Prefill the prompts of new rows and add them to the live ones."""
        live, total, now = len(self.rows), len(self.rows) + len(fresh), time.monotonic()
        self._slots.reserve(total, max(r.need for r in (*self.rows, *fresh)), live, self._longest())
        self._widen(max(r.admitted.limit for r in fresh))
        at = slice(live, total)
        params = [r.admitted.request.params for r in fresh]
        prompts = [r.admitted.prompt for r in fresh]
        for tensor, values in (
            (self._last, [p[-1] for p in prompts]),
            (self._position, [len(p) - 1 for p in prompts]),
            (self._count, [0] * len(fresh)),
            (self._limit, [r.admitted.limit for r in fresh]),
            (self._knobs.temperature, [p.temperature for p in params]),
            (self._knobs.top_p, [p.top_p for p in params]),
            (self._knobs.top_k, [p.top_k for p in params]),
        ):
            tensor[at] = torch.tensor(values, dtype=tensor.dtype, device=self._device)
        self._uniforms[at] = torch.stack([r.uniforms.next_chunk() for r in fresh]).to(self._device)
        targets: dict[tuple[int, ...], list[int]] = {}
        for slot, prompt in enumerate(prompts, start=live):
            targets.setdefault(prompt, []).append(slot)
        self._copy_live(targets)
        self._prefill(targets)
        for row in fresh:
            row.started = now
        self.rows.extend(fresh)

    def _copy_live(self, targets: dict[tuple[int, ...], list[int]]) -> None:
        # A live row of the same prompt holds its keys and values already.
        for slot, row in enumerate(self.rows):
            prompt = row.admitted.prompt
            if slots := targets.pop(prompt, None):
                self._slots.move([slot] * len(slots), slots, len(prompt) - 1)

    def _prefill(self, targets: dict[tuple[int, ...], list[int]]) -> None:
        group: list[tuple[int, ...]] = []
        for prompt in sorted((p for p in targets if len(p) > 1), key=len):
            if group and len(prompt) * (len(group) + 1) > PREFILL_TOKENS:
                self._prefill_group(group, targets)
                group = []
            group.append(prompt)
        if group:
            self._prefill_group(group, targets)

    def _prefill_group(self, group: list[tuple[int, ...]], targets: dict[tuple[int, ...], list[int]]) -> None:
        width = len(group[-1]) - 1
        ids = torch.zeros((len(group), width), dtype=torch.int64)
        mask = torch.zeros((len(group), width), dtype=torch.int64)
        for i, prompt in enumerate(group):  # padded on the left
            ids[i, width - len(prompt) + 1 :] = torch.tensor(prompt[:-1])
            mask[i, width - len(prompt) + 1 :] = 1
        cache = DynamicCache()
        self._model(
            input_ids=ids.to(self._device),
            attention_mask=None if len(group[0]) - 1 == width else mask.to(self._device),
            position_ids=(mask.cumsum(dim=-1) - 1).clamp(min=0).to(self._device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        for i, prompt in enumerate(group):
            self._slots.fill(cache, i, targets[prompt], len(prompt) - 1)

    def _widen(self, limit: int) -> None:
        have = self._tokens.shape[1]
        if limit > have:
            width = max(limit, min(2 * have, len(self._columns)))
            self._tokens = torch.nn.functional.pad(self._tokens, (0, width - have))
            self._logprobs = torch.nn.functional.pad(self._logprobs, (0, width - have))

    def _longest(self) -> int:
        return int(self._position[: len(self.rows)].max()) + 1 if self.rows else 0

    def read(self, readings: Sequence[Scoring]) -> None:
        """Score given tokens in one teacher-forced pass, beside the live rows, and resolve their futures."""
        read(self._model, readings, self._device, self._float)

    def step(self) -> int:
        """One token for every live row; finished rows resolve their futures and leave. Returns tokens drawn."""
        n, length = len(self.rows), self._longest()
        position = self._position[:n]
        self._slots.point(position, length)
        logits = self._model(
            input_ids=self._last[:n, None],
            attention_mask=(self._columns[:length] <= position[:, None])[:, None, None],
            position_ids=position[:, None],
            past_key_values=self._slots.cache,
            use_cache=True,
        ).logits[:, -1]
        every, count = torch.arange(n, device=self._device), self._count[:n]
        tokens, logprobs, sampled = draw(
            logits.to(self._float),
            self._knobs.rows(n),
            self._uniforms[every, count % CHUNK],
            plain=all(r.plain for r in self.rows),
            truncated=any(r.truncated for r in self.rows),
        )
        if not bool(torch.isfinite(logprobs).all()):
            raise FloatingPointError("the model gives logits that are not finite; try dtype: float32")
        self._tokens[every, count] = tokens.to(torch.int32)
        self._logprobs[0, every, count] = logprobs.to(torch.float32)
        self._logprobs[1, every, count] = sampled.to(torch.float32)
        self._last[:n] = tokens
        position += 1
        count += 1
        self._refill(count)
        ended = self._is_stop[tokens] | (count >= self._limit[:n])
        self._leave(self._watch(tokens, ended))
        return n

    def _refill(self, count: torch.Tensor) -> None:
        for i in (count % CHUNK == 0).nonzero()[:, 0].tolist():
            self._uniforms[i] = self.rows[i].uniforms.next_chunk().to(self._device)

    def _watch(self, tokens: torch.Tensor, ended: torch.Tensor) -> list[int]:
        found = set(ended.nonzero()[:, 0].tolist())
        watched = [i for i, r in enumerate(self.rows) if r.watch is not None]
        if watched:
            drawn = tokens.tolist()
            found.update(i for i in watched if (w := self.rows[i].watch) is not None and w.push(drawn[i]))
        return sorted(found)

    def _leave(self, ended: list[int]) -> None:
        if not ended:
            return
        results = [(self.rows[i].future, self._result(i)) for i in ended]
        left = len(self.rows) - len(ended)
        targets = [i for i in ended if i < left]
        gone = set(ended)
        sources = [i for i in range(left, len(self.rows)) if i not in gone]
        if sources:
            self._slots.move(sources, targets, int(self._position[sources].max()))
            for tensor in self._per_row():
                tensor[targets] = tensor[sources]
            for source, target in zip(sources, targets, strict=True):
                self.rows[target] = self.rows[source]
        del self.rows[left:]
        for future, result in results:
            future.set_result(result)

    def _result(self, i: int) -> SampleResult:
        row, n = self.rows[i], int(self._count[i])
        request = row.admitted.request
        tokens = self._tokens[i, :n].tolist()
        text, kept, at_text = cut_at_stop(self._renderer, tokens, request.params.stop)
        stopped = at_text or tokens[-1] in self._renderer.stop_token_ids
        return SampleResult(
            rollout_id=request.rollout_id,
            text=text,
            finish_reason="stop" if stopped else "length",
            token_ids=tuple(tokens[:kept]),
            logprobs=tuple(self._logprobs[0, i, :kept].tolist()),
            sampling_logprobs=None if row.plain else tuple(self._logprobs[1, i, :kept].tolist()),
            n_tokens=kept,
            prompt_tokens=len(row.admitted.prompt),
            elapsed_s=time.monotonic() - row.started,
        )

    def clear(self) -> list[Row]:
        """Drop all rows and their memory; the caller answers for their futures."""
        dropped, self.rows = self.rows, []
        self._slots.free()
        return dropped
