"""The tests of a programming problem, read from the shapes that data sets have.

Invariants: expected values are kept apart from what a program is given, because only the latter may enter its process;
a test that we cannot ask that way is refused here, by name, never run in another way. Nothing of a test is evaluated
but literals. Shapes: docs/verification.md.
"""

from __future__ import annotations

import ast
import builtins
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_MAX_TESTS = 10_000
_SHAPES = "inputs and outputs, input_output, tests, test_list, or test and entry_point"


# Applied to plain values in our process; none of them can be made to take long by a value of bounded size.
WRAPPERS: dict[str, Callable[[Any], Any]] = {
    **{"set": set, "sorted": sorted, "list": list, "tuple": tuple, "len": len, "sum": sum, "abs": abs},
    **{"max": max, "min": min, "frozenset": frozenset, "round": round, "dict": dict, "bool": bool},
}
HASHING = ("set", "frozenset")
_OPERATORS: dict[type[ast.cmpop], str] = {ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}


class BadTests(ValueError):
    """The tests cannot be read, or cannot be asked without showing the program what is expected."""


@dataclass(frozen=True, slots=True)
class StdinTest:
    """The program reads `stdin` and has to print `expected`."""

    stdin: str
    expected: str


@dataclass(frozen=True, slots=True)
class CallTest:
    """The function `name` is called and has to return `expected`, a plain value.

    `how`: `equal`; `true` or `false`, for what has to be so as a condition; `close` or `close_abs`, within `tolerance`;
    or a comparison such as `!=` or `<`. With `lenient` a tuple equals a list, since JSON has no tuples. `wrap` names
    functions of `WRAPPERS` that are applied to the result first, the innermost first.
    """

    name: str
    args: Sequence[Any]
    expected: Any = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    how: str = "equal"
    tolerance: float = 0.0
    lenient: bool = True
    wrap: tuple[str, ...] = ()


Test = StdinTest | CallTest


def read_tests(metadata: str, answer: str | None) -> list[Test]:
    """Tests from a problem's metadata or, if there are none, from its gold answer; both JSON objects.

    Raises:
        BadTests: if there are none, or any of them cannot be used; the message says which.
    """
    for text in (metadata, answer or ""):
        found = _loaded(text)
        if isinstance(found, list):
            found = {"tests": found}
        if isinstance(found, dict) and (tests := _from(found)) is not None:
            if not tests:
                raise BadTests("the list of tests is empty")
            if len(tests) > _MAX_TESTS:
                raise BadTests(f"{len(tests)} tests, more than {_MAX_TESTS}")
            return tests
    raise BadTests(f"neither the metadata nor the answer holds tests; expected {_SHAPES}")


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _from(found: Mapping[str, Any]) -> list[Test] | None:
    name = _text(found, "fn_name", "func_name", "entry_point")
    if "input_output" in found:
        inner = found["input_output"]
        inner = _loaded(inner) if isinstance(inner, str) else inner
        if isinstance(inner, dict):
            return _from({"fn_name": name, **inner})
    if "inputs" in found and "outputs" in found:
        return list(_pairs(found["inputs"], found["outputs"], name))
    if isinstance(found.get("tests"), dict):
        return _from({"fn_name": name, **found["tests"]})
    if isinstance(found.get("tests"), list):
        return [test for at, item in enumerate(found["tests"]) for test in _item(item, name, at)]
    if isinstance(found.get("tests"), str):
        return list(from_source(found["tests"], name))
    if isinstance(found.get("test_list"), list):
        return [test for text in found["test_list"] for test in from_source(str(text), name)]
    if isinstance(found.get("test"), str):
        return list(from_source(found["test"], name))
    return None


def _text(found: Mapping[str, Any], *keys: str) -> str | None:
    return next((found[key] for key in keys if isinstance(found.get(key), str) and found[key]), None)


