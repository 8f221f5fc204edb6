"""`verify.format` is `filter.format` with a verdict."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.contracts import Question
from synthflow.filters.format import FormatConfig, FormatFilter
from synthflow.verifiers.format import FormatVerifier, FormatVerifierConfig

ANY = {"exactly_one_box": False}


def judge(completion: str, **config: object) -> tuple[str, str | None]:
    (said,) = FormatVerifier(FormatVerifierConfig.model_validate(config)).judge([Question("r", "p", completion, None)])
    return said.verdict, said.reason


@pytest.mark.parametrize(
    ("config", "completion", "verdict", "why"),
    [
        ({}, r"so \boxed{5}", "correct", None),
        ({}, r"so \boxed{5} or \boxed{6}", "wrong", "2 boxes, not 1"),
        ({}, "so 5", "wrong", "0 boxes, not 1"),
        ({}, "", "unknown", "empty"),
        ({"think": "required"}, r"<think>a</think>\boxed{5}", "correct", None),
        ({"think": "required"}, r"\boxed{5}", "wrong", "not exactly one closed think block"),
        ({"think": "required"}, r"<think>a<think>b</think>\boxed{5}", "wrong", "not exactly one closed think block"),
        ({**ANY, "script": "latin"}, "Добрый день", "wrong", "0.0 of the letters are latin"),
        ({**ANY, "script": "latin"}, "Good day, 中", "wrong", "0.875 of the letters are latin"),
        ({**ANY, "script": "latin"}, "Good day, 12", "correct", None),
        ({**ANY, "script": "latin"}, "12 + 3 = 15", "correct", None),
        ({**ANY, "script": "chinese"}, r"所以 $x^2 = \frac{1}{2}$ 和 \(abc\) 是 \alpha", "correct", None),
        ({**ANY, "script": "chinese"}, "所以 the answer", "wrong", "0.182 of the letters are chinese"),
        ({**ANY, "script": "japanese"}, "答えは五です", "correct", None),
        ({**ANY, "script": "cyrillic", "min_script_share": 0.5}, "Ответ: yes", "correct", None),
    ],
)  # fmt: skip
def test_verdicts(config: dict[str, object], completion: str, verdict: str, why: str | None) -> None:
    said, reason = judge(completion, **config)
    assert said == verdict and (reason or "").startswith(why or "") and (reason is None) == (why is None)


@settings(deadline=None)
@given(st.lists(st.text(min_size=1), max_size=5))
def test_it_agrees_with_the_filter(texts: list[str]) -> None:
    config = {"exactly_one_box": True, "think": "optional", "script": "latin", "max_line_chars": 3}
    verifier = FormatVerifier(FormatVerifierConfig.model_validate(config))
    verdicts = verifier.judge([Question(str(i), "p", text, None) for i, text in enumerate(texts)])
    clean = [text.encode("utf-8", "replace").decode() for text in texts]
    frame = pl.DataFrame({"rollout_id": list(map(str, range(len(texts)))), "completion": clean}, schema_overrides={
        "rollout_id": pl.String, "completion": pl.String})  # fmt: skip
    kept = FormatFilter(FormatConfig.model_validate(config)).judge(frame)["keep"].to_list()
    assert [v.verdict for v in verdicts] == [
        "unknown" if not text.strip() else "correct" if keep else "wrong"
        for text, keep in zip(texts, kept, strict=True)
    ]


def test_nothing_asked_nothing_said() -> None:
    assert FormatVerifier().judge([]) == []
