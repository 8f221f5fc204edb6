"""Tests are read from the shapes of data sets; what can be read in two ways is, and what cannot be asked is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from synthflow.verifiers.code_assertions import from_source
from synthflow.verifiers.code_cases import BadTests, CallTest, SourceTest, StdinTest
from synthflow.verifiers.code_tests import code_before, read_problem


def readings(metadata: Any) -> list[list[Any]]:
    return [list(tests) for tests in read_problem(json.dumps(metadata), None).readings]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"inputs": ["1\n"], "outputs": ["2\n"]}, [StdinTest("1\n", "2\n")]),
        ({"inputs": [["1", "2"]], "outputs": [["3"]]}, [StdinTest("1\n2", "3")]),
        ({"input_output": '{"inputs": ["1"], "outputs": ["2"]}'}, [StdinTest("1", "2")]),
        (
            {"input_output": {"fn_name": "f", "inputs": [[1, [2]]], "outputs": [[3]]}},
            [CallTest("f", [1, [2]], [3], also=(3,))],
        ),
        ({"tests": [{"input": "1", "output": "2", "testtype": "stdin"}]}, [StdinTest("1", "2")]),
        (
            {"fn_name": "f", "tests": [{"input": '[1]\n"a"', "output": "2", "testtype": "functional"}]},
            [CallTest("f", [[1], "a"], 2)],
        ),
        (
            {"tests": [{"input": "[1]\n2", "output": "3", "testtype": "functional", "metadata": {"func_name": "f"}}]},
            [CallTest("f", [[1], 2], 3)],
        ),
        (
            {
                "public_test_cases": '[{"input": "[1]", "output": "[2]", "testtype": "functional"}]',
                "metadata": '{"func_name": "f"}',
            },
            [CallTest("f", [[1]], [2])],
        ),
        (
            {"tests": [{"fn": "f", "args": [1], "kwargs": {"k": 2}, "expected": None}]},
            [CallTest("f", [1], None, {"k": 2})],
        ),
        ({"tests": [{"fn_name": "f", "args": ["ab"], "expected": ["ab"]}]}, [CallTest("f", ["ab"], ["ab"])]),
        ([{"input": "1", "output": "2"}], [StdinTest("1", "2")]),
        ({"test_list": ["assert f(1, k=(2,)) == {3}"]}, [CallTest("f", [1], {3}, {"k": (2,)}, lenient=False)]),
        ({"tests": "assert 5 == f()"}, [CallTest("f", [], 5, lenient=False)]),
        ({"tests": "import m\ndef test_a():\n    assert not f(1)"}, [CallTest("f", [1], how="false", lenient=False)]),
        (
            {"tests": "assert abs(f(1) - 2.5) < 0.1 and f(2) is True"},
            [
                CallTest("f", [1], 2.5, how="close_abs", tolerance=0.1, lenient=False),
                CallTest("f", [2], True, how="is", lenient=False),
            ],
        ),
        (
            {"tests": "assert f(1) == pytest.approx(2.5)"},
            [CallTest("f", [1], 2.5, how="close", tolerance=1e-6, lenient=False)],
        ),
        (
            {"test": "def check(g):\n    assert g(1) == 2", "entry_point": "Solution().f"},
            [CallTest("Solution.f", [1], 2, lenient=False)],
        ),
        ({"test_list": ["assert candidate(1) == 2"], "entry_point": "f"}, [CallTest("f", [1], 2, lenient=False)]),
        (
            {"tests": "assert Solution().f(1) is not None"},
            [CallTest("Solution.f", [1], None, how="is not", lenient=False)],
        ),
        # an argument a line
        ({"fn_name": "f", "inputs": ["[1, 2]\n3"], "outputs": ["[4, 5]"]}, [CallTest("f", [[1, 2], 3], [4, 5])]),
        ({"fn_name": "f", "inputs": ['"AB"'], "outputs": ['"ab"']}, [CallTest("f", ["AB"], "ab")]),
        ({"fn_name": "f", "inputs": ["[1, null]"], "outputs": ["true"]}, [CallTest("f", [[1, None]], True)]),
        ({"fn_name": "f", "inputs": ["[True]\n'a'"], "outputs": ["None"]}, [CallTest("f", [[True], "a"], None)]),
        ({"fn_name": "f", "inputs": ["[1]"], "outputs": ["1.50000"]}, [CallTest("f", [[1]], 1.5)]),
        ({"fn_name": "f", "inputs": ["a b"], "outputs": ["b a"]}, [CallTest("f", ["a b"], "b a")]),
        # a result in a list of its own, or a list of one
        ({"fn_name": "f", "inputs": [[5]], "outputs": [[5]]}, [CallTest("f", [5], [5], also=(5,))]),
        (
            {"fn_name": "f", "inputs": [[1], [2]], "outputs": [[1], [1, 2]]},
            [CallTest("f", [1], [1]), CallTest("f", [2], [1, 2])],
        ),
        ({"fn_name": "f", "inputs": [5], "outputs": [5]}, [CallTest("f", [5], 5)]),
        ({"fn_name": "f", "inputs": [[5]], "outputs": [10**5000]}, [CallTest("f", [5], 10**5000)]),
    ],
)
def test_shapes(metadata: Any, expected: list[Any]) -> None:
    import sys

    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    text = json.dumps(metadata)
    sys.set_int_max_str_digits(before)
    (tests,) = read_problem(text, None).readings
    assert list(tests) == expected


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (
            {"fn_name": "f", "inputs": [[{"1": 7}]], "outputs": [7]},
            [[CallTest("f", [{1: 7}], 7)], [CallTest("f", [{"1": 7}], 7)]],
        ),
        (
            {"fn_name": "f", "inputs": [[[{"-1": {"2": 3}}]]], "outputs": [7]},
            [[CallTest("f", [[{-1: {2: 3}}]], 7)], [CallTest("f", [[{"-1": {"2": 3}}]], 7)]],
        ),
        (
            {"fn_name": "f", "inputs": ['{"1": 7}'], "outputs": ["7"]},
            [[CallTest("f", [{1: 7}], 7)], [CallTest("f", [{"1": 7}], 7)]],
        ),
        ({"fn_name": "f", "inputs": ["4"], "outputs": ["8"]}, [[CallTest("f", [4], 8)], [CallTest("f", ["4"], "8")]]),
        (
            {"fn_name": "f", "inputs": ["true"], "outputs": [1]},
            [[CallTest("f", [True], 1)], [CallTest("f", ["true"], 1)]],
        ),
        ({"fn_name": "f", "inputs": [[{"1": 7, "a": 1}]], "outputs": [7]}, [[CallTest("f", [{"1": 7, "a": 1}], 7)]]),
    ],
)
def test_what_can_be_read_in_two_ways_is(metadata: Any, expected: list[list[Any]]) -> None:
    assert readings(metadata) == expected


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({}, "neither the metadata nor the answer holds tests"),
        ({"tests": []}, "empty"),
        ({"inputs": [1], "outputs": []}, "one length"),
        ({"tests": [{"input": "1"}]}, "nothing is expected"),
        ({"tests": [3]}, "found int"),
        ({"tests": [{"input": "1", "output": "1", "testtype": "functional"}]}, "needs `fn_name`"),
        ({"tests": "assert ("}, "not Python"),
        ({"test": "def check(c):\n    assert c(1) == 1"}, "need `entry_point`"),
        ({"public_test_cases": [{"input": "1", "output": "1"}], "private_test_cases": "eJx"}, "private_test_cases"),
    ],
)
def test_tests_that_cannot_be_used_are_refused(metadata: Any, says: str) -> None:
    with pytest.raises(BadTests, match=says):
        read_problem(json.dumps(metadata), None)


@pytest.mark.parametrize(
    ("source", "args"),
    [
        ("assert f(3 * 19) == 0", [57]),
        ("assert f('a' * 3 + 'b', -2 ** 2) == 0", ["aaab", -4]),
        ("assert f([0] * 3, (1,) + (2,), {1: 2 + 2}) == 0", [[0, 0, 0], (1, 2), {1: 4}]),
        ("assert f(7 // 2, 7 % 4, 7 / 2, 1 << 4, ~1) == 0", [3, 3, 3.5, 16, -2]),
        ("assert f(10 ** 20 - 1, not True, +3) == 0", [10**20 - 1, False, 3]),
        ("assert f(range(3), list(range(2)), set()) == 0", [range(3), [0, 1], set()]),
        ("assert f(float('1.5'), math.pi) == 0", [1.5, 3.141592653589793]),
    ],
)
def test_constants_are_computed(source: str, args: list[Any]) -> None:
    (test,) = from_source(source)
    assert isinstance(test, CallTest) and list(test.args) == args and test.expected == 0


@pytest.mark.parametrize(
    "source",
    [
        "for x in range(3):\n    assert f(x) == x",
        "assert sorted(f(1), key=len) == [1]",
        "assert isinstance(f(1), int)",
        "assert f(1) == g(1)",
        "assert f(1) in (1, 2)",
        "assert f(9 ** 9 ** 9) == 1",
        "assert f('a' * 10 ** 9) == 1",
        "assert f(1 << 10 ** 9) == 1",
        "assert f('%999999999d' % 1) == 1",
        "assert f(list(range(10 ** 9))) == 1",
        "assert f(1 / 0) == 1",
        "x = 5\nassert f(x) == 1",
        "with pytest.raises(ValueError):\n    f(1)",
        "assert math.isclose(f(1), 2, abs_tol=1)",
        "assert f(1) == pytest.approx(2, rel=0.1)",
    ],
)
def test_what_is_no_plain_assertion_is_kept_whole(source: str) -> None:
    (test,) = from_source(source, setup="import math")
    assert isinstance(test, SourceTest) and (test.source, test.setup, test.names[:1]) == (source, "import math", ("f",))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("def f(x):\n", "def f(x):\n"),
        ("Complete it:\n```python\nimport math\n\ndef f(x):\n```\nThanks", "import math\n\ndef f(x):\n"),
        ("Write a function that adds.", ""),
        ("What does `import` do?", ""),
        ("class Solution:\n    def f(self): ", "class Solution:\n    def f(self): "),
        ("", ""),
    ],
)
def test_code_of_a_prompt(text: str, code: str) -> None:
    assert code_before(text) == code
