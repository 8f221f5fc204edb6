"""What a server does not take is left out where that changes nothing of what is sampled, and told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from synthflow.backends.openai.dialect import Dialect, left_out, spoken

SENT = {"model": "m", "temperature": 0.7, "top_p": 1.0, "n": 1, "seed": 3, "max_completion_tokens": 9, "logprobs": True}


def words(message: str, **fields: Any) -> bytes:
    return json.dumps({"error": {"message": message, **fields}}).encode()


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (words("Unrecognized request argument supplied: seed"), "seed"),
        (words("you may not", param="seed"), "seed"),
        (words("'logprobs' is not supported with this model"), "logprobs"),
        (words("Unsupported parameter: top_p"), "top_p"),
        (words("Unknown name max_completion_tokens; use max_tokens"), "max_completion_tokens"),
        (b'{"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}', "seed"),
        (b'{"error": "unexpected field seed"}', "seed"),
        (b"Bad request: unknown field `seed`", "seed"),
        (words("Unsupported value: 'temperature' does not support 0.7"), None),
        (words("prompt too long: the seed of the matter"), None),
        (words("Unsupported parameter: messages"), None),
        (words("Unsupported parameter: top_k"), None),
        (b"\xff\xfe", None),
        (b'{"error": {"message": 3, "detail": [3, {"loc": []}]}}', None),
    ],
)
def test_which_parameter_a_refusal_is_about(body: bytes, name: str | None) -> None:
    assert Dialect({}).refused(body, SENT) == name


def test_what_is_to_be_sent_is_sent() -> None:
    assert Dialect({"seed": True}).refused(words("Unsupported parameter: seed"), SENT) is None


def test_a_body_without_and_what_is_said_of_it() -> None:
    assert spoken(SENT, frozenset()) == (SENT, ())
    body, notes = spoken(SENT, frozenset(["seed", "max_completion_tokens"]))
    assert "seed" not in body and (body["max_tokens"], "max_completion_tokens" in body) == (9, False)
    assert notes == ("seed was not sent", "max_tokens was sent in place of max_completion_tokens")


def test_what_is_learned_counts_for_all_that_follows() -> None:
    dialect = Dialect({"seed": False})
    assert dialect.without == {"seed"}
    dialect.learned(frozenset(["top_p"]))
    assert dialect.without == {"seed", "top_p"}


def test_leaving_out_what_decides_is_a_refusal() -> None:
    assert left_out(SENT, {"top_p": False, "seed": False}) is None
    assert "temperature, which is 0.7 here" in str(left_out(SENT, {"temperature": False}))
