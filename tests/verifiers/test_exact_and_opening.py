"""`exact` compares text and nothing else; verifiers open by name with a checked configuration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow.contracts import Question
from synthflow.errors import Mistakes, UserError
from synthflow.verifiers.exact import ExactConfig, ExactVerifier, normalise
from synthflow.verifiers.math import MathVerifier
from synthflow.verifiers.opening import open_verifier


@pytest.mark.parametrize(
    ("config", "completion", "gold", "verdict"),
    [
        ({}, r"so \boxed{Paris}.", "paris", "correct"),
        ({}, r"so \boxed{Paris}", "Rome", "wrong"),
        ({}, r"so \boxed{12}", "1", "wrong"),
        ({}, r"so \boxed{0.5}", "1/2", "wrong"),
        ({}, "Paris", "Paris", "unknown"),
        ({"normalise": "none"}, r"\boxed{Paris}", "paris", "wrong"),
        ({"extract": "last_line"}, "thinking\n  **Paris**.\n\n", "Paris", "correct"),
        ({"extract": "all"}, "<think>Rome</think>  Paris ", "Paris", "correct"),
        ({"extract": "all", "normalise": "none"}, "Paris ", "Paris", "wrong"),
        ({}, "", "Paris", "unknown"),
        ({}, r"\boxed{a}", None, "unknown"),
        ({}, r"\boxed{}", "a", "unknown"),
        ({"extract": "last_line"}, "The capital is Paris.", "Paris", "unknown"),
        ({"extract": "last_line"}, "I do not know, sorry.", "Paris", "unknown"),
        ({"extract": "last_line"}, "So the total comes to 0.5", "1/2", "unknown"),
        ({"extract": "last_line"}, "0.5", "1/2", "wrong"),
        ({"extract": "all"}, "one\ntwo\nfour", "one\ntwo\nthree", "wrong"),
        ({"extract": "last_line"}, "Parisian", "Paris", "wrong"),
        ({"extract": "last_line"}, "Paris.", "Rome", "wrong"),
        ({"extract": "all"}, "It is 12 km", "12 km", "unknown"),
        ({"extract": "all"}, "112 km", "12 km", "wrong"),
        ({"extract": "all"}, "(Paris)", "Paris", "wrong"),
        ({}, r"\boxed{Paris} and \boxed{Rome}", "Rome", "unknown"),
        ({}, r"\boxed{Paris}, then \boxed{Rome}", "Rome", "correct"),
    ],
)
def test_verdicts(config: dict[str, str], completion: str, gold: str | None, verdict: str) -> None:
    verifier = ExactVerifier(ExactConfig.model_validate(config))
    (judgement,) = verifier.judge([Question("r", "p", completion, gold)])
    assert judgement.verdict == verdict
    assert (judgement.reason is not None) == (verdict == "unknown")


def test_what_was_extracted_and_by_which_rule() -> None:
    for config, rule in (({}, "boxed"), ({"extract": "last_line"}, "last_line"), ({"extract": "all"}, "all")):
        (said,) = ExactVerifier(ExactConfig.model_validate(config)).judge(
            [Question("r", "p", r"\boxed{Paris}", "Rome")]
        )
        assert (said.extracted, said.rule) == ("Paris" if rule == "boxed" else r"\boxed{Paris}", rule)


@given(st.text())
def test_normalisation_is_idempotent(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.text(), st.text())
def test_any_text_gets_a_storable_judgement(completion: str, gold: str) -> None:
    for how in ("boxed", "last_line", "all"):
        verifier = ExactVerifier(ExactConfig(extract=how))  # type: ignore[arg-type]
        for judgement in verifier.judge([Question("r", "p", completion, gold), Question("s", "p", "\ud800", "\ud800")]):
            (judgement.detail or "").encode("utf-8")


def test_opening_by_name() -> None:
    verifier = open_verifier("math", {"timeout_s": 2, "extract": "boxed"})
    assert isinstance(verifier, MathVerifier) and verifier.config.timeout_s == 2
    verifier.close()
    verifier.close()
    assert isinstance(open_verifier("exact"), ExactVerifier)


def test_a_wrong_name_suggests_the_right_one() -> None:
    with pytest.raises(UserError, match="did you mean 'math'"):
        open_verifier("maths")


def test_all_wrong_fields_are_told_at_once() -> None:
    with pytest.raises(Mistakes) as told:
        open_verifier("math", {"timeout": 2, "workers": 0, "extract": "box"})
    text = str(told.value)
    assert "verify.math.timeout: there is no such field (did you mean 'timeout_s'?)" in text
    assert "verify.math.workers" in text and "greater than or equal to 1" in text
    assert "verify.math.extract" in text and "'box' was given" in text
