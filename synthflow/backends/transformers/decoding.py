"""What computes the next token's logits of every row, and keeps the keys and values that this takes.

Invariant: a decoder's rows are numbered as the batch numbers them: whoever enters comes last, and when rows leave,
those that stay have the order that `leave` says. A row has been given all tokens of its prompt but the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from synthflow.backends.transformers.cohorts import Cohort
from synthflow.backends.transformers.kv_cache import Slots, probe
from synthflow.backends.transformers.llama import LlamaForward, looks_like_llama
from synthflow.backends.transformers.memory import Shapes, compacted, rows_that_fit, token_bytes
from synthflow.backends.transformers.packed import pack
from synthflow.backends.transformers.prefill import Tokens, prefill
from synthflow.backends.transformers.prefixes import Prefixes
from synthflow.backends.transformers.shared_attention import SharedAttention

TRIED, TRIAL_TOKENS = 2, 6
"""Rows and tokens a row by which a model of Llama's kind shows that it is one."""
SAME = 1e-3
"""Difference of two logits, in parts of the largest, that is rounding and no other computation."""


class Decoder(Protocol):
    """One model's forward pass, a token a row."""

    def room(self, prompt: int, limit: int) -> int:
        """How many rows fit, if no prompt is longer than `prompt` and no completion than `limit`; one always does."""

    def enter(self, prompts: Sequence[Tokens], limits: Sequence[int]) -> None:
        """Append rows."""

    def step(self, last: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        """Logits (rows, vocabulary) of what follows the token `last` of every row at its `position`."""

    def leave(self, ended: Sequence[int]) -> list[int]:
        """Drop some rows. Says which stay, in their new order."""

    def clear(self) -> None:
        """Drop all rows and give the memory back."""


class AnyDecoder:
    """Transformers' own forward pass for every token: any model that keeps keys and values, on any device."""

    def __init__(self, model: Any, shapes: Shapes, budget: float, most: int, context: int, device: str) -> None:
        self._model, self._device = model, device
        self._slots = Slots(shapes, budget, most, model.dtype, device)
        self._columns = torch.arange(context, device=device)
        self._prompts: list[Tokens] = []
        self._written: list[int] = []  # columns of every row
        self._needs: list[int] = []

    def room(self, prompt: int, limit: int) -> int:
        return self._slots.room(prompt + limit)

    def enter(self, prompts: Sequence[Tokens], limits: Sequence[int]) -> None:
        live = len(self._prompts)
        needs = [len(p) + n for p, n in zip(prompts, limits, strict=True)]
        self._slots.reserve(live + len(prompts), max((*self._needs, *needs)), live, max(self._written, default=0))
        held = {p[:-1]: row for row, p in enumerate(self._prompts)}
        targets: dict[Tokens, list[int]] = {}
        for row, prompt in enumerate(prompts, start=live):
            targets.setdefault(prompt[:-1], []).append(row)
        for stem in [stem for stem in targets if stem in held]:  # a live row holds these already
            rows = targets.pop(stem)
            self._slots.move([held[stem]] * len(rows), rows, len(stem))
        for filled in prefill(self._model, targets, self._device):
            self._slots.fill(filled, targets[filled.stem])
        self._prompts += prompts
        self._written += [len(p) - 1 for p in prompts]
        self._needs += needs

    def step(self, last: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        self._written = [n + 1 for n in self._written]
        length = max(self._written)
        self._slots.point(position, length)
        return self._model(
            input_ids=last[:, None],
            attention_mask=(self._columns[:length] <= position[:, None])[:, None, None],
            position_ids=position[:, None],
            past_key_values=self._slots.cache,
            use_cache=True,
        ).logits[:, -1]

    def leave(self, ended: Sequence[int]) -> list[int]:
        order, holes, sources = compacted(len(self._prompts), set(ended))
        self._slots.move(sources, holes, max((self._written[row] for row in sources), default=0))
        self._prompts = [self._prompts[row] for row in order]
        self._written = [self._written[row] for row in order]
        self._needs = [self._needs[row] for row in order]
        return order

    def clear(self) -> None:
        self._prompts, self._written, self._needs = [], [], []
        self._slots.free()


class LlamaDecoder:
    """Our own forward pass for models of Llama's kind on a CPU; rows share the keys and values of their prompts."""

    def __init__(self, model: Any, forward: LlamaForward, shapes: Shapes, budget: float, most: int) -> None:
        self._model, self._forward, self._shapes = model, forward, shapes
        self._budget, self._most = budget, most
        self._prefixes = Prefixes(shapes, model.dtype)
        self._cohorts: list[Cohort] = []
        self._attention: SharedAttention | None = None

    def room(self, prompt: int, limit: int) -> int:
        return rows_that_fit(prompt + limit, token_bytes(self._shapes, self._model.dtype), self._budget, self._most)

    def enter(self, prompts: Sequence[Tokens], limits: Sequence[int]) -> None:
        self._prefixes.enter([p[:-1] for p in prompts], self._model)
        self._cohorts.append(Cohort(self._shapes, len(prompts), max(limits), self._model.dtype))
        self._attention = None

    def step(self, last: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        if self._attention is None:
            self._attention = SharedAttention(self._prefixes, self._cohorts, self._forward.heads, self._forward.group)
        for cohort in self._cohorts:
            cohort.open_column()
        self._attention.begin(self._model.dtype)
        return self._forward.logits(last, position, self._attention.attend)

    def leave(self, ended: Sequence[int]) -> list[int]:
        gone, order, start = set(ended), [], 0
        for cohort in self._cohorts:
            stop = start + cohort.rows
            of_cohort = {row - start for row in gone if start <= row < stop}
            order += [start + row for row in cohort.leave(of_cohort)]
            start = stop
        self._cohorts = [c for c in self._cohorts if c.rows]
        self._prefixes.leave(order)
        self._attention = None
        return order

    def clear(self) -> None:
        self._cohorts, self._attention = [], None
        self._prefixes.clear()


def open_decoder(model: Any, budget: float, most: int, context: int, device: str) -> Decoder:
    """The decoder of a model: ours where it computes what the model does, whose linear maps are packed then.

    Args:
        budget: bytes that keys and values may take.
        most: rows.
        context: tokens that a row may hold.

    Raises:
        ValueError: if the model keeps something else than keys and values of all tokens.
    """
    shapes = probe(model, 0, device)
    if device == "cpu" and model.dtype in (torch.float32, torch.float64) and looks_like_llama(model):
        pack(model)
        decoder = LlamaDecoder(model, LlamaForward(model), shapes, budget, most)
        if context > TRIAL_TOKENS and _computes(decoder, model):
            return decoder
    return AnyDecoder(model, shapes, budget, most, context, device)


def _computes(decoder: LlamaDecoder, model: Any) -> bool:
    """Whether the decoder gives a model's own logits, from a few tokens that both are given."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(1, 1 + TRIED * TRIAL_TOKENS).view(TRIED, -1) * 7919 % vocabulary
    expected = model(input_ids=ids).logits
    decoder.enter([tuple(row[:2]) for row in ids.tolist()], [TRIAL_TOKENS] * TRIED)
    same = True
    for at in range(1, TRIAL_TOKENS):
        found = decoder.step(ids[:, at], torch.full((TRIED,), at))
        same &= bool((found - expected[:, at]).abs().max() <= SAME * expected.abs().max())
    decoder.clear()
    return same
