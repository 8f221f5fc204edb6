"""What a server's answer means: a completion, a refusal or BadAnswer, and nothing else, whatever the bytes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from synthflow.backends.openai import answer
from synthflow.backends.openai.fields import BadAnswer
from synthflow.backends.openai.protocol import Endpoint
from synthflow.backends.renderer import PolicyRenderer
from synthflow.contracts import SampleRequest, SampleResult, SamplingParams
from synthflow.stores import journal

REQUEST = SampleRequest("r_1", "p_1", (("user", "?"),), (5, 6, 7), SamplingParams(max_tokens=8, stop=("b",)), 1)
LOGPROBS = {"token_logprobs": [-0.5, -0.25, -1.0]}
USAGE = {"prompt_tokens": 3, "completion_tokens": 3}
GOOD: dict[str, Any] = {"text": "abc", "finish_reason": "stop", "token_ids": [40, 41, 42], "logprobs": LOGPROBS}


def parse(found: Any, endpoint: Endpoint = "completions", renderer: PolicyRenderer | None = None) -> SampleResult:
    return answer.parse(REQUEST, found, endpoint, renderer, 0.5, limit=8, vocabulary=344)


def with_choice(usage: Any = USAGE, **fields: Any) -> dict[str, Any]:
    return {"choices": [{**GOOD, **fields}], "usage": usage}


def test_a_good_answer() -> None:
    result = parse(with_choice())
    assert (result.text, result.token_ids, result.logprobs) == ("abc", (40, 41, 42), (-0.5, -0.25, -1.0))
    assert (result.finish_reason, result.n_tokens, result.prompt_tokens, result.elapsed_s) == ("stop", 3, 3, 0.5)


SPOILT: dict[str, Any] = {
    "not an object": [],
    "null": None,
    "no choices": {"choices": []},
    "choices of a wrong type": {"choices": {"0": GOOD}},
    "choice of a wrong type": {"choices": ["abc"]},
    "a number for a text": with_choice(text=3),
    "no text": with_choice(text=None),
    "finish of a wrong type": with_choice(finish_reason=True),
    "a finish that nobody knows": with_choice(finish_reason="error"),
    "no finish": with_choice(finish_reason=None),
    "tokens of a wrong type": with_choice(token_ids="40 41 42"),
    "a token as text": with_choice(token_ids=[40, "41", 42]),
    "a token as truth value": with_choice(token_ids=[40, True, 42]),
    "a token as float": with_choice(token_ids=[40, 41.0, 42]),
    "a token below the vocabulary": with_choice(token_ids=[40, -1, 42]),
    "a token above the vocabulary": with_choice(token_ids=[40, 344, 42]),
    "a list for a token": with_choice(token_ids=[40, [[[41]]], 42]),
    "fewer tokens than counted": with_choice(token_ids=[40, 41], logprobs=None),
    "fewer log probabilities than tokens": with_choice(logprobs={"token_logprobs": [-0.5]}),
    "log probabilities of a wrong type": with_choice(logprobs=[-0.5, -0.25, -1.0]),
    "a log probability as text": with_choice(logprobs={"token_logprobs": [-0.5, "-0.25", -1.0]}),
    "a log probability as truth value": with_choice(logprobs={"token_logprobs": [-0.5, False, -1.0]}),
    "a probability in its place": with_choice(logprobs={"token_logprobs": [0.5, 0.25, 0.9]}),
    "usage of a wrong type": with_choice([3, 3]),
    "a negative count": with_choice({"completion_tokens": -3}),
    "a truth value for a count": with_choice({"prompt_tokens": True}),
    "a count that is no integer": with_choice({"prompt_tokens": 2.5}),
    "a count beyond int32": with_choice({"prompt_tokens": 2**31}),
    "a text of no tokens": with_choice({"completion_tokens": 0}, token_ids=None, logprobs=None),
    "a length of no tokens": with_choice(None, text="", token_ids=[], logprobs=None, finish_reason="length"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_what_cannot_be_true_spoils_the_answer(kind: str) -> None:
    with pytest.raises(BadAnswer):
        parse(SPOILT[kind])


@pytest.mark.parametrize("message", [None, "abc", {}, {"content": 3}, {"content": ["abc"]}])
def test_a_chat_message_has_a_text_or_says_nothing(message: Any) -> None:
    with pytest.raises(BadAnswer):
        parse({"choices": [{"finish_reason": "stop", "message": message}]}, "chat")
    silent = {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": None}}]}
    assert parse(silent, "chat").text == ""


def test_what_is_not_there_is_null() -> None:
    bare = parse(with_choice(None, token_ids=None, logprobs=None))
    assert (bare.text, bare.token_ids, bare.logprobs, bare.n_tokens, bare.prompt_tokens) == ("abc", None, None, None, 3)
    for hole in (None, math.nan, -math.inf, -1e300):
        assert parse(with_choice(logprobs={"token_logprobs": [-0.5, hole, -1.0]})).logprobs is None
    chat = {"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -0.25}]}
    found = {"choices": [{"finish_reason": "length", "message": {"content": "ab"}, "logprobs": chat}]}
    assert parse(found, "chat").logprobs == (-0.5, -0.25)
    filtered = parse(with_choice(text=None, finish_reason="content_filter"))
    assert filtered.finish_reason == "refused" and "filter" in (filtered.reason or "")


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"\xff\xfe", b'{"choices": ', b"[" * 10**6, b'{"a":' * 10**5, b"1" * 10**5, b'"\xed\xa0\x80"'],
)
def test_bytes_that_are_no_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        parse(answer.decode(body))


def test_a_message_of_deep_json_does_not_break_the_message() -> None:
    deep = b'{"choices": [{"text": "x", "finish_reason": "stop", "token_ids": [' + b"[" * 900 + b"]" * 900 + b"]}]}"
    with pytest.raises(BadAnswer, match="hold an array"):
        parse(answer.decode(deep))


def test_numbers_and_texts_that_json_has_not() -> None:
    assert math.isnan(answer.decode(b'{"a": NaN}')["a"])
    result = parse(answer.decode(json.dumps(with_choice(text="a\ud800b", token_ids=None, logprobs=None)).encode()))
    assert result.text == "a�b", "no table can hold half a surrogate pair"


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def answers(draw: st.DrawFn) -> Any:
    """A good answer of either endpoint, of which up to two parts have been replaced by anything."""
    ids = draw(st.lists(st.integers(0, 343), min_size=1, max_size=8))
    logprobs = draw(st.lists(st.floats(-1e4, 0), min_size=len(ids), max_size=len(ids)))
    text = draw(st.text(st.characters(), max_size=8))
    content = [{"token": "x", "logprob": x} for x in logprobs]
    choice: dict[str, Any] = {"finish_reason": draw(st.sampled_from(["stop", "length", "content_filter"]))}
    choice |= {"text": text, "message": {"role": "assistant", "content": text}, "token_ids": ids}
    choice["logprobs"] = draw(st.sampled_from([{"token_logprobs": logprobs}, {"content": content}]))
    found: dict[str, Any] = {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": len(ids)}}
    for _ in range(draw(st.integers(0, 2))):
        at: Any = found
        while True:
            names = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not names:
                break
            name = draw(st.sampled_from(names))
            if isinstance(at[name], dict | list) and draw(st.booleans()):
                at = at[name]
                continue
            at[name] = draw(any_json | st.floats() | st.integers(-2, 400))
            break
    return found


@settings(max_examples=150, deadline=None)
@given(found=answers() | any_json, endpoint=st.sampled_from(["completions", "chat"]), ours=st.booleans())
def test_any_json_is_a_result_or_a_bad_answer(byte_dir: Path, found: Any, endpoint: Endpoint, ours: bool) -> None:
    """And a result keeps its promises: arrays of one length, tokens of the vocabulary, a journal line that holds."""
    renderer = _renderer(byte_dir) if ours else None
    try:
        result = parse(answer.decode(json.dumps(found).encode("utf-8", "surrogatepass")), endpoint, renderer)
    except BadAnswer:
        event("BadAnswer")
        return
    event(result.finish_reason)
    assert result.finish_reason in ("stop", "length") or result.reason
    assert all(n is None or 0 <= n < 2**31 for n in (result.n_tokens, result.prompt_tokens))
    result.text.encode("utf-8")
    if result.token_ids is not None:
        assert all(0 <= t < 344 for t in result.token_ids) and result.n_tokens == len(result.token_ids) <= 8
        assert result.logprobs is None or len(result.logprobs) == len(result.token_ids)
    assert all(math.isfinite(x) for x in result.logprobs or ())
    line = journal.decode(journal.encode(result, "p_1", 1).rstrip(b"\n"))
    assert line is not None and line[1].text == result.text and line[1].token_ids == result.token_ids


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=60))
def test_any_bytes_are_json_or_a_bad_answer(body: bytes) -> None:
    try:
        parse(answer.decode(body))
    except BadAnswer:
        return
    raise AssertionError("60 random bytes are no completion")


_loaded: dict[Path, PolicyRenderer] = {}


def _renderer(directory: Path) -> PolicyRenderer:
    if directory not in _loaded:
        _loaded[directory] = PolicyRenderer.load(directory)
    return _loaded[directory]


def test_more_tokens_than_were_asked_for_are_cut_and_told(policy_dir: Path) -> None:
    """Where the tokens tell the text; elsewhere the text stays, and is told."""
    long = {"token_ids": [40, 41, 42] * 3, "logprobs": {"token_logprobs": [-0.5] * 9}}
    usage = {"prompt_tokens": 3, "completion_tokens": 9}
    renderer = PolicyRenderer.load(policy_dir)
    cut = parse(with_choice(usage, **long), renderer=renderer)
    assert cut.token_ids == (40, 41, 42, 40, 41, 42, 40, 41) and len(cut.logprobs or ()) == cut.n_tokens == 8
    assert (cut.text, cut.finish_reason, cut.notes) == (renderer.decode(cut.token_ids), "length", (answer.OVER,))
    kept = parse(with_choice(usage, token_ids=None, logprobs=None))
    assert (kept.text, kept.n_tokens, kept.finish_reason, kept.notes) == ("abc", 9, "stop", (answer.OVER,))


def chat(message: dict[str, Any], finish: str = "stop", **choice: Any) -> SampleResult:
    return parse({"choices": [{"finish_reason": finish, "message": message, **choice}]}, "chat")


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_a_thought_that_a_server_cut_out_is_put_back(name: str) -> None:
    both = chat({"content": "\n\nIt is 2.", name: "\n1 + 1\n"})
    assert both.text == "<think>\n1 + 1\n</think>\n\nIt is 2."
    assert both.answer_start is not None and both.text[both.answer_start :] == "It is 2."
    assert both.notes == ("its thought came apart from its answer, and was put together with it",)


def test_a_whole_reply_that_a_server_takes_for_a_thought_is_a_reply() -> None:
    """vLLM's parsers do that with every reply without tags; one that ran into the limit may be an open thought."""
    whole = chat({"content": None, "reasoning": "It is 2."})
    assert (whole.text, whole.answer_start) == ("It is 2.", None) and len(whole.notes) == 1
    cut = chat({"content": None, "reasoning": "1 + 1"}, "length")
    assert (cut.text, cut.answer_start) == ("<think>\n1 + 1", len("<think>\n1 + 1"))


