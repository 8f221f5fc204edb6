"""The shipped tokenizer: exact round trips, single digits, line ends that do not glue, the chat template."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.demo import generate_problems, heldout_path, policy_path, reference_solutions

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def tok() -> Any:
    return transformers.AutoTokenizer.from_pretrained(policy_path())


TOK: list[Any] = []


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="a 0\n\r\t.{}\\👩🏽‍🚀é\u2028=+", max_size=40))
def test_round_trip_of_any_text(text: str) -> None:
    if not TOK:
        TOK.append(transformers.AutoTokenizer.from_pretrained(policy_path()))
    ids = TOK[0](text, add_special_tokens=False).input_ids
    assert TOK[0].decode(ids) == text


def test_digits_and_line_feeds_stand_alone(tok: Any) -> None:
    text = "\n".join(reference_solutions(next(generate_problems(1, seed=5, split="train", ops=(8,))), 1, 0)[0])
    pieces = [tok.decode([i]) for i in tok(text + " x1y22\n\n3").input_ids]
    for piece in pieces:
        if any(ch.isdigit() for ch in piece):
            assert len(piece) == 1
        if "\n" in piece:
            assert piece == "\n"
    assert not any(ch.isdigit() and len(t) > 1 for t in tok.get_vocab() for ch in t)


def test_vocabulary_is_small_and_special_tokens_are_set(tok: Any) -> None:
    assert 512 <= len(tok) <= 1024
    assert len({tok.pad_token_id, tok.bos_token_id, tok.eos_token_id} - {None}) == 3


def test_chat_template_masks_exactly_what_the_assistant_wrote(tok: Any) -> None:
    chat = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "How many?"},
        {"role": "assistant", "content": "2 + 2 = 4\nThe answer is \\boxed{4}."},
    ]
    out = tok.apply_chat_template(chat, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    kept = [i for i, m in zip(out["input_ids"], out["assistant_masks"], strict=True) if m]
    assert tok.decode(kept) == chat[2]["content"] + tok.eos_token
    prompt = tok.apply_chat_template(chat[:2], add_generation_prompt=True, tokenize=True, return_dict=True)["input_ids"]
    assert out["input_ids"][: len(prompt)] == prompt
    assert tok.apply_chat_template(chat[1:2], add_generation_prompt=True, tokenize=False) == (
        "<|bos|><|user|>How many?<|assistant|>"
    )
    with pytest.raises(Exception, match="unknown role"):
        tok.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_longest_problems_fit_comfortably(tok: Any) -> None:
    for line in heldout_path().read_text(encoding="utf-8").splitlines()[7::8]:
        row = json.loads(line)
        assert len(tok(row["prompt"]).input_ids) < 160
