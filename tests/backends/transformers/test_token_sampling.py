"""Drawing, against direct computation and the chi-square distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.backends.transformers.token_sampling import CHUNK, Knobs, Uniforms, draw, truncate

CHI2_999 = {2: 13.82, 3: 16.27, 4: 18.47, 5: 20.52, 6: 22.46, 7: 24.32}
"""Upper 0.1% points of the chi-square distribution."""


def knobs(n: int, temperature: float = 1.0, top_p: float = 1.0, top_k: int = 0) -> Knobs:
    return Knobs(torch.full((n,), temperature), torch.full((n,), top_p), torch.full((n,), top_k))


def uniforms(n: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(n))


def expected(logits: torch.Tensor, temperature: float, top_p: float, top_k: int) -> np.ndarray:
    """The sampling distribution, a token at a time in plain Python."""
    p = torch.softmax(logits.double() / temperature, -1).numpy()
    order = sorted(range(len(p)), key=lambda i: -p[i])
    order = order[:top_k] if top_k else order
    kept, mass, total = [], 0.0, sum(p[i] for i in order)
    for i in order:
        if kept and top_p < 1 and mass >= top_p:
            break
        kept.append(i)
        mass += p[i] / total
    out = np.zeros_like(p)
    out[kept] = p[kept] / p[kept].sum()
    return out


@pytest.mark.parametrize(
    ("temperature", "top_p", "top_k"), [(1, 1, 0), (0.7, 1, 0), (1.3, 0.8, 0), (1, 1, 4), (1.5, 0.7, 5)]
)
def test_tokens_follow_the_distribution(temperature: float, top_p: float, top_k: int) -> None:
    logits, n = torch.tensor([0.3, 2.0, -1.0, 1.2, 0.0, 0.9, -0.4, 1.6]), 40_000
    plain = (temperature, top_p, top_k) == (1, 1, 0)
    tokens, logp, sampled = draw(
        logits.expand(n, -1), knobs(n, temperature, top_p, top_k), uniforms(n), plain=plain, truncated=not plain
    )
    p = expected(logits, temperature, top_p, top_k)
    counts = np.bincount(tokens.numpy(), minlength=8)
    assert counts[p == 0].sum() == 0, "a truncated token was drawn"
    seen = p > 0
    chi2 = ((counts[seen] - n * p[seen]) ** 2 / (n * p[seen])).sum()
    assert chi2 < CHI2_999[int(seen.sum()) - 1]
    torch.testing.assert_close(logp, torch.log_softmax(logits, -1)[tokens])
    torch.testing.assert_close(sampled.exp().double(), torch.from_numpy(p)[tokens], atol=1e-5, rtol=1e-4)


def test_the_inverse_cdf_worked_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25]])).expand(5, -1)
    u = torch.tensor([0.0, 0.49, 0.51, 0.76, 1 - 2**-53], dtype=torch.float64)
    assert draw(logits, knobs(5), u, plain=True, truncated=False)[0].tolist() == [0, 0, 1, 2, 2]


def test_greedy_takes_the_likeliest_beside_sampled_rows() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0]] * 2)
    mixed = Knobs(torch.tensor([0.0, 1.0]), torch.ones(2), torch.zeros(2, dtype=torch.int64))
    u = torch.tensor([0.0, 0.0], dtype=torch.float64)
    tokens, logp, sampled = draw(logits, mixed, u, plain=False, truncated=False)
    assert tokens.tolist() == [1, 0]
    assert sampled[0] == 0 and logp[0] < 0


def test_a_token_of_no_probability_is_never_drawn() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]]).expand(3, -1)
    u = torch.tensor([0.0, 0.5, 1 - 2**-53], dtype=torch.float64)
    assert draw(logits, knobs(3), u, plain=True, truncated=False)[0].tolist() == [1, 3, 3]


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(st.floats(0.05, 1), st.integers(0, 12), st.integers(0, 2**31)), min_size=1, max_size=6))
def test_truncation_of_a_row_does_not_know_the_others(rows: list[tuple[float, int, int]]) -> None:
    logits = torch.stack([torch.randn(10, generator=torch.Generator().manual_seed(s)) for *_, s in rows])
    k = Knobs(torch.ones(len(rows)), torch.tensor([p for p, *_ in rows]), torch.tensor([k for _, k, _ in rows]))
    together = truncate(logits, k)
    for i, (top_p, top_k, _) in enumerate(rows):
        alone = truncate(logits[i : i + 1], knobs(1, 1.0, top_p, top_k))
        assert torch.equal(alone[0], together[i])
        assert torch.isfinite(alone).any()


def test_the_stream_of_a_seed_is_fixed() -> None:
    a, b = Uniforms(2**61 + 7), Uniforms(2**61 + 7)
    first = a.next_chunk()
    assert torch.equal(first, b.next_chunk()) and len(first) == CHUNK
    assert torch.equal(a.next_chunk(), b.next_chunk())
    assert not torch.equal(first, Uniforms(8).next_chunk())
    whole = np.random.Generator(np.random.Philox(key=8)).random(2 * CHUNK)
    c = Uniforms(8)
    assert np.array_equal(torch.cat([c.next_chunk(), c.next_chunk()]).numpy(), whole)
