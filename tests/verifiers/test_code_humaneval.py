"""HumanEval as models answer it: forty problems of its shape, every right program in four shapes, every mutant wrong.

The problems are our own. Each has a prompt that leaves a function open, a body, mutants of the body (what to replace by
what), and the assertions of its `check(candidate)`, some with loops, helpers, random numbers or names of the prompt.
"""

# ruff: noqa: E501

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from synthflow.contracts import Judgement, Question
from synthflow.verifiers.code import CodeConfig, CodeVerifier


class Problem(NamedTuple):
    """`head` ends with the signature; `mutants` are pairs of texts: what of the body becomes what."""

    head: str
    body: str
    mutants: tuple[tuple[str, str], ...]
    check: str


LIST = "from typing import List, Optional\n\n\n"
POLY = (
    "import math\n\n\ndef poly(xs: list, x: float):\n    return sum(c * math.pow(x, i) for i, c in enumerate(xs))\n\n\n"
)
SHIFT = "def encode(s: str, by: int = 3):\n    return ''.join(chr((ord(c) - 97 + by) % 26 + 97) for c in s)\n\n\n"
LOOP = "import random\nrng = random.Random(7)\n"

PROBLEMS = [
    Problem("def f(a: int, b: int) -> int:", "return a + b", (("+", "-"), ("a + b", "None")), LOOP + """
for _ in range(50):
    x, y = rng.randint(0, 999), rng.randint(0, 999)
    assert candidate(x, y) == x + y
"""),
    Problem("def f(n: int) -> bool:", "if n < 2:\n    return False\nreturn all(n % d for d in range(2, int(n ** 0.5) + 1))",
            (("n < 2", "n < 3"), ("+ 1", "+ 0"), ("return False", "return None")), """
assert candidate(3 * 19) == False
assert candidate(5 * 17) is False
assert candidate(13441 * 19) == False
assert candidate(2) == True and candidate(11) == True
assert candidate(1) == False
assert candidate(9) == False
"""),
    Problem(LIST + "def f(xs: List[int]) -> List[int]:", "return sorted(set(xs))", (("set(xs)", "xs"), ("sorted(", "list(")), """
assert candidate([5, 3, 5, 123, 0]) == [0, 3, 5, 123]
assert candidate([]) == []
assert candidate([2] * 3 + [1]) == [1, 2]
"""),
    Problem(LIST + "def f(xs: List[float]) -> float:",
            "m = sum(xs) / len(xs)\nreturn sum(abs(x - m) for x in xs) / len(xs)",
            (("abs(x - m)", "x - m"), ("/ len(xs)\nreturn", "\nreturn")), """
assert abs(candidate([1.0, 2.0, 3.0]) - 2.0 / 3.0) < 1e-6
assert abs(candidate([1.0, 2.0, 3.0, 4.0]) - 1.0) < 1e-6
"""),
    Problem(POLY + "def f(xs: list):", """begin, end = -1.0, 1.0
while poly(xs, begin) * poly(xs, end) > 0:
    begin, end = begin * 2, end * 2
while end - begin > 1e-10:
    middle = (begin + end) / 2
    if poly(xs, middle) * poly(xs, begin) > 0:
        begin = middle
    else:
        end = middle
return begin""", (("1e-10", "1e-1"), ("return begin", "return 0")), LOOP + """
import math, copy
for _ in range(30):
    coeffs = [rng.randint(-9, 9) or 1 for _ in range(2 * rng.randint(1, 3))]
    assert math.fabs(poly(coeffs, candidate(copy.deepcopy(coeffs)))) < 1e-4
"""),
    Problem(SHIFT + "def f(s: str):", "return ''.join(chr((ord(c) - 97 - 3) % 26 + 97) for c in s)",
            (("- 3", "- 2"), ("% 26", "% 25")), LOOP + """
import string
for _ in range(20):
    s = ''.join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(5, 12)))
    assert candidate(encode(s)) == s
"""),
    Problem(LIST + "def f(xs: List[str]) -> Optional[str]:", "return max(xs, key=len) if xs else None",
            (("max", "min"), ("else None", "else ''")), """
assert candidate([]) == None
assert candidate(['x', 'yyy', 'zz']) == 'yyy'
assert candidate(['x', 'y']) == 'x'
"""),
    Problem("def f(n: int) -> list:", "return [i if i % 2 else i * i for i in range(1, n + 1)]",
            (("n + 1", "n"), ("i * i", "i")), """
assert candidate(5) == [1, 4, 3, 16, 5]
assert tuple(candidate(2)) == tuple([1, 4])
assert candidate(0) == []
"""),
    Problem("def f(s: str) -> int:", "return len(set(s.lower()))", ((".lower()", ""), ("set(", "list(")), """
assert candidate("xyzXYZ") == 3
assert candidate("Jerry") == 4, "Error"
assert candidate("a" * 5 + "A" * 5) == 1
"""),
    Problem("def f(n: int) -> int:", "a, b = 0, 1\nfor _ in range(n):\n    a, b = b, a + b\nreturn a",
            (("return a", "return b"), ("0, 1", "1, 1")), """
assert candidate(10) == 55
assert candidate(2 ** 3) == 21
for i in range(2, 12):
    assert candidate(i) == candidate(i - 1) + candidate(i - 2)
"""),
    Problem("def f(a: int, b: int) -> int:", "while b:\n    a, b = b, a % b\nreturn a",
            (("a % b", "a // b"), ("return a", "return b")), """
assert candidate(3, 7) == 1
assert candidate(144, 60) == 12
assert candidate(2 * 3 * 5, 3 * 5 * 7) == 15
"""),
    Problem("def f(s: str) -> bool:", "return s == s[::-1]", (("==", "!="), ("::-1", "::1")), """
assert candidate('') == True
assert candidate('aba') == True
assert candidate('zbcd') == False
assert not candidate('xywyz')
"""),
    Problem(LIST + "def f(xs: List[int]) -> tuple:", "s, p = 0, 1\nfor x in xs:\n    s += x\n    p *= x\nreturn s, p",
            (("0, 1", "0, 0"), ("p *= x", "p += x"), ("return s, p", "return [s, p]")), """
assert candidate([]) == (0, 1)
assert candidate([3, 5, 7]) == (3 + 5 + 7, 3 * 5 * 7)
assert candidate([10]) == (10, 10)
"""),
    Problem("def f(x: float) -> float:", "return x % 1.0", (("% 1.0", "// 1.0"), ("x %", "-x %")), """
assert candidate(3.5) == 0.5
assert abs(candidate(1.33) - 0.33) < 1e-6
assert abs(candidate(123.456) - 0.456) < 1e-6
"""),
    Problem(LIST + "def f(xs: List[int]) -> bool:", "b = 0\nfor x in xs:\n    b += x\n    if b < 0:\n        return True\nreturn False",
            (("b < 0", "b <= 0"), ("return True", "return False")), """
assert candidate([]) == False
assert candidate([1, 2, -3, 1, 2, -3]) == False
assert candidate([1, 2, -4, 5, 6]) == True
assert candidate([1, -1, 2, -2, 5, -5, 4, -5]) == True
"""),
    Problem(LIST + "def f(xs: List[int], d: int) -> List[int]:",
            "out = []\nfor x in xs:\n    out += [x, d]\nreturn out[:-1]",
            (("[:-1]", ""), ("[x, d]", "[d, x]")), """
assert candidate([], 7) == []
assert candidate([5, 6, 3, 2], 8) == [5, 8, 6, 8, 3, 8, 2]
"""),
    Problem("def f(s: str) -> list:", "depth, most = 0, 0\nfor c in s:\n    depth += (c == '(') - (c == ')')\n    most = max(most, depth)\nreturn most",
            (("max(most, depth)", "depth"), ("== '('", "!= '('")), """
assert candidate('(()())') == 2
assert candidate('((()))') == 3
assert candidate('') == 0
"""),
    Problem("def f(n: int) -> str:", "return ' '.join(map(str, range(n + 1)))", (("n + 1", "n"), ("' '", "','")), """
assert candidate(0) == '0'
assert candidate(3) == '0 1 2 3'
assert candidate(10) == ' '.join(str(i) for i in range(11))
"""),
    Problem("def f(s: str, t: str) -> str:", "return ''.join(str(int(a) ^ int(b)) for a, b in zip(s, t))",
            (("^", "|"), ("^", "&")), """
assert candidate('111000', '101010') == '010010'
assert candidate('1', '1') == '0'
"""),
    Problem("def f(n: int) -> list:", "out = []\nd = 2\nwhile n > 1:\n    if n % d:\n        d += 1\n    else:\n        out.append(d)\n        n //= d\nreturn out",
            (("n > 1", "n > 2"), ("n //= d", "n -= d")), """
assert candidate(2) == [2]
assert candidate(3 * 19 * 3 * 19) == [3, 3, 19, 19]
assert candidate(3 * 2 * 3) == [2, 3, 3]
"""),
    Problem(LIST + "def f(xs: List[int]) -> List[int]:", "return [x for x in xs if xs.count(x) == 1]",
            (("== 1", ">= 1"), ("x for x in xs if", "x for x in sorted(xs) if")), """
assert candidate([]) == []
assert candidate([1, 2, 3, 2, 4, 3, 5]) == [1, 4, 5]
assert candidate([3, 1]) == [3, 1]
"""),
    Problem("def f(s: str) -> str:", "return s.swapcase()", (("swapcase", "upper"), ("swapcase", "lower")), """
assert candidate('') == ''
assert candidate('Hello!') == 'hELLO!'
"""),
    Problem(LIST + "def f(xs: List[int]) -> List[int]:", "xs[::3] = sorted(xs[::3])\nreturn xs",
            (("[::3]", "[::2]"), ("return xs", "return sorted(xs)")), """
assert tuple(candidate([1, 2, 3])) == tuple([1, 2, 3])
assert tuple(candidate([5, 8, -12, 4, 23, 2, 3, 11, 12, -10])) == tuple([-10, 8, -12, 3, 23, 2, 4, 11, 12, 5])
"""),
    Problem(LIST + "def f(xs: List[int]) -> None:", "xs.sort()", (("xs.sort()", "sorted(xs)"), ("sort()", "reverse()")), """
given = [3, 1, 2]
assert candidate(given) is None
assert given == [1, 2, 3], given
"""),
    Problem("def f(n: int) -> int:", "return sum(str(i).count('7') for i in range(n) if i % 11 == 0 or i % 13 == 0)",
            (("% 11", "% 12"), (" or ", " and ")), """
assert candidate(50) == 0
assert candidate(78) == 2
assert candidate(79) == 3
for n in (100, 200):
    assert candidate(n) == sum(1 for i in range(n) if not i % 11 or not i % 13 for c in str(i) if c == '7')
"""),
    Problem("def f(d: dict) -> bool:", "return bool(d) and (all(str(k).islower() for k in d) or all(str(k).isupper() for k in d))",
            (("bool(d) and", "True and"), (" or ", " and ")), """
assert candidate({"p": "pineapple", "b": "banana"}) == True
assert candidate({"p": 1, "A": 2}) == False
assert candidate({}) == False
assert candidate({"STATE": "NC", "ZIP": "12345"}) == True
"""),
    Problem("def f(x: int, base: int) -> str:", "out = ''\nwhile x:\n    out = str(x % base) + out\n    x //= base\nreturn out",
            (("str(x % base) + out", "out + str(x % base)"), ("//=", "-=")), """
assert candidate(8, 3) == "22"
assert candidate(234, 2) == "11101010"
for x in range(2, 8):
    assert candidate(x, x + 1) == str(x)
"""),
    Problem(LIST + "def f(xs: List[int]) -> Optional[int]:", "xs = sorted(set(xs))\nreturn xs[1] if len(xs) > 1 else None",
            (("set(xs)", "xs"), ("> 1", "> 2")), """
assert candidate([1, 2, 3, 4, 5]) == 2
assert candidate([]) == None
assert candidate([1, 1]) == None
assert candidate([1, 1, 0 + 1, 2]) == 2
"""),
    Problem("def f(n: float) -> int:", "import math\nreturn math.floor(n + 0.5) if n >= 0 else math.ceil(n - 0.5)",
            (("floor", "ceil"), ("- 0.5", "+ 0.5")), """
assert candidate(10.0) == 10
assert candidate(14.5) == 15
assert candidate(-15.5) == -16
assert isinstance(candidate(0.2), int)
"""),
    Problem("def f(s: str):", "if not s:\n    raise ValueError('empty')\nreturn s[0]", (("raise ValueError('empty')", "return ''"), ("[0]", "[1]")), """
assert candidate('ab') == 'a'
try:
    candidate('')
except ValueError:
    pass
else:
    assert False, 'must raise'
"""),
    Problem("def f(n: int):", "for i in range(n):\n    yield i * i", (("i * i", "i"), ("range(n)", "range(n - 1)")), """
assert list(candidate(4)) == [0, 1, 4, 9]
assert sum(candidate(3)) == 5
assert [x for x in candidate(2)] == [0, 1]
"""),
    Problem(LIST + "def f(xs: List[List[int]]) -> List[int]:", "return [x for row in xs for x in row]",
            (("for row in xs", "for row in xs[1:]"), ("[x for", "[-x for")), """
assert candidate([[1], [2, 3]]) == [1, 2, 3]
assert candidate([list(range(i)) for i in range(4)]) == [0, 0, 1, 0, 1, 2]
"""),
    Problem("def f(a: set, b: set) -> set:", "return a & b", (("&", "|"), ("a & b", "sorted(a & b)")), """
assert candidate({1, 2, 3}, {2, 3, 4}) == {2, 3}
assert candidate(set(), {1}) == set()
"""),
    Problem("def f(s: str) -> dict:", "from collections import Counter\nreturn dict(Counter(s.split()))",
            (("s.split()", "s"), ("dict(Counter(", "list(Counter(")), """
assert candidate('a b a') == {'a': 2, 'b': 1}, "error"
assert candidate('') == {}
"""),
    Problem("def f(n: int) -> bool:", "return n > 0 and n & (n - 1) == 0", (("n > 0 and ", ""), ("== 0", "!= 0")), """
assert all(candidate(1 << i) for i in range(12))
assert not any(candidate(n) for n in (0, 3, 5, 6, 7, 9, 100))
"""),
    Problem("def f(n: int, k: int = 2) -> int:", "return n ** k % 1000", (("k % 1000", "k"), ("n ** k", "n * k")), """
assert candidate(3) == 9
assert candidate(10, k=3) == 0
assert candidate(n=7, k=5) == 7 ** 5 % 1000
"""),
    Problem(LIST + "def f(xs: List[int]) -> int:", "best = run = 0\nfor x in xs:\n    run = max(0, run + x)\n    best = max(best, run)\nreturn best",
            (("best = max(best, run)", "best = run"), ("max(0, run + x)", "run + x")), LOOP + """
def slow(xs):
    return max([0] + [sum(xs[i:j]) for i in range(len(xs)) for j in range(i, len(xs) + 1)])
for _ in range(15):
    xs = [rng.randint(-9, 9) for _ in range(12)]
    assert candidate(xs) == slow(xs), xs
"""),
    Problem("def f(n: int) -> int:", "return n // 2 if n % 2 == 0 else 3 * n + 1", (("+ 1", "- 1"), ("// 2", "// 4")), """
n, steps = 7, 0
while n != 1:
    n = candidate(n)
    steps += 1
    assert steps < 30
assert steps == 16
"""),
    Problem("def f(s: str) -> str:", "import hashlib\nreturn hashlib.md5(s.encode()).hexdigest()", (("md5", "sha1"), ("s.encode()", "b''")), """
assert candidate('Hello world') == '3e25960a79dbc69b674cd4ec67a72c62'
assert candidate('0 a ') != candidate('0 b ') and len(candidate('x')) == 32
"""),
    Problem("def f(x):", "def inner(y):\n    return y + 1\nreturn inner(inner(x))", (("y + 1", "y"), ("inner(inner(x))", "inner(x)")), """
for x, y in [(1, 3), (0.5, 2.5), (-2, 0)]:
    assert candidate(x) == y
"""),
]  # fmt: skip


