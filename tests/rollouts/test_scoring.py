"""Asking for scores: once for one reading, and a reason in place of numbers that cannot be used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthflow import ids
from synthflow.backends.top_logprobs import entropy_floor
from synthflow.contracts import PolicyIdentity, SampleRequest, SampleResult
from synthflow.errors import InvariantBroken, Mistakes
from synthflow.rollouts.scoring import ToScore, same_vocabulary, score
from synthflow.spec.pipeline import Pipeline


class Services:
    """Answers each request as `say` does."""

    def __init__(self, **changes: Any) -> None:
        self.changes, self.asked = changes, []

    def identity(self, policy: str) -> PolicyIdentity:
        return PolicyIdentity(f"m_{policy}", "w", self.changes.get(policy, "t"), "c")

    def renderer(self, policy: str) -> Any:
        return self.changes.get(f"{policy}_renderer")

    def sample(self, requests: Sequence[SampleRequest], policy: str) -> list[SampleResult]:
        self.asked += requests
        return [self._say(r) for r in requests][: self.changes.get("most")]

    def _say(self, request: SampleRequest) -> SampleResult:
        n = len(request.score or ())
        entropies = tuple(1.0 + t for t in range(n)) if request.entropy_top else None
        told = SampleResult(request.rollout_id, "", "stop", logprobs=(-0.5,) * n, entropies=entropies)
        return replace(told, entropies_exact=None if entropies is None else False, **self.changes.get("result", {}))


def asks(*tokens: tuple[int, ...]) -> list[ToScore]:
    return [ToScore("p_1", (1, 2), t) for t in tokens]


def test_equal_readings_are_one_request_and_its_id_is_their_content() -> None:
    services = Services()
    told = score(asks((3, 4), (5,), (3, 4)), "judge", services)
    assert [t.logprobs.tolist() for t in told if t.logprobs is not None] == [[-0.5, -0.5], [-0.5], [-0.5, -0.5]]
    first, second = services.asked
    assert first.rollout_id == ids.score_id("m_judge", (1, 2), (3, 4)) and first.score == (3, 4)
    assert second.prompt_token_ids == (1, 2) and second.entropy_top == 0


@pytest.mark.parametrize(
    "other",
    [("m_x", (1, 2), (3, 4), 0), ("m", (1,), (2, 3, 4), 0), ("m", (1, 2, 3), (4,), 0), ("m", (1, 2), (3, 4), 20),
     ("m", (12,), (3, 4), 0), ("m", (1, 2), (34,), 0)],
)  # fmt: skip
def test_what_is_read_otherwise_has_another_id(other: tuple[Any, ...]) -> None:
    assert ids.score_id(*other) != ids.score_id("m", (1, 2), (3, 4), 0)


def test_entropies_and_whether_they_are_bounds() -> None:
    [told] = score(asks((3, 4)), "p", Services(), entropy_top=20)
    assert told.entropies is not None and told.entropies.tolist() == [1.0, 2.0] and told.exact is False


@pytest.mark.parametrize(
    ("result", "reason", "words"),
    [
        ({"finish_reason": "refused", "reason": "too long", "logprobs": None}, "score_refused", "too long"),
        ({"finish_reason": "poison", "reason": "it died", "logprobs": None}, "poison", "it died"),
        ({"logprobs": None}, "no_scores", "0 log probabilities of 2 tokens"),
        ({"logprobs": (-1.0,)}, "no_scores", "1 log probabilities of 2 tokens"),
        ({"logprobs": (-1.0, math.nan)}, "scores_not_finite", "token 1 has log probability nan"),
        ({"logprobs": (-math.inf, -1.0)}, "scores_not_finite", "token 0 has log probability -inf"),
    ],
)
def test_what_cannot_be_used_has_its_reason(result: dict[str, Any], reason: str, words: str) -> None:
    [told] = score(asks((3, 4)), "p", Services(result=result))
    assert told.logprobs is None and told.entropies is None
    assert told.reason == reason and str(told.words).startswith(words)


def test_an_entropy_that_is_no_number_spoils_its_reading() -> None:
    [told] = score(asks((3, 4)), "p", Services(result={"entropies": (1.0, math.nan)}), entropy_top=5)
    assert told.reason == "scores_not_finite" and "entropy nan" in str(told.words)


def test_a_missing_answer_is_no_score() -> None:
    with pytest.raises(InvariantBroken, match="2 requests to policy 'p', 1 results came back"):
        score(asks((3,), (4,)), "p", Services(most=1))
    assert score([], "p", Services()) == []


def test_vocabularies_are_compared_where_the_tokenizers_differ() -> None:
    class Renderer:
        def __init__(self, vocabulary: dict[str, int]) -> None:
            self.vocabulary = vocabulary

    one, other = Renderer({"a": 0, "b": 1}), Renderer({"a": 1, "b": 0})
    assert same_vocabulary("p", "q", Services())
    assert same_vocabulary("p", "q", Services(p="t1", p_renderer=one, q_renderer=Renderer({"a": 0, "b": 1})))
    assert not same_vocabulary("p", "q", Services(p="t1", p_renderer=one, q_renderer=other))
    assert not same_vocabulary("p", "q", Services(p="t1", p_renderer=one)), "a server whose tokenizer nobody has"


@pytest.mark.parametrize("told", [1, 2, 3, 7, 8])
def test_the_likeliest_tokens_bound_the_entropy_from_below(told: int) -> None:
    p = np.array([0.4, 0.2, 0.15, 0.1, 0.06, 0.05, 0.03, 0.01])
    whole = float(-(p * np.log(p)).sum())
    bound = entropy_floor(np.log(p[:told]).tolist())
    rest = p[told:].sum()
    by_hand = -(p[:told] * np.log(p[:told])).sum() - (rest * np.log(rest) if rest > 1e-12 else 0)
    assert bound == pytest.approx(by_hand, abs=1e-9)
    assert bound == pytest.approx(whole, abs=1e-9) if told >= 7 else bound < whole, "one untold outcome is told too"


def test_strange_log_probabilities() -> None:
    assert entropy_floor([0.0]) == entropy_floor([0.0, -math.inf]) == 0.0
    assert entropy_floor([-math.inf]) == 0.0, "everything is in the rest, which is one outcome"
    assert math.isnan(entropy_floor([math.nan])) and math.isnan(entropy_floor([-1.0, 700.0]))


def test_a_backend_that_cannot_score_is_told_when_the_spec_is_read(tmp_path: Path) -> None:
    stages = {
        "problems": {"use": "source.demo", "limit": 2},
        "rollouts": {"use": "sample", "of": "problems"},
        "verdicts": {"use": "verify.math", "of": "rollouts"},
        "branches": {"use": "sample.branch", "of": "verdicts", "policy": "served"},
    }
    served = {"backend": "openai", "model": "gpt", "base_url": "http://here/v1", "endpoint": "chat"}
    policies = {"default": {"backend": "transformers", "model": "demo"}, "served": served}
    with pytest.raises(Mistakes) as found:
        Pipeline.build("x", stages, policies=policies)
    [mistake] = found.value.found
    assert "stages.branches.policy" in mistake.where and "is to score given tokens" in mistake.what
