"""`json`: strict JSON, a schema, the gold value, and text that wants to be a bomb."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.contracts import Question, Verifier
from synthflow.errors import Mistakes
from synthflow.verifiers.json import JsonVerifier, json_text
from synthflow.verifiers.json_child import check_schema, depth, equal, judge, parse
from synthflow.verifiers.opening import open_verifier

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def by_schema() -> Iterator[Verifier]:
    verifier = open_verifier("json", {"json_schema": SCHEMA, "timeout_s": 2, "max_chars": 5000})
    yield verifier
    verifier.close()


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ('{"a": 1}', "correct"),
        ('<think>{"a": "x"}</think> {"a": 1}', "correct"),
        ('Here:\n```json\n{"a": "x"}\n```\nno, this:\n```json\n{"a": 1}\n```\nDone.', "correct"),
        ('```python\nprint(1)\n```\n```\n{"a": 2}\n```\n', "correct"),
        ('{"a": "1"}', "wrong"), ('{"b": 1}', "wrong"), ("[1]", "wrong"), ('{"a": 1.5}', "wrong"),
        ('{"a": true}', "wrong"),
        ("", "empty"), ("the answer is 1", "parse_failure"), ('{"a": 1,}', "parse_failure"),
        ("{'a': 1}", "parse_failure"),
        ('{"a": NaN}', "parse_failure"), ('{"a": -Infinity}', "parse_failure"), ('{"a": 1e999}', "parse_failure"),
        ('{"a": 1, "a": 2}', "parse_failure"), ('{"a": ' + "9" * 4800 + "}", "parse_failure"),
        ('{"a": 1} {"a": 2}', "parse_failure"), ("[" * 100 + "]" * 100, "too_large"), ("[" * 100, "too_large"),
        ('{"a": "' + "x" * 6000 + '"}', "too_large"),
    ],
)  # fmt: skip
def test_against_a_schema(by_schema: Verifier, completion: str, expected: str) -> None:
    (said,) = by_schema.judge([Question("r", "p", completion, None)])
    assert (said.verdict if said.verdict != "unknown" else said.reason) == expected
    assert said.reason or said.verdict == "correct"


def test_why_says_where(by_schema: Verifier) -> None:
    (said,) = by_schema.judge([Question("r", "p", '{"a": "1"}', None)])
    assert said.reason == "$.a: '1' is not of type 'integer'" and said.detail == '{"a": "1"}'


def test_a_recipe_says_what_no_json_counts_as() -> None:
    strict = open_verifier("json", {"json_schema": SCHEMA, "malformed": "wrong"})
    said = strict.judge([Question("r", "p", text, None) for text in ("no", "[" * 100, '{"a": 1}')])
    strict.close()
    assert [(j.verdict, j.reason and j.reason[:9]) for j in said] == [
        ("wrong", "no JSON: "), ("unknown", "too_large"), ("correct", None),
    ]  # fmt: skip


def test_a_schema_of_the_problem_and_the_gold_value() -> None:
    verifier = open_verifier("json", {"schema_key": "schema", "equal_to_gold": True})
    held = json.dumps({"schema": SCHEMA})
    as_text = json.dumps({"schema": json.dumps(SCHEMA)})
    asked = [
        ('{"a": 1}', '{"a": 1.0}', held, "correct"),
        ('{"a": 1}', '{"a": 1}', as_text, "correct"),
        ('{"a": 2}', '{"a": 1}', held, "wrong"),
        ('{"a": 1}', "{a}", held, "gold_unparsable"),
        ('{"a": 1}', None, held, "no_gold"),
        ('{"a": 1}', '{"a": 1}', "{}", "gold_unparsable"),
        ('{"a": 1}', '{"a": 1}', "no json", "gold_unparsable"),
        ('{"a": 1}', '{"a": 1}', '{"schema": {"type": "intger"}}', "gold_unparsable"),
        ('{"a": 1}', '{"a": 1}', '{"schema": {"$ref": "http://127.0.0.1:9/x"}}', "gold_unparsable"),
    ]
    said = verifier.judge([Question("r", "p", text, gold, metadata) for text, gold, metadata, _ in asked])
    verifier.close()
    assert [j.verdict if j.verdict != "unknown" else j.reason for j in said] == [expected for *_, expected in asked]


def test_a_schema_that_makes_a_text_slow_costs_only_that_text() -> None:
    verifier = open_verifier("json", {"json_schema": {"type": "string", "pattern": "^(a+)+$"}, "timeout_s": 2})
    said = verifier.judge([Question("r", "p", json.dumps(text), None) for text in ("aaa", "a" * 40 + "!", "b")])
    verifier.close()
    assert [(j.verdict, j.reason) for j in said][:2] == [("correct", None), ("unknown", "timeout")]
    assert said[2].verdict == "wrong"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"json_schema": {"type": "intger"}}, "a JSON Schema: type"),
        ({}, "nothing is asked for"),
        ({"json_schema": {}, "schema_key": "x"}, "keep one"),
    ],
)
def test_mistakes_in_the_spec(config: dict[str, Any], said: str) -> None:
    with pytest.raises(Mistakes, match=said):
        open_verifier("json", config)


@settings(deadline=None)
@given(VALUES)
def test_json_is_equal_to_itself_and_valid_without_a_schema(value: Any) -> None:
    text = json.dumps(value)
    assert judge({"text": text, "gold": text, "schema": None, "max_depth": 500}) == {"kind": "valid"}
    assert equal(parse(text, 500), value)
    written = json.dumps(value, indent=1)
    assert json_text(f"so:\n```json\n{written}\n```\n") == (written, "fence")
    assert json_text(f"so:\r\n```JSON\r\n{written}\r\n```\r\n") == (written, "fence")


def test_equality_by_hand() -> None:
    assert equal({"a": 1, "b": [1.0]}, {"b": [1], "a": 1.0})
    for a, b in ((True, 1), (0, False), ([1, 2], [2, 1]), (None, 0), ("1", 1), ({"a": 1}, {"a": 1, "b": 2}), ([], {})):
        assert not equal(a, b)
    assert depth('["[[[[", {"a": "\\"["}]') == 2


@settings(deadline=None)
@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    assert judge({"text": text, "schema": {}, "max_depth": 64})["kind"] in ("valid", "parse_failure", "too_large")
    assert check_schema({"enum": [text]}) is None


def test_opened_without_a_configuration_it_compares_with_gold() -> None:
    verifier = JsonVerifier()
    assert verifier.judge([Question("r", "p", "[1]", "[1.0]")])[0].verdict == "correct"
    verifier.close()