def _pairs(inputs: Any, outputs: Any, name: str | None) -> Iterator[Test]:
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        raise BadTests("inputs and outputs must be lists of one length")
    for given, expected in zip(inputs, outputs, strict=True):
        if name is None:
            yield StdinTest(_lines(given), _lines(expected))
        else:
            # TACO and APPS wrap each result in a list of its own.
            args = given if isinstance(given, list) else [given]
            inner = expected[0] if isinstance(expected, list) and len(expected) == 1 else expected
            yield CallTest(name, _plain(args), _plain(inner), how="equal")


def _lines(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _item(item: Any, name: str | None, at: int) -> Iterator[Test]:
    if isinstance(item, str):
        yield from from_source(item, name)
        return
    if not isinstance(item, dict):
        raise BadTests(f"test {at}: expected an object or a line of Python, found {type(item).__name__}")
    called = _text(item, "fn_name", "function", "fn", "name") or (name if "args" in item else None)
    expected = next((item[k] for k in ("expected", "output", "stdout", "expected_output") if k in item), BadTests)
    if expected is BadTests:
        raise BadTests(f"test {at}: nothing is expected; give `expected` or `output`")
    if called is not None and ("args" in item or "kwargs" in item):
        kwargs = {str(key): _plain(value) for key, value in dict(item.get("kwargs", {})).items()}
        yield CallTest(called, _plain(list(item.get("args", []))), _plain(expected), kwargs)
    elif item.get("testtype") == "functional":
        if name is None:
            raise BadTests(f"test {at}: a functional test needs `fn_name`")
        lines = [line for line in str(item.get("input", "")).split("\n") if line.strip()]
        yield CallTest(name, [_plain(_json_or_text(line)) for line in lines], _plain(_json_or_text(str(expected))))
    else:
        given = next((item[k] for k in ("input", "stdin") if k in item), "")
        yield StdinTest(_lines(given), _lines(expected))


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _plain(value: Any) -> Any:
    """JSON as plain Python; objects stay dictionaries with text keys."""
    return value


# --- Python source -------------------------------------------------------------------------------------------------


def from_source(source: str, name: str | None = None) -> Iterator[CallTest]:
    """Tests from assertions: alone, in `check(candidate)` (HumanEval) or in functions `test_…` (pytest).

    Understood: `f(…) == x`, `x == f(…)`, `is`, `!=`, `<` and so on, `f(…)`, `not f(…)`, `abs(f(…) - x) < t`,
    `math.isclose(f(…), x)`, `f(…) == pytest.approx(x)`, joined by `and`; `sorted(f(…))` and others of `WRAPPERS`;
    arguments and values are literals.

    Raises:
        BadTests: at anything else: to run it, the expected values would have to be where the program is.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BadTests(f"the tests are not Python: {str(error)[:200]}") from None
    for node in tree.body:
        yield from _statement(node, name, "")


def _statement(node: ast.stmt, name: str | None, candidate: str) -> Iterator[CallTest]:
    if isinstance(node, ast.Assert):
        yield from _assertion(node.test, name, candidate)
    elif isinstance(node, ast.FunctionDef) and node.name == "check" and len(node.args.args) == 1:
        for inner in node.body:
            yield from _statement(inner, name, node.args.args[0].arg)
    elif isinstance(node, ast.FunctionDef) and node.name.startswith("test") and not node.args.args:
        for inner in node.body:
            yield from _statement(inner, name, candidate)
    elif not _harmless(node):
        raise BadTests(f"line {node.lineno} of the tests is not a plain assertion: {ast.unparse(node)[:100]}")


def _harmless(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Pass):
        return True
    if isinstance(node, ast.Assign):  # METADATA = {...}, as HumanEval has it
        return isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper()
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):  # check(f)
        return isinstance(node.value.func, ast.Name) and node.value.func.id == "check"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _assertion(test: ast.expr, name: str | None, candidate: str) -> Iterator[CallTest]:
    if isinstance(test, ast.Constant) and test.value is True:
        return  # `assert True, "..."` says nothing
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        for part in test.values:
            yield from _assertion(part, name, candidate)
        return
    made = _reading(test, candidate, name)
    if made is None:
        raise BadTests(f"line {test.lineno} of the tests cannot be asked from outside: {ast.unparse(test)[:100]}")
    yield made


def _reading(test: ast.expr, candidate: str, name: str | None) -> CallTest | None:
    def call(node: ast.expr, expected: Any = None, how: str = "equal", tolerance: float = 0.0) -> CallTest | None:
        wrap: tuple[str, ...] = ()
        while (inner := _wrapped(node)) is not None:
            wrap, node = (inner[0], *wrap), inner[1]
        asked = _call(node, candidate, name)
        return asked and CallTest(*asked[:2], expected, asked[2], how, tolerance, lenient=False, wrap=wrap)

    try:
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            return _comparison(test, call)
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return call(test.operand, how="false")
        if isinstance(test, ast.Call) and ast.unparse(test.func) in ("math.isclose", "isclose"):
            options = {k.arg: ast.literal_eval(k.value) for k in test.keywords}
            return call(test.args[0], ast.literal_eval(test.args[1]), "close", options.get("rel_tol", 1e-9))
        return call(test, how="true")
    except (ValueError, TypeError, IndexError):
        return None  # not a literal


def _comparison(test: ast.Compare, call: Any) -> CallTest | None:
    left, op, right = test.left, test.ops[0], test.comparators[0]
    if isinstance(op, ast.Lt | ast.LtE) and isinstance(left, ast.Call) and ast.unparse(left.func) == "abs":
        inner = left.args[0]
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Sub):
            found: CallTest | None = call(inner.left, _literal(inner.right), "close_abs", _literal(right))
            return found
        return None
    if type(op) in _OPERATORS:
        ordered: CallTest | None = call(left, _literal(right), _OPERATORS[type(op)]) if _is_literal(right) else None
        return ordered
    if not isinstance(op, ast.Eq | ast.Is):
        return None
    for asked, expected in ((left, right), (right, left)):
        if isinstance(expected, ast.Call) and ast.unparse(expected.func) in ("pytest.approx", "approx"):
            made: CallTest | None = call(asked, _literal(expected.args[0]), "close", 1e-6)
        else:
            made = call(asked, _literal(expected)) if _is_literal(expected) else None
        if made is not None:
            return made
    return None


def _wrapped(node: ast.expr) -> tuple[str, ast.expr] | None:
    """`sorted(x)` and the like: the name and x."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in WRAPPERS:
        return None
    alone = len(node.args) == 1 and not node.keywords and isinstance(node.args[0], ast.Call)
    return (node.func.id, node.args[0]) if alone else None


def _literal(node: ast.expr) -> Any:
    """A literal, or `set`, `tuple`, `list`, `frozenset` or `dict` of one.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        makers = {"set": set, "tuple": tuple, "list": list, "frozenset": frozenset, "dict": dict, "float": float}
        if node.func.id in makers and len(node.args) <= 1:
            return makers[node.func.id](*map(_literal, node.args))
    return ast.literal_eval(node)


def _is_literal(node: ast.expr) -> bool:
    try:
        _literal(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _call(node: ast.expr, candidate: str, name: str | None) -> tuple[str, list[Any], dict[str, Any]] | None:
    if not isinstance(node, ast.Call) or any(isinstance(a, ast.Starred) for a in node.args):
        return None
    if not isinstance(node.func, ast.Name):
        return None
    called = node.func.id
    if called == candidate:
        if name is None:
            raise BadTests("tests that call a candidate need `entry_point`")
        called = name
    elif called in WRAPPERS or called in dir(builtins):
        return None  # of something else than a result: not asked from outside
    kwargs = {k.arg: _literal(k.value) for k in node.keywords if k.arg is not None}
    if len(kwargs) != len(node.keywords):
        return None
    return called, [_literal(a) for a in node.args], kwargs
