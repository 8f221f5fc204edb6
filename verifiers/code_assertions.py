"""Tests written as Python: plain assertions are read here, so that they become calls; anything else is run, elsewhere.

Invariants: nothing of a test is evaluated here but constants of bounded size; a text that cannot be read as calls is
given back whole, as a `SourceTest`, never in part.
"""

from __future__ import annotations

import ast
import builtins
import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

from synthflow.verifiers.code_cases import WRAPPERS, BadTests, CallTest, SourceTest

_MAX_BITS = 100_000
_MAX_LENGTH = 1_000_000
_OPERATORS: dict[type[ast.cmpop], str] = {ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    **{ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv},
    **{ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow, ast.LShift: operator.lshift},
    **{ast.BitOr: operator.or_, ast.BitAnd: operator.and_, ast.BitXor: operator.xor},
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    **{ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_, ast.Invert: operator.inv},
}
_MAKERS: dict[str, Callable[..., Any]] = {
    "set": set,
    "tuple": tuple,
    "list": list,
    "frozenset": frozenset,
    "dict": dict,
    "float": float,
    "range": range,
}
_NAMED = {"math.pi": math.pi, "math.e": math.e, "math.inf": math.inf, "math.nan": math.nan}


class _Unread(ValueError):
    """A test that is no plain assertion about a call."""


def from_source(source: str, name: str | None = None, setup: str = "") -> list[CallTest | SourceTest]:
    """Tests from assertions: alone, in `check(candidate)` (HumanEval) or in functions `test_…` (pytest).

    Read as calls: `f(…) == x`, `x == f(…)`, `is`, `!=`, `<` and so on, `f(…)`, `not f(…)`, `abs(f(…) - x) < t`,
    `math.isclose(f(…), x)`, `f(…) == pytest.approx(x)`, joined by `and`; `sorted(f(…))` and others of `WRAPPERS`;
    arguments and values are constants or computed from constants.

    Raises:
        BadTests: if it is not Python, or calls a candidate that has no name.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BadTests(f"the tests are not Python: {str(error)[:200]}") from None
    name = name or _checked(tree)
    try:
        calls = [test for node in tree.body for test in _statement(node, name, "")]
    except (_Unread, RecursionError):
        return [SourceTest(source, name, setup, _called(tree, name))]
    return [*calls]


def _checked(tree: ast.Module) -> str | None:
    """What `check(f)` is called with.

    Raises:
        BadTests: if there is a `check(candidate)` that nothing is given to.
    """
    for node in tree.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "check":
            return ast.unparse(node.value.args[0]).replace("()", "") if node.value.args else None
    if any(isinstance(node, ast.FunctionDef) and node.name == "check" and node.args.args for node in tree.body):
        raise BadTests("tests that call a candidate need `entry_point`")
    return None


def _called(tree: ast.Module, name: str | None) -> tuple[str, ...]:
    """What of the program a text calls, as far as names tell."""
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = [call.id for call in calls if isinstance(call, ast.Name)]
    own = [n for n in found if n not in defined and n not in dir(builtins) and n not in ("candidate", "check")]
    return tuple(dict.fromkeys([*(name.split(".") if name else ()), *([] if name else own)]))


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
        raise _Unread


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
        raise _Unread
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
            options = {k.arg: constant(k.value) for k in test.keywords}
            if options.keys() - {"rel_tol"}:
                return None
            return call(test.args[0], constant(test.args[1]), "close", options.get("rel_tol", 1e-9))
        return call(test, how="true")
    except (ValueError, TypeError, IndexError):
        return None  # not a constant


def _comparison(test: ast.Compare, call: Any) -> CallTest | None:
    left, op, right = test.left, test.ops[0], test.comparators[0]
    if isinstance(op, ast.Lt | ast.LtE) and isinstance(left, ast.Call) and ast.unparse(left.func) == "abs":
        inner = left.args[0]
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Sub):
            found: CallTest | None = call(inner.left, constant(inner.right), "close_abs", constant(right))
            return found
        return None
    if type(op) in _OPERATORS:
        ordered: CallTest | None = call(left, constant(right), _OPERATORS[type(op)]) if _is_constant(right) else None
        return ordered
    if not isinstance(op, ast.Eq | ast.Is | ast.IsNot):
        return None
    how = {ast.Eq: "equal", ast.Is: "is", ast.IsNot: "is not"}[type(op)]
    for asked, expected in ((left, right), (right, left)):
        if isinstance(expected, ast.Call) and ast.unparse(expected.func) in ("pytest.approx", "approx"):
            alone = len(expected.args) == 1 and not expected.keywords
            made: CallTest | None = call(asked, constant(expected.args[0]), "close", 1e-6) if alone else None
        else:
            made = call(asked, constant(expected), how) if _is_constant(expected) else None
        if made is not None:
            return made
    return None


def _wrapped(node: ast.expr) -> tuple[str, ast.expr] | None:
    """`sorted(x)` and the like: the name and x."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in WRAPPERS:
        return None
    alone = len(node.args) == 1 and not node.keywords and isinstance(node.args[0], ast.Call)
    return (node.func.id, node.args[0]) if alone else None


