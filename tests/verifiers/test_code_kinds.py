"""Verdicts by kind of situation: what people reported of code verifiers, in several variants each, run for real."""

# ruff: noqa: E501

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from synthflow.contracts import Question
from synthflow.verifiers.code import CodeConfig, CodeVerifier

BIG = "1" + "0" * 5000


def script(out: str, stdin: str = "") -> dict[str, Any]:
    return {"inputs": [stdin], "outputs": [out]}


def call(args: list[Any], result: Any) -> dict[str, Any]:
    return {"fn_name": "f", "inputs": [args], "outputs": [result]}


def asserts(*texts: str) -> dict[str, Any]:
    return {"test_list": list(texts)}


EIGHT = script("8\n")
SITE = call([[1, 2, 3]], 6)
REVERSE = """class Solution:
    def f(self, head: Optional[ListNode]) -> Optional[ListNode]:
        back = None
        while head:
            head.next, back, head = back, head, head.next
        return back
"""
JOIN = """def f(lists: List[Optional[ListNode]]) -> Optional[ListNode]:
    last = first = ListNode()
    for node in lists:
        last.next = node
        while last.next:
            last = last.next
    return first.next
"""
DEPTH = """class Solution:
    def f(self, root: Optional[TreeNode]) -> int:
        return 1 + max(self.f(root.left), self.f(root.right)) if root else 0
"""
# kind: (tests, program, verdict)
KINDS: dict[str, list[tuple[Any, str, str]]] = {
    "exit and its like": [
        (EIGHT, "print(8)\nexit()", "correct"),
        (EIGHT, "print(8)\nquit()", "correct"),
        (EIGHT, "print(8)\nexit(0)", "correct"),
        (EIGHT, "print(8)\nraise SystemExit", "correct"),
        (EIGHT, "import sys\nprint(8)\nsys.exit(None)", "correct"),
        (EIGHT, "def main():\n    print(8)\n    quit(0)\nmain()\nprint(9)", "correct"),
        (EIGHT, "print(8)\nexit(1)", "wrong"),
        (EIGHT, "print(8)\nexit('no')", "wrong"),
        (EIGHT, "help\nlicense\ncredits\nprint(8)", "correct"),
        (EIGHT, "print(8 if callable(help) and copyright else 9)", "correct"),
    ],
    "what the interpreter sets": [
        (EIGHT, "if __name__ == '__main__':\n    print(8)", "correct"),
        (EIGHT, "def main(): print(8)\nif __name__ == '__main__': main(); exit()", "correct"),
        (EIGHT, "import os\nos.path.basename(__file__)\nprint(8)", "correct"),
        (EIGHT, "import sys\nprint(8 if sys.stdout.mode == 'w' and sys.stdin.mode == 'r' else 9)", "correct"),
        (EIGHT, "import sys\nprint(8 if sys.stdin.name == '<stdin>' and len(sys.argv) == 1 else 9)", "correct"),
        (
            EIGHT,
            "import inspect\ndef g():\n    return 8\nprint(8 if 'return 8' in inspect.getsource(g) else 9)",
            "correct",
        ),
        (EIGHT, "import __main__\nx = 8\nprint(__main__.x)", "correct"),
        (EIGHT, "import resource\nresource.setrlimit(resource.RLIMIT_STACK, (1 << 28, -1))\nprint(8)", "correct"),
        (
            EIGHT,
            "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(1 << 27)\n"
            "def f(n): return 8 if n == 0 else f(n - 1)\n"
            "t = threading.Thread(target=lambda: print(f(90000))); t.start(); t.join()",
            "correct",
        ),
    ],
    "a guard for the main program": [
        (call([4], 4), "def f(x): return x\nif __name__ == '__main__':\n    print(f(int(input())))", "correct"),
        (call([4], 4), "def f(x): return x\nif __name__ == '__main__':\n    exit(1)", "correct"),
        (call([4], 4), "def f(x): return x\nif '__main__' == __name__:\n    raise ValueError", "correct"),
        (
            asserts("assert f(4) == 4"),
            "def f(x): return x\nif __name__ == '__main__':\n    while True: pass",
            "correct",
        ),
        (
            asserts("for i in range(3):\n    assert f(i) == i"),
            "def f(x): return x\nif __name__ == '__main__':\n    import unittest\n    unittest.main()",
            "correct",
        ),
        (call([4], 5), "def f(x): return x\nif __name__ == '__main__':\n    f = lambda x: 5", "wrong"),
    ],
    "numbers of many digits": [
        (script(BIG), "print(10**5000)", "correct"),
        (script(BIG), "import sys\nsys.set_int_max_str_digits(0)\nprint(10**5000)", "correct"),
        (script("4\n", BIG), "print(len(str(int(input()) * 7 // 7)) - 4997)", "correct"),
        (script(BIG), "print(10**5000 + 1)", "wrong"),
        (asserts("assert f(5000) == 10 ** 5000"), "f = lambda n: 10 ** n", "correct"),
        (asserts("assert f(5000) == 10 ** 5000"), "f = lambda n: 10 ** n + 1", "wrong"),
        (asserts("assert f(10 ** 5000) == 5001"), "f = lambda n: len(str(n))", "correct"),
    ],
    "names that sites provide": [
        (SITE, "def f(xs: List[int]) -> Optional[int]:\n    return sum(xs)", "correct"),
        (SITE, "class Solution:\n    def f(self, xs: List[int]) -> int:\n        return sum(xs)", "correct"),
        (SITE, "class Solution:\n    def f(self, xs):\n        return max(-inf, list(accumulate(xs))[-1])", "correct"),
        (
            SITE,
            "class Solution:\n    @cache\n    def f(self, xs=()):\n        return 6\n    f = lambda self, xs: reduce(add, xs)",
            "correct",
        ),
        (
            SITE,
            "def f(xs):\n    q = deque(xs)\n    h = []\n    while q: heappush(h, q.pop())\n    return sum(h)",
            "correct",
        ),
        (
            SITE,
            "def f(xs):\n    d = defaultdict(int)\n    c = Counter(xs)\n    return math.floor(sum(c)) + bisect_left([], 1)",
            "correct",
        ),
        (
            SITE,
            "def f(xs):\n    return sum(xs[i] for i, _ in product(range(3), range(1))) if string.digits else gcd(1, 2)",
            "correct",
        ),
        (SITE, "def f(xs):\n    pow = 1\n    return sum(xs) * pow", "correct"),
        (SITE, "def f(xs: List[int]) -> int:\n    return sum(xs) + 1", "wrong"),
        (SITE, "def f(xs):\n    return no_such_name(xs)", "wrong"),
        (script("3\n"), "print(gcd(3, 6))", "wrong"),  # a script stands alone
    ],
    "linked lists and trees": [
        (call([[1, 2, 3]], [3, 2, 1]), REVERSE, "correct"),
        (call([[]], []), REVERSE, "correct"),
        (
            call([[1, 2, 3]], [3, 2, 1]),
            f"class ListNode:\n    def __init__(self, x): self.val, self.next = x, None\n{REVERSE}",
            "correct",
        ),
        (call([[1, 2, 3]], [1, 2, 3]), REVERSE, "wrong"),
        (call([[[1, 4], [2]]], [1, 4, 2]), JOIN, "correct"),
        (call([[3, 9, 20, None, None, 15, 7]], 3), DEPTH, "correct"),
        (call([[]], 0), DEPTH, "correct"),
        (call([[1, None, 2]], [1, None, 2]), "def f(root: 'TreeNode') -> 'TreeNode':\n    return root", "correct"),
        (call([[1, None, 2]], [1, 2]), "def f(root: 'TreeNode') -> 'TreeNode':\n    return root", "wrong"),
        (
            call([[1, 2], 1], [2]),
            "def f(head: ListNode, k: int) -> ListNode:\n    while k:\n        head, k = head.next, k - 1\n    return head",
            "correct",
        ),
        (call([[1]], 1), "def f(head: ListNode) -> ListNode:\n    head.next = head\n    return head", "wrong"),
    ],
    "where the function is": [
        (call([1, 2], 3), "class Solution:\n    def f(self, a, b):\n        return a + b", "correct"),
        (call([1, 2], [3]), "class Solution:\n    def f(self, a, b):\n        return a + b", "correct"),
        (
            call([1, 2], 3),
            "class Solver:\n    def __init__(self): self.k = 0\n    def f(self, a, b): return a + b + self.k",
            "correct",
        ),
        (call([1, 2], 3), "class Solution:\n    @staticmethod\n    def f(a, b): return a + b", "correct"),
        (
            call([1, 2], 3),
            "class Solution:\n    @classmethod\n    def f(cls, a, b): return a + b\nf = lambda a, b: a + b",
            "correct",
        ),
        (call([1, 2], 3), "from operator import add as f", "correct"),
        (
            {"test": "def check(c):\n    assert c(a=1, b=2) == 3", "entry_point": "Solution().f"},
            "class Solution:\n    def f(self, a, b): return a + b",
            "correct",
        ),
        (asserts("assert Solution().f(1, 2) == 3"), "class Solution:\n    def f(self, a, b): return a * b", "wrong"),
        (call([1, 2], 3), "class Solution:\n    def g(self, a, b): return a + b", "wrong"),
    ],
    "a value a line": [
        (
            {"fn_name": "f", "inputs": ["[1, 2]\n3"], "outputs": ["[4, 5]"]},
            "def f(xs, k): return [x + k for x in xs]",
            "correct",
        ),
        ({"fn_name": "f", "inputs": ['"AB"'], "outputs": ['"ab"']}, "def f(s): return s.lower()", "correct"),
        ({"fn_name": "f", "inputs": ["4"], "outputs": ["8"]}, "def f(n): return n * 2", "correct"),
        ({"fn_name": "f", "inputs": ["4"], "outputs": ["44"]}, "def f(s): return s * 2", "correct"),  # as text
        ({"fn_name": "f", "inputs": ["4"], "outputs": ["true"]}, "def f(n): return n > 1", "correct"),
        (
            {"fn_name": "f", "inputs": ["[1, null]\ntrue"], "outputs": ["[1, null]"]},
            "def f(xs, b): return xs",
            "correct",
        ),
        (
            {"fn_name": "f", "inputs": ["[1, 2]"], "outputs": ["1.50000"]},
            "def f(xs): return sum(xs) / len(xs)",
            "correct",
        ),
        (
            {"fn_name": "f", "inputs": ["a b"], "outputs": ["b a"]},
            "def f(s): return ' '.join(s.split()[::-1])",
            "correct",
        ),
        ({"fn_name": "f", "inputs": ["[]"], "outputs": ["[]"]}, "def f(xs): return xs", "correct"),
        ({"fn_name": "f", "inputs": ["4"], "outputs": ["8"]}, "def f(n): return n + 3", "wrong"),
        ({"fn_name": "f", "inputs": ["[1, 2]\n3"], "outputs": ["[4, 5]"]}, "def f(xs, k): return xs", "wrong"),
    ],
    "lists of one": [
        (call([5], [5]), "def f(x): return [x]", "correct"),
        (call([5], [5]), "def f(x): return x", "correct"),
        (
            {"fn_name": "f", "inputs": [[[3, 3]], [[2, 1]]], "outputs": [[3], [1, 2]]},
            "def f(xs): return sorted(set(xs))",
            "correct",
        ),
        ({"tests": [{"fn_name": "f", "args": ["ab"], "expected": ["ab"]}]}, "def f(s): return s.split()", "correct"),
        ({"tests": [{"fn_name": "f", "args": ["ab"], "expected": ["ab"]}]}, "def f(s): return s", "wrong"),
        (asserts("assert f('ab') == ['ab']"), "def f(s): return s.split()", "correct"),
        (asserts("assert f('ab') == ['ab']"), "def f(s): return s", "wrong"),
        (call([5], [5]), "def f(x): return [[x]]", "wrong"),
        (call([[1]], [[[1]]]), "def f(x): return [x]", "correct"),
    ],
    "keys that are whole numbers": [
        (call([{"1": 7}], 7), "def f(d): return d[1]", "correct"),
        (call([{"1": 7}], 7), "def f(d): return d['1']", "correct"),
        (call([[{"-1": {"2": 7}}]], 7), "def f(ds): return ds[0][-1][2]", "correct"),
        (call([3], {"3": 3}), "def f(n): return {n: n}", "correct"),
        (call([3], {"3": 3}), "def f(n): return {str(n): n}", "correct"),
        (call([3], {"3": 3}), "def f(n): return {n + 1: n}", "wrong"),
        (call([{"a": 7, "1": 2}], 7), "def f(d): return d['a']", "correct"),
        (call([{"1": 7}], 7), "def f(d): return d['2']", "wrong"),
    ],
    "what is no list": [
        (asserts("assert f(3) == [0, 1, 2]"), "def f(n): return range(n)", "wrong"),
        (asserts("assert f(3) == [0, 1, 2]"), "def f(n):\n    yield from range(n)", "wrong"),
        (asserts("assert f(3) == [0, 1, 2]"), "def f(n): return dict.fromkeys(range(n)).keys()", "wrong"),
        (asserts("assert f(3) == [0, 1, 2]"), "def f(n): return map(int, '012')", "wrong"),
        (
            asserts("assert f(3) == [0, 1, 2]"),
            "import collections\ndef f(n): return collections.deque(range(n))",
            "wrong",
        ),
        (call([3], [0, 1, 2]), "def f(n): return range(n)", "wrong"),
        (asserts("assert list(f(3)) == [0, 1, 2]"), "def f(n):\n    yield from range(n)", "correct"),
        (asserts("assert sorted(f(3)) == [0, 1, 2] and len(f(3)) == 3"), "def f(n): return range(n)", "correct"),
        (asserts("assert f(3) == range(3)"), "def f(n): return range(n)", "correct"),
        (asserts("assert f(2) == {0, 1}"), "def f(n): return dict.fromkeys(range(n)).keys()", "correct"),
        (asserts("assert len(f(3)) == 3"), "def f(n): return iter(range(n))", "wrong"),
        (call([3], [0, 1, 2]), "def f(n): return tuple(range(n))", "correct"),
        (asserts("assert f(3) == [0, 1, 2]"), "def f(n): return tuple(range(n))", "wrong"),
    ],
    "is": [
        (asserts("assert f(2) is True"), "def f(x): return x > 1", "correct"),
        (asserts("assert f(2) is True"), "def f(x): return 1", "wrong"),
        (asserts("assert f(2) is False"), "def f(x): return 0", "wrong"),
        (asserts("assert f(2) is None"), "def f(x): pass", "correct"),
        (asserts("assert f(2) is None"), "def f(x): return 0", "wrong"),
        (asserts("assert f(2) is not None"), "def f(x): return 0", "correct"),
        (asserts("assert f(2) is not None"), "def f(x): return None", "wrong"),
        (asserts("assert f(2) == True"), "def f(x): return 1", "correct"),
    ],
    "floats": [
        (call([], 12345678.0), "def f(): return 12345679", "wrong"),
        (asserts("assert f() == 1000000.5"), "def f(): return 1000000.75", "wrong"),
        (asserts("assert f() == 0.3"), "def f(): return 0.1 + 0.2", "correct"),
        (call([3], [[0.0, 0.333333, 0.666667]]), "def f(n): return [i / 3 for i in range(n)]", "correct"),
        (call([], 2.0), "def f(): return 2", "correct"),
        (call([], 2), "def f(): return 2.0", "correct"),
        (call([], 2), "def f(): return 2.0000001", "wrong"),
        (script("12345678.0"), "print(12345679)", "wrong"),
        (script("0.333333333333"), "print(0.333333)", "correct"),
        (script("0.333333333333"), "print(0.33)", "wrong"),
    ],
    "a package that is not here": [
        (EIGHT, "import numpy as np\nprint(8)", "unknown"),
        (EIGHT, "from sortedcontainers import SortedList\nprint(8)", "unknown"),
        (call([1], 1), "def f(x):\n    import pandas\n    return 1", "unknown"),
        (call([1], 1), "import scipy.stats\ndef f(x): return x", "unknown"),
        (asserts("for i in range(2):\n    assert f(i) == i"), "import networkx\ndef f(x): return x", "unknown"),
        (EIGHT, "try:\n    import numpy\nexcept ImportError:\n    pass\nprint(8)", "correct"),
        (EIGHT, "try:\n    import numpy\nexcept ImportError:\n    pass\nprint(9)", "wrong"),
        (EIGHT, "raise ModuleNotFoundError(\"No module named 'numpy'\")", "wrong"),
        (call([1], 1), "def f(x): raise ModuleNotFoundError(\"No module named 'numpy'\")", "wrong"),
        (EIGHT, "# import numpy as np\nraise ModuleNotFoundError(\"No module named 'numpy'\")", "wrong"),
        (
            EIGHT,
            "import sys\nprint(\"ModuleNotFoundError: No module named 'numpy'\", file=sys.stderr)\nprint(9)",
            "wrong",
        ),
    ],
    "output": [
        (script("3\n"), "out = open(1, 'w')\nout.write('3\\n')", "correct"),
        (script("3\n"), "import sys, io\nprint('3')\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)", "correct"),
        (
            script("3\n"),
            "import sys, io\nkept = sys.stdout\nsys.stdout = io.StringIO()\nprint(4)\nkept.write('3')",
            "correct",
        ),
        (script("3\n"), "import os\nos.fdopen(1, 'wb', closefd=False).write(b'3')", "correct"),
        (script("3\n"), "import sys\nsys.stdout.buffer.write(b'3\\n')", "correct"),
        (script("a\r\nb\r\n", "a\r\nb\r\n"), "print(input())\nprint(input())", "correct"),
        (
            script("6\n", "1 2 3\n"),
            "import os, io\nread = io.BytesIO(os.read(0, os.fstat(0).st_size)).readline\n"
            "print(sum(map(int, read().split())))",
            "correct",
        ),
        (script("2\n4\n", "1\n2\n"), "for line in open(0):\n    print(int(line) * 2)", "correct"),
        (script("é 你\n"), "print('é 你')", "correct"),
        (script("1 2 3\n"), "print('1 2 3 ')\nprint()", "correct"),
        (script("x" * 600_000), "print('x' * 600_000)", "unknown"),
        (call([], ["x" * 600_000]), "def f(): return 'x' * 600_000", "unknown"),
        (call([], [[7] * 250_000]), "def f(): return [7] * 250_000", "unknown"),
    ],
}

