"""`code`: tests are read from the shapes of data sets, and verdicts are right, partial, or honest about not knowing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow.contracts import Judgement, Question
from synthflow.verifiers.code import CodeConfig, CodeVerifier
from synthflow.verifiers.code_compare import Iterated, Unreadable, decode, parse, same_output, same_value
from synthflow.verifiers.sandbox import Sandbox
from synthflow.verifiers.sandbox import _values as values

DOUBLE = {"fn_name": "f", "inputs": [[1], [2], [3], [4]], "outputs": [2, 4, 6, 8]}
SUM = {"inputs": ["1 2\n", "3 4\n"], "outputs": ["3\n", "7\n"]}


@pytest.fixture(scope="module")
def verifier() -> Iterator[CodeVerifier]:
    made = CodeVerifier(CodeConfig(credit="share", timeout_s=1, wall_s=5))
    yield made
    made.close()


def judge(verifier: CodeVerifier, code: str, tests: Any, answer: str | None = None) -> Judgement:
    (found,) = verifier.judge([Question("r", "p", f"So:\n```python\n{code}\n```\nDone.", answer, json.dumps(tests))])
    return found


# --- verdicts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "tests", "value"),
    [
        ("def f(x): return 2 * x", DOUBLE, 1.0),
        ("class Solution:\n    def f(self, x): return 2 * x", DOUBLE, 1.0),
        ("f = lambda x: 4", DOUBLE, 0.25),
        ("def f(x):\n    if x == 2: raise ValueError('no')\n    return 2 * x", DOUBLE, 0.75),
        ("import os\ndef f(x):\n    if x == 2: os._exit(0)\n    return 2 * x", DOUBLE, 0.75),
        ("def f(x):\n    while x == 3: pass\n    return 2 * x", DOUBLE, 0.75),
        ("def g(x): return 2 * x", DOUBLE, 0.0),
        ("def f(x) return", DOUBLE, 0.0),
        ("print(sum(map(int, input().split())))", SUM, 1.0),
        ("print(3)", SUM, 0.5),
        ("print(sum(map(int, input().split())))\nraise SystemExit(3)", SUM, 0.0),
        ("print(sum(map(int, input().split())), end='  \\n\\n')", SUM, 1.0),
        ("def f(x): return 2 * x", {"test_list": ["assert f(1) == 2", "assert f(2) == 5"]}, 0.5),
        ("f = lambda x: (2, 1, x)", {"tests": "assert set(f(1)) == {1, 2}\nassert len(sorted(f(2))) == 3"}, 1.0),
        ("f = lambda x: x", {"test_list": ["assert f(1) != 2", "assert f(1) > 0", "assert f('a') < 2"]}, 2 / 3),
        ("f = lambda x: x", {"test_list": ["assert sum(f('a')) == 2", "assert f(1) is 1"]}, 0.5),
        ("f = lambda x: 2 * x", {"test": "def check(c):\n    assert c(-1) == -2\n", "entry_point": "f"}, 1.0),
    ],
)
def test_verdicts_and_credit(verifier: CodeVerifier, code: str, tests: Any, value: float) -> None:
    found = judge(verifier, code, tests)
    assert found.verdict == ("correct" if value == 1 else "wrong"), found
    assert found.value == pytest.approx(value), found


@pytest.mark.parametrize(
    "code",
    [
        "f = lambda x: 10 ** 400",
        "f = lambda x: [n * (2**61 - 1) for n in range(20_000)]",
        "f = lambda x: [[]] * 9",
        "f = lambda x: {}",
        "f = lambda x: None",
        "f = lambda x: 'x' * 300_000",
        "f = lambda x: float('nan')",
    ],
)
@pytest.mark.parametrize(
    "test", ["abs(f(1) - 2.5) < 0.1", "set(f(1)) == {1}", "f(1) < 2.5 and len(f(1)) == -1", "f(1) == 2"]
)
def test_no_result_upsets_the_comparison(verifier: CodeVerifier, code: str, test: str) -> None:
    assert judge(verifier, code, {"tests": f"assert {test}"}).verdict == "wrong"


def test_detail_says_what_failed(verifier: CodeVerifier) -> None:
    found = judge(verifier, "def f(x):\n    while x == 2: pass\n    return 2 * x", DOUBLE)
    assert found.detail is not None and found.detail.startswith("3/4 passed [.F..] ")
    assert found.detail.endswith("; test 1: timeout")
    assert found.elapsed_s > 1
    assert "ZeroDivisionError" in str(judge(verifier, "def f(x): return 1 / 0", DOUBLE).detail)


def test_a_judgement_says_which_text_was_judged(verifier: CodeVerifier) -> None:
    found = judge(verifier, "def f(x): return 2 * x", DOUBLE)
    assert (found.extracted, found.rule) == ("def f(x): return 2 * x\n", "block")
    bare = Question("r", "p", "def f(x):\n    return 2 * x", None, json.dumps(DOUBLE))
    (found,) = verifier.judge([bare])
    assert (found.verdict, found.rule) == ("correct", "no block")


def test_all_or_nothing_stops_at_the_first_failure() -> None:
    made = CodeVerifier(CodeConfig(timeout_s=1, wall_s=5))
    found = judge(made, "print('no')", {"inputs": ["1"] * 50, "outputs": ["2"] * 50})
    assert (found.verdict, found.value) == ("wrong", 0.0)
    assert found.detail is not None and "[F???" in found.detail
    made.close()
    made.close()


def test_what_says_nothing_about_the_program_is_unknown(verifier: CodeVerifier) -> None:
    asked = [
        Question("r", "p", "", None, json.dumps(DOUBLE)),
        Question("r", "p", "no program", None, json.dumps(DOUBLE)),
        Question("r", "p", f"```python\n{'x' * 200_001}\n```", None, json.dumps(DOUBLE)),
        Question("r", "p", "```python\nx\n```", None, "{}"),
        Question("r", "p", "```python\nprint(1)\n```", None, json.dumps({"inputs": [""], "outputs": ["x" * 600_000]})),
        Question(
            "r",
            "p",
            "```python\nf = 1\n```",
            None,
            json.dumps({"fn_name": "f", "inputs": [[]], "outputs": [[0] * 300_000]}),
        ),
        Question("r", "p", "def f(x) is what I would write", None, json.dumps(DOUBLE)),
        Question(
            "r",
            "p",
            "```python\nf = 1\n```",
            None,
            json.dumps({"tests": "import no_such\nassert f([i for i in '12'])"}),
        ),
    ]
    reasons = [found.reason for found in verifier.judge(asked)]
    assert reasons == [
        *("empty", "parse_failure", "too_large", "tests_unreadable", "too_large", "too_large", "parse_failure"),
        "tests_unreadable",
    ]
    assert all(found.verdict == "unknown" for found in verifier.judge(asked))


def test_a_machine_that_fails_is_not_a_wrong_answer() -> None:
    made = CodeVerifier()
    made._sandbox = Sandbox()
    made._sandbox._pool.map = lambda items: [_lost() for _ in items]  # type: ignore[method-assign]
    found = judge(made, "def f(x): return 2 * x", DOUBLE)
    assert (found.verdict, found.reason) == ("unknown", "verifier_error")


def _lost() -> Any:
    from synthflow.verifiers.workers.pool import Outcome

    return Outcome(None, "verifier_error", "worker died (killed by signal 9)")


def test_the_answer_may_hold_the_tests(verifier: CodeVerifier) -> None:
    assert judge(verifier, "def f(x): return 2 * x", {}, json.dumps(DOUBLE)).verdict == "correct"


# --- comparison ----------------------------------------------------------------------------------------------------

COMPLEX = st.complex_numbers(allow_nan=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | COMPLEX,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.sets(st.integers() | st.text())
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_what_goes_in_comes_out(value: Any) -> None:
    line = json.dumps({"value": values.encode(value)})
    assert decode(parse(line)["value"]) == value
    assert values.decode(values.encode(value)) == value
    assert same_value(decode(parse(line)["value"]), value, 0.0, lenient=False)


@pytest.mark.parametrize("value", [math.nan, -0.0, 2**63, -(2**63), (True, [1.0])])
def test_types_and_signs_come_out(value: Any) -> None:
    assert repr(decode(parse(json.dumps({"value": values.encode(value)}))["value"])) == repr(value)


@given(st.integers(), st.integers())
def test_different_integers_are_never_equal(a: int, b: int) -> None:
    assert same_value(a, b, 1e-6, lenient=True) is (a == b)
    assert same_output(f"{a}\n", f"{b}\n", 1e-6) is (a == b)


@given(st.text(max_size=200))
def test_any_line_is_read_or_refused(line: str) -> None:
    try:
        decode(parse(line).get("value"))
    except Unreadable:
        return


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        '{"value": ' + "9" * 10_000 + "}",
        '{"value": NaN}',
        '{"value": {"$int": "' + "f" * 500_000 + '"}}',
        '{"value": {"$iter": ["range", [0, 1000000000]]}}',
        '{"value": {"$iter": ["range", [0, 9, 0]]}}',
        '{"value": {"$iter": 5}}',
        '{"value": {"$float": "1"}}',
        '{"value": {"$dict": [[[1], 2]]}}',
        '{"value": {"$number": "1e999999999"}}',
        '{"value": {"$set": [[]]}}',
        '{"value": {"$set": [' + ", ".join(str(n * (2**61 - 1)) for n in range(20_000)) + "]}}",
        '{"value": {"$dict": [' + ", ".join(f"[{n * (2**61 - 1)}, 1]" for n in range(20_000)) + "]}}",
        '{"value": {"a": 1, "b": 2}}',
        '{"value": {"$eval": "1"}}',
    ],
)
def test_hostile_lines_are_refused(line: str) -> None:
    with pytest.raises(Unreadable):
        decode(parse(line).get("value"))


@pytest.mark.parametrize(
    ("got", "expected", "lenient", "same"),
    [
        ((1, 2), [1, 2], True, True),
        ((1, 2), [1, 2], False, False),
        ({1: 2}, {"1": 2}, True, True),
        ({1: 2}, {"1": 2}, False, False),
        (1, True, True, True),
        ("1", 1, True, False),
        (1.01, 1.0, True, False),
        (1.0000000001, 1, True, False),
        (1.0000000001, 1.0, True, False),
        (12345679, 12345678.0, True, False),
        (1000000.75, 1000000.5, True, False),
        (1000000.5000000001, 1000000.5, True, True),
        (0.3333333333, 0.333333, True, True),
        (0.3334, 0.333333, True, False),
        (1e-12, 2e-12, True, False),
        (Iterated("iterator", [1]), [1], True, False),
        (Iterated("values", [1]), [1], True, False),
        (Iterated("other", [1]), [1], True, False),
        (Iterated("array", [1]), [1], True, True),
        (Iterated("array", [1]), [1], False, False),
        (Iterated("keys", ["a"]), {"a"}, True, True),
        (Iterated("items", [("a", 1)]), {("a", 1)}, True, True),
        (Iterated("values", ["a"]), {"a"}, True, False),
        (range(3), [0, 1, 2], True, False),
        (range(3), range(3), False, True),
        (math.nan, math.nan, True, True),
        (math.inf, 1e308, True, False),
        (10**400, 1.5, True, False),
        (Fraction(1, 2), 0.5, True, True),
        (None, False, True, False),
        ([1], [1, 1], True, False),
        (b"a", "a", True, False),
    ],
)
def test_equality(got: Any, expected: Any, lenient: bool, same: bool) -> None:
    assert same_value(got, expected, 1e-6, lenient) is same


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("1 2 \n\n", "1 2", True),
        ("1  2", "1 2", True),
        ("1\n2", "1 2", False),
        ("0.3333333333", "0.3333333", True),
        ("0.34", "0.3333333", False),
        ("1", "1.0", True),
        ("1.0", "1", False),
        ("1.9999999999", "2.0", True),
        ("12345679", "12345678.0", False),
        ("1000000000001", "1000000000000.0", False),
        ("nan", "1.0", False),
        ("YES", "Yes", False),
        ("", "1", False),
    ],
)
def test_output(printed: str, expected: str, same: bool) -> None:
    assert same_output(printed, expected, 1e-6) is same