def prompt(problem: Problem) -> str:
    return f'{problem.head}\n    """A function of forty."""\n'


def gold(problem: Problem) -> str:
    check = "METADATA = {}\n\n\ndef check(candidate):\n" + textwrap.indent(problem.check, "    ")
    return json.dumps({"prompt": prompt(problem), "test": check, "entry_point": "f"})


def shapes(problem: Problem, body: str) -> dict[str, str]:
    """A program in the ways that models hand it over."""
    body = textwrap.indent(body, "    ") + "\n"
    alone = problem.head[problem.head.index("def f(") :] + "\n" + body
    return {
        "whole": f"```python\n{prompt(problem)}{body}```",
        "function alone": f"Here it is:\n```python\n{alone}```\nUsage:\n```python\nprint(f)\n```",
        "body alone": body,
        "body in a block": f"```python\n{textwrap.dedent(body)}```",
    }


@pytest.fixture(scope="module")
def verifier() -> Iterator[CodeVerifier]:
    made = CodeVerifier(CodeConfig(timeout_s=1, wall_s=10, workers=2))
    yield made
    made.close()


def judge(verifier: CodeVerifier, asked: list[tuple[Problem, str, Any]]) -> list[tuple[Any, Judgement]]:
    questions = [Question(str(at), "p", text, gold(problem)) for at, (problem, text, _) in enumerate(asked)]
    return [(what, found) for (_, _, what), found in zip(asked, verifier.judge(questions), strict=True)]