CASES = [(kind, *case) for kind, cases in KINDS.items() for case in cases]


@pytest.fixture(scope="module")
def verifier() -> Iterator[CodeVerifier]:
    made = CodeVerifier(CodeConfig(timeout_s=2, wall_s=10))
    yield made
    made.close()


def test_every_kind_has_variants() -> None:
    assert min(map(len, KINDS.values())) >= 5


@pytest.mark.parametrize("kind", KINDS)
def test_verdicts(verifier: CodeVerifier, kind: str) -> None:
    asked = [
        Question(str(at), "p", f"```python\n{code}\n```", None, json.dumps(tests))
        for at, (tests, code, _) in enumerate(KINDS[kind])
    ]
    for (_, code, verdict), found in zip(KINDS[kind], verifier.judge(asked), strict=True):
        assert found.verdict == verdict, f"{code}\n{found}"


def test_the_cpu_limit_is_for_each_call() -> None:
    """Six calls of 0.2 s each are within a limit of 0.5 s; one of 0.9 s is not, wherever it stands."""
    spin = "import time\ndef f(s):\n    end = time.process_time() + s\n    while time.process_time() < end: pass\n    return s\n"
    made = CodeVerifier(CodeConfig(timeout_s=0.5, wall_s=20, credit="share"))
    for calls, value in (([0.2] * 6, 1.0), ([0.01] * 5 + [0.9] + [0.01] * 4, 0.9)):
        tests = {"fn_name": "f", "inputs": [[s] for s in calls], "outputs": calls}
        (found,) = made.judge([Question("r", "p", f"```python\n{spin}```", None, json.dumps(tests))])
        assert found.value == pytest.approx(value), found
    made.close()


def test_results_that_fill_the_room_together_are_asked_for_in_turn() -> None:
    made = CodeVerifier(CodeConfig(output_kb=64))
    code = "def f(n):\n    print('x' * 50_000)\n    return 'x' * n\n"
    tests = {
        "fn_name": "f",
        "inputs": [[n] for n in range(40_000, 40_012)],
        "outputs": ["x" * n for n in range(40_000, 40_012)],
    }
    (found,) = made.judge([Question("r", "p", f"```python\n{code}```", None, json.dumps(tests))])
    assert found.verdict == "correct", found
    wrong = {**tests, "outputs": ["x" * 40_000] * 12}
    (found,) = made.judge([Question("r", "p", f"```python\n{code}```", None, json.dumps(wrong))])
    assert found.verdict == "wrong" and "1/12 passed [.F" in str(found.detail), found
    too_long = {"fn_name": "f", "inputs": [[70_000]], "outputs": ["x"]}
    (found,) = made.judge([Question("r", "p", f"```python\n{code}```", None, json.dumps(too_long))])
    assert found.verdict == "wrong" and "output" in str(found.detail), found
    made.close()
