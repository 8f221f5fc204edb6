"""Drawing tokens, a row of the batch at a time but all rows at once.

Invariant: a token is a function of its row's logits, its row's sampling parameters and one uniform number, which
comes from the row's own counter-based stream and its place in the completion. So a request's draws never depend
on what else is in the batch.

Tokens are drawn by inverse CDF in the order of their ids: the first whose cumulative probability exceeds the
uniform. Nucleus sampling follows Holtzman et al. 2020 (keep the likeliest tokens until their mass reaches
top_p), after top_k, as in transformers and vLLM.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

CHUNK = 64
"""Uniforms drawn ahead for a row."""
AT_ONCE = 1 << 18
"""Logits that are looked at together on a CPU: what is computed from them stays in its cache, and in memory that the
allocator keeps. The rows of a large vocabulary are drawn a few at a time."""


class Uniforms:
    """The uniforms of one completion, in [0, 1): Philox (Salmon et al. 2011) keyed by the request's seed."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.Generator(np.random.Philox(key=seed % 2**128))

    def next_chunk(self) -> torch.Tensor:
        """The next `CHUNK` uniforms (float64)."""
        return torch.from_numpy(self._generator.random(CHUNK))


@dataclass(slots=True)
class Knobs:
    """Sampling parameters of the rows of a batch, one tensor element a row."""

    temperature: torch.Tensor
    top_p: torch.Tensor
    top_k: torch.Tensor

    def of(self, rows: torch.Tensor | slice) -> Knobs:
        """Those of some rows."""
        return Knobs(self.temperature[rows], self.top_p[rows], self.top_k[rows])


def truncate(logits: torch.Tensor, knobs: Knobs) -> torch.Tensor:
    """Logits (rows, vocabulary) with -inf where top_k and top_p leave a token out."""
    ranked, order = logits.sort(dim=-1, descending=True)
    rank = torch.arange(logits.shape[-1], device=logits.device)
    k = torch.where(knobs.top_k > 0, knobs.top_k, logits.shape[-1])
    ranked = ranked.masked_fill(rank >= k[:, None], -torch.inf)
    probs = ranked.softmax(dim=-1)
    before = probs.cumsum(dim=-1) - probs
    out = (before >= knobs.top_p[:, None]) & (knobs.top_p[:, None] < 1)
    ranked = ranked.masked_fill(out & (rank > 0), -torch.inf)
    return torch.empty_like(logits).scatter_(-1, order, ranked)


def draw(
    logits: torch.Tensor, knobs: Knobs, uniforms: torch.Tensor, *, plain: bool, truncated: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw one token a row.

    Args:
        logits: (rows, vocabulary), float32 or float64.
        uniforms: (rows,), float64 in [0, 1).
        plain: every row has temperature 1 and no truncation.
        truncated: some row has top_p or top_k.

    Returns:
        tokens (rows,) int64; log p at temperature 1 before truncation, in nats; log p under the distribution
        they were drawn from (0 for a greedy row).
    """
    at_once = max(1, AT_ONCE // logits.shape[-1]) if logits.device.type == "cpu" else len(logits)
    parts = [slice(start, start + at_once) for start in range(0, len(logits), at_once)]
    drawn = [_draw(logits[p], knobs.of(p), uniforms[p], plain=plain, truncated=truncated) for p in parts]
    tokens, logp, sampled = zip(*drawn, strict=True)
    return torch.cat(tokens), torch.cat(logp), torch.cat(sampled)


def _draw(
    logits: torch.Tensor, knobs: Knobs, uniforms: torch.Tensor, *, plain: bool, truncated: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    logp = logits.log_softmax(dim=-1)
    shaped = logp
    if not plain:
        greedy = knobs.temperature == 0
        scaled = logits / torch.where(greedy, 1.0, knobs.temperature)[:, None].to(logits.dtype)
        shaped = (truncate(scaled, knobs) if truncated else scaled).log_softmax(dim=-1)
    cdf = shaped.exp().cumsum(dim=-1, dtype=torch.float64)
    total = cdf[:, -1:]
    target = torch.minimum(uniforms[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    tokens = torch.searchsorted(cdf, target, right=True)
    if not plain:
        tokens = torch.where(greedy[:, None], logits.argmax(dim=-1, keepdim=True), tokens)
    sampled = shaped.gather(-1, tokens)
    if not plain:
        sampled = torch.where(greedy[:, None], 0.0, sampled)
    return tokens[:, 0], logp.gather(-1, tokens)[:, 0], sampled[:, 0]