def test_every_right_program_is_correct_in_every_shape(verifier: CodeVerifier) -> None:
    asked = [(p, text, (at, shape)) for at, p in enumerate(PROBLEMS) for shape, text in shapes(p, p.body).items()]
    assert len(asked) == 4 * len(PROBLEMS) >= 160
    assert [(what, found) for what, found in judge(verifier, asked) if found.verdict != "correct"] == []


def test_every_mutant_is_wrong(verifier: CodeVerifier) -> None:
    asked = []
    for at, problem in enumerate(PROBLEMS):
        for old, new in problem.mutants:
            body = problem.body.replace(old, new, 1)
            assert body != problem.body, (at, old)
            shape = ("whole", "function alone", "body alone")[at % 3]
            asked.append((problem, shapes(problem, body)[shape], (at, old, new)))
    assert len(asked) >= 2 * len(PROBLEMS)
    assert [(what, found) for what, found in judge(verifier, asked) if found.verdict != "wrong"] == []


def test_the_prompt_may_be_the_problems_own(verifier: CodeVerifier) -> None:
    problem = PROBLEMS[4]
    data = json.loads(gold(problem))
    asked = (("user", f"Complete this:\n```python\n{data.pop('prompt')}```"),)
    question = Question("r", "p", shapes(problem, problem.body)["body alone"], None, json.dumps(data), asked)
    (found,) = verifier.judge([question])
    assert found.verdict == "correct", found