def test_with_a_tokenizer_the_tokens_tell_what_was_thought(policy_dir: Path) -> None:
    renderer = PolicyRenderer.load(policy_dir)
    message = {"content": "cut", "reasoning": "out"}
    found = {"choices": [{"finish_reason": "stop", "message": message, "token_ids": [40, 41, 42]}]}
    result = answer.parse(REQUEST, found, "chat", renderer, 0.5, vocabulary=344)
    assert result.text == renderer.decode((40, 41, 42)) and result.notes == ()


PARTS: dict[str, tuple[Any, str, int | None]] = {
    "texts": ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab", None),
    "output": ([{"type": "output_text", "text": "a"}], "a", None),
    "a thought": (
        [{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}, {"type": "text", "text": "a"}],
        "<think>\nt\n</think>\n\na", 20,
    ),
    "nothing": ([], "", None),
}  # fmt: skip


@pytest.mark.parametrize("kind", PARTS)
def test_content_in_parts_is_one_text(kind: str) -> None:
    parts, text, start = PARTS[kind]
    result = chat({"content": parts})
    assert (result.text, result.answer_start) == (text, start)
    with pytest.raises(BadAnswer, match="has the type 'image_url'"):
        chat({"content": [*parts, {"type": "image_url"}]})


def test_the_words_of_a_refusal_are_kept() -> None:
    own = chat({"content": None, "refusal": "I will not."})
    assert (own.finish_reason, own.text, own.reason) == (
        "refused", "I will not.", "the model refuses, in the words of its text",
    )  # fmt: skip
    filtered = chat({"content": "I beg"}, "content_filter")
    assert (filtered.finish_reason, filtered.text) == ("refused", "I beg")


def test_without_usage_nothing_is_counted() -> None:
    result = chat({"content": "abc"})
    assert (result.n_tokens, result.prompt_tokens) == (None, 3)
    assert journal.decode(journal.encode(result, "p_1", 5).rstrip(b"\n")) == (5, result)