def _call(node: ast.expr, candidate: str, name: str | None) -> tuple[str, list[Any], dict[str, Any]] | None:
    if not isinstance(node, ast.Call) or any(isinstance(a, ast.Starred) for a in node.args):
        return None
    called = ast.unparse(node.func)
    if called in (candidate, "candidate"):
        called = name or called
    elif called.startswith("Solution()."):
        called = called.replace("()", "", 1)
    elif not isinstance(node.func, ast.Name) or called in WRAPPERS or called in dir(builtins):
        return None  # of something else than a result
    kwargs = {k.arg: constant(k.value) for k in node.keywords if k.arg is not None}
    if len(kwargs) != len(node.keywords):
        return None
    return called, [constant(a) for a in node.args], kwargs


# --- constants -----------------------------------------------------------------------------------------------------


def _is_constant(node: ast.expr) -> bool:
    try:
        constant(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def constant(node: ast.expr) -> Any:
    """A literal, arithmetic on literals, or `set`, `tuple`, `list`, `frozenset`, `dict`, `float`, `range` of some.

    Raises:
        ValueError: for anything else, and for what would be too large.
    """
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        items = [constant(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items) if isinstance(node, ast.Tuple) else set(items)
    if isinstance(node, ast.Dict):
        return {_key(key): constant(value) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](constant(node.operand))
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        return _computed(node.op, constant(node.left), constant(node.right))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _MAKERS and not node.keywords:
        given = [constant(arg) for arg in node.args]
        if node.func.id == "range" or len(given) <= 1:
            return _MAKERS[node.func.id](*(_bounded(value) for value in given))
    if isinstance(node, ast.Attribute) and (named := _NAMED.get(ast.unparse(node))) is not None:
        return named
    raise ValueError("not a constant")


def _key(node: ast.expr | None) -> Any:
    if node is None:
        raise ValueError("not a constant")
    return constant(node)


def _bounded(value: Any) -> Any:
    if isinstance(value, range) and len(value) > _MAX_LENGTH:
        raise ValueError("too large")
    return value


def _computed(op: ast.operator, left: Any, right: Any) -> Any:
    bits = [value.bit_length() if isinstance(value, int) else 64 for value in (left, right)]
    if isinstance(op, ast.Pow | ast.LShift):
        grows = bits[0] * abs(right) if isinstance(op, ast.Pow) else bits[0] + abs(right)
        if not isinstance(right, int | float) or grows > _MAX_BITS:
            raise ValueError("too large")
    sizes = [len(value) for value in (left, right) if isinstance(value, str | bytes | list | tuple)]
    times = [abs(value) for value in (left, right) if isinstance(value, int)]
    if sum(bits) > 4 * _MAX_BITS or (sizes and times and sizes[0] * times[0] > _MAX_LENGTH):
        raise ValueError("too large")
    if isinstance(op, ast.Mod) and isinstance(left, str | bytes):
        raise ValueError("not a constant")  # a format may ask for any width
    try:
        return _ARITHMETIC[type(op)](left, right)
    except (TypeError, ZeroDivisionError, OverflowError) as error:
        raise ValueError(str(error)) from None