def test_without_the_code_before_it_a_body_is_no_program() -> None:
    made = CodeVerifier(CodeConfig(before=""))
    question = Question("r", "p", shapes(PROBLEMS[0], PROBLEMS[0].body)["body alone"], gold(PROBLEMS[0]))
    assert made.judge([question])[0].reason == "parse_failure"
    made.close()


@pytest.mark.parametrize(
    ("source", "code", "verdict"),
    [
        ("for x in range(5):\n    assert f(x) == x * x", "f = lambda x: x * x", "correct"),
        ("for x in range(5):\n    assert f(x) == x * x", "f = lambda x: x + x", "wrong"),
        ("x = 0\nfor _ in range(9):\n    x = f(x)\nassert x == 9", "f = lambda x: x + 1", "correct"),
        ("a = [3, 1]\nf(a)\nassert a == [1, 3]", "f = lambda a: a.sort()", "correct"),
        ("a = [3, 1]\nf(a)\nassert a == [1, 3]", "f = sorted", "wrong"),
        ("import pytest\nfrom solution import f\ndef test_f():\n    with pytest.raises(ValueError):\n        f(-1)",
         "def f(x): raise ValueError", "correct"),
        ("import pytest\nfrom solution import f\ndef test_f():\n    with pytest.raises(ValueError):\n        f(-1)",
         "def f(x): return x", "wrong"),
        ("import unittest\nclass TestF(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(f(1), 2)",
         "f = lambda x: x + 1", "correct"),
        ("import unittest\nclass TestF(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(f(1), 2)",
         "f = lambda x: x", "wrong"),
        ("assert f(1) in (1, 2) and isinstance(f(2), int)", "f = lambda x: x", "correct"),
        ("assert [Solution().f(i) for i in range(3)] == [1, 2, 3]", "class Solution:\n    f = lambda s, x: x + 1", "correct"),
        ("assert f(1, 2) == g(3)", "f = lambda x, y: x\ng = lambda x: 1", "correct"),
        # the program's own doing
        ("for x in range(5):\n    assert f(x) == x", "def f(x): raise NameError('tests')", "wrong"),
        ("for x in range(5):\n    assert f(x) == x", "def f(x): raise ImportError('tests')", "wrong"),
        ("for x in range(5):\n    assert f(x) == x", "import os\ndef f(x): os._exit(0)", "wrong"),
        ("for x in range(5):\n    assert f(x) == x", "class A:\n    __eq__ = lambda s, o: True\nf = lambda x: A()", "wrong"),
        ("for x in range(5):\n    assert f(x) == x", "def f(x): raise AssertionError", "wrong"),
        ("for x in range(5):\n    assert f(x) == x", "import os\ndef f(x): os.write(3, b'{\"value\": 0}\\n' * 9)", "wrong"),
        ("for x in range(5):\n    assert f(x) == x", "g = 1", "wrong"),
        ("for x in range(5):\n    assert f(x) == x", "def f(x) return x", "wrong"),
        ("for x in range(5):\n    assert f(x) == x", "def f(x):\n    while True: pass", "wrong"),
        ("while f(1):\n    pass", "f = lambda x: True", "wrong"),
        # more calls, and larger ones, than are asked for at once
        ("assert sum(f(i) for i in range(5000)) == 5000", "f = lambda x: 1", "correct"),
        ("for i in range(90):\n    assert f([i] * 3000) == i", "f = lambda xs: xs[0]", "correct"),
        ("for i in range(90):\n    assert f([i] * 3000) == i", "f = lambda xs: min(xs[0], 88)", "wrong"),
        ("for i in range(40):\n    print('x' * 50_000)\n    assert f('x' * i) == 'x' * i * 1000", "f = lambda s: s * 1000", "correct"),
        # what cannot be asked
        ("s = Stack()\ns.push(1)\nassert s.pop() == 1", "class Stack: pass", "unknown"),
        ("import no_such_package\nassert f([i for i in range(3)])", "f = len", "unknown"),
        ("assert f(lambda x: x) == 1", "f = lambda g: g(1)", "unknown"),
        ("def test_f(tmp_path):\n    assert f(tmp_path)", "f = bool", "unknown"),
        ("assert [1, 2] == sorted([2, 1])", "f = 1", "unknown"),
        ("raise ValueError\nassert f([x for x in range(2)])", "f = 1", "unknown"),
    ],
)  # fmt: skip
def test_tests_that_are_code(verifier: CodeVerifier, source: str, code: str, verdict: str) -> None:
    quick = CodeVerifier(CodeConfig(timeout_s=1, program_s=1)) if "while" in source + code else verifier
    (found,) = quick.judge([Question("r", "p", f"```python\n{code}\n```", json.dumps({"tests": source}))])
    assert found.verdict == verdict, found
    if quick is not verifier:
        quick.close()
