"""Ids are hashes of all that they stand for and of nothing else, and never change: runs on disk are found by them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from synthflow import ids

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}]
ROLLOUT = {
    "problem": "p_1", "policy": "m_1", "round_": 2, "sampling": "g_1", "prefix": "x_1", "index": 3, "run_seed": 4,
}  # fmt: skip
SAMPLING = {"params": {"top_p": 1.0, "max_tokens": 8}, "template": "{prompt}", "condition": "none"}
POLICY = {"weights": "w", "tokenizer": "t", "chat_template": "c"}
PREFIX = {"problem": "p_1", "prefix_token_ids": [5, 16]}
SCORE = {"policy": "m_1", "prompt": [1, 2], "tokens": [3], "entropy_top": 0}
STEP = {"rollout": "r_1", "segmenter": "lines", "index": 1}
PAIR = {"level": "step", "prefix": "x_1", "chosen": "s_1", "rejected": "s_2", "rule": "sibling"}
ARTIFACT = {"kind": "judgement", "text": "no", "problem": "p_1", "source": "r_1"}


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


@pytest.mark.parametrize(
    ("made", "kind", "hashed"),
    [
        (ids.problem_id(MESSAGES), "p", '[[["system","Be brief."],["user","1 + 1?"]]]'),
        (ids.policy_id(**POLICY), "m", '["w","t","c"]'),
        (ids.sampling_id(**SAMPLING), "g", '[{"max_tokens":8,"top_p":1.0},"{prompt}","none"]'),
        (ids.prefix_id(**PREFIX), "x", "p_1:5,16"),
        (ids.rollout_id(**ROLLOUT), "r", "p_1|m_1|2|g_1|x_1|3|4"),
        (ids.score_id(**SCORE), "l", "m_1|0|1,2|3"),
        (ids.step_id(**STEP), "s", "r_1|lines|1"),
        (ids.pair_id(**PAIR), "d", '["step","x_1","s_1","s_2","sibling"]'),
        (ids.artifact_id(**ARTIFACT), "a", '["judgement","no","p_1","r_1"]'),
        (ids.text_hash("é"), "t", "é"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) == 1 else "",
)
def test_an_id_is_the_hash_of_its_parts(made: str, kind: str, hashed: str) -> None:
    assert made == f"{kind}_{_hash(hashed)}"


def test_a_seed_is_that_of_the_rollouts_id() -> None:
    assert ids.rollout_seed("r_1") == int(_hash("seed:r_1")[:16], 16) // 4
    assert ids.rollout_seed("r_1") != ids.rollout_seed("r_2")


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (ids.policy_id, POLICY),
        (ids.sampling_id, SAMPLING),
        (ids.prefix_id, PREFIX),
        (ids.rollout_id, ROLLOUT),
        (ids.score_id, SCORE),
        (ids.step_id, STEP),
        (ids.pair_id, PAIR),
        (ids.artifact_id, ARTIFACT),
    ],
)
def test_every_part_counts(make: Callable[..., str], parts: Mapping[str, Any]) -> None:
    changed = [{**parts, name: _other(value)} for name, value in parts.items()]
    assert len({make(**each) for each in (parts, *changed)}) == len(parts) + 1


def _other(value: Any) -> Any:
    if isinstance(value, dict):
        return {**value, "top_p": 0.5}
    return [*value, 9] if isinstance(value, list) else value + type(value)(1)


def test_a_message_is_its_role_and_content_and_nothing_else() -> None:
    named = [{**message, "name": "Ann"} for message in MESSAGES]
    swapped = [{**message, "role": "user"} for message in MESSAGES]
    assert ids.problem_id(named) == ids.problem_id(MESSAGES) != ids.problem_id(swapped)


def test_an_empty_prefix_is_the_prompt_of_every_problem() -> None:
    assert ids.prefix_id("p_1", []) == ids.prefix_id("p_2", []) == ids.NO_PREFIX


def test_how_many_are_sampled_is_no_part_of_a_sampling() -> None:
    with pytest.raises(ValueError, match="n is not part"):
        ids.sampling_id({"n": 8}, "{prompt}", "none")
