"""`regex` matches in linear time, and says which pattern is none."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.contracts import Question
from synthflow.errors import Mistakes
from synthflow.verifiers.opening import open_verifier
from synthflow.verifiers.regex import RegexConfig, RegexVerifier


def judge(completion: str, gold: str | None = None, **config: object) -> tuple[str, str | None]:
    (said,) = RegexVerifier(RegexConfig.model_validate(config)).judge([Question("r", "p", completion, gold)])
    return said.verdict, said.reason


@pytest.mark.parametrize(
    ("config", "completion", "gold", "expected"),
    [
        ({"pattern": r"\d+"}, r"so \boxed{12}", None, "correct"),
        ({"pattern": r"\d+"}, r"so \boxed{12a}", None, "wrong"),
        ({"pattern": r"\d+", "match": "search"}, r"so \boxed{a12}", None, "correct"),
        ({"pattern": "PARIS"}, r"\boxed{Paris}", None, "wrong"),
        ({"pattern": "PARIS", "ignore_case": True}, r"\boxed{Paris}", None, "correct"),
        ({}, r"\boxed{cat}", "c[aou]t", "correct"),
        ({}, r"\boxed{cats}", "c[aou]t", "wrong"),
        ({}, r"\boxed{cat}", None, "no_gold"),
        ({}, r"\boxed{cat}", "c[at", "gold_unparsable"),
        ({}, r"\boxed{cat}", r"(?=cat)c", "gold_unparsable"),
        ({}, r"\boxed{cat}", r"(c)\1", "gold_unparsable"),
        ({}, r"\boxed{cat}", "a" * 3000, "gold_unparsable"),
        ({}, r"\boxed{cat}", "((a{900}){900}){900}", "gold_unparsable"),
        ({"pattern": "x"}, "", None, "empty"),
        ({"pattern": "x"}, "no number here", None, "parse_failure"),
        ({"pattern": "y"}, "We look at it for a while.\n\n$x^2$", None, "guessed"),
        ({"pattern": "x.2"}, "We look at it for a while.\n\n$x^2$", None, "correct"),
        ({"pattern": "(?s).*done.*", "text": "completion"}, "<think>done</think> end", None, "correct"),
        ({"pattern": "(?s).*done.*", "text": "after_thinking"}, "<think>done</think> end", None, "wrong"),
        ({"pattern": "x", "text": "completion"}, "x" * 200_001, None, "too_large"),
    ],
)
def test_verdicts(config: dict[str, object], completion: str, gold: str | None, expected: str) -> None:
    verdict, reason = judge(completion, gold, **config)
    assert (reason or verdict) == expected


def test_a_pattern_that_is_none_is_told_with_the_reason() -> None:
    with pytest.raises(Mistakes, match=r"RE2 syntax: missing \): \(a") as told:
        open_verifier("regex", {"pattern": "(a", "match": "full"})
    assert "verify.regex.match" in str(told.value)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(a|a?)+$", "(.*)*x", "(a*)*b", "([a-z]+)*!"])
def test_what_makes_backtracking_engines_hang_is_linear_here(pattern: str) -> None:
    started = time.process_time()
    assert judge("a" * 100_000 + "!!", pattern=pattern + "?!{5}", text="completion", match="search")[0] == "wrong"
    assert time.process_time() - started < 5


@settings(deadline=None)
@given(st.text(), st.text())
def test_any_text_and_any_pattern(completion: str, pattern: str) -> None:
    verdict, reason = judge(completion, pattern, text="completion")
    assert reason or verdict != "unknown"
    assert judge("\ud800x", "\ud800")[0] == "unknown"


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1))
def test_a_quoted_text_matches_itself(text: str) -> None:
    import re2

    if text.strip():
        assert judge(text, re2.escape(text), text="completion")[0] == "correct"
