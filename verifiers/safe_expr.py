"""Values and expressions from text without evaluating it: what stands in for `eval` and SymPy's `parse_expr`.

Invariant: the text is parsed to a syntax tree, and only what is listed here is built from it: numbers, texts, lists,
names as symbols, the operators, and functions by name. Attributes, subscripts, lambdas, comprehensions, keywords and
every other name of a function raise ValueError. Powers and shifts of plain numbers are bounded.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

MAX_CHARS = 20_000
_MAX_BITS = 10_000

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
    ast.BitAnd: operator.and_, ast.BitOr: operator.or_, ast.BitXor: operator.xor,
    ast.LShift: operator.lshift, ast.RShift: operator.rshift,
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos, ast.USub: operator.neg, ast.Invert: operator.invert,
}  # fmt: skip
_FUNCTIONS = {
    "sqrt", "exp", "log", "ln", "sin", "cos", "tan", "sec", "csc", "cot", "asin", "acos", "atan",
    "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "Abs", "Rational",
}  # fmt: skip
_CONSTANTS = frozenset(("pi", "E", "I", "oo"))


def value(text: str, *_: Any) -> Any:
    """What `eval` gives for a literal or for arithmetic on numbers.

    Raises:
        ValueError, SyntaxError: for anything else.
    """
    return _value(_parsed(text))


def expression(text: str, local_dict: Mapping[str, Any] | None = None, **_: Any) -> Any:
    """What SymPy's `parse_expr` gives for an expression of numbers, names, operators and listed functions.

    Args:
        local_dict: what names stand for; every other name is a symbol, or one of SymPy's constants.

    Raises:
        ValueError, SyntaxError: for anything else.
    """
    return _expression(_parsed(text), dict(local_dict or {}))


def _parsed(text: str) -> ast.expr:
    if not isinstance(text, str) or len(text) > MAX_CHARS:
        raise ValueError(f"no text of at most {MAX_CHARS} characters")
    return ast.parse(text.strip(), mode="eval").body


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        items = [_value(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items) if isinstance(node, ast.Tuple) else set(items)
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {_value(key): _value(item) for key, item in zip(node.keys, node.values, strict=True) if key}
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_number(_value(node.operand)))
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        left, right = _number(_value(node.left)), _number(_value(node.right))
        _bounded(node.op, left, right)
        return _BINARY[type(node.op)](left, right)
    raise ValueError(f"{type(node).__name__} is no value")


def _number(found: Any) -> Any:
    if not isinstance(found, int | float | complex):
        raise ValueError("arithmetic is for numbers")
    return found


def _bounded(op: ast.operator, left: Any, right: Any) -> None:
    if isinstance(op, ast.Pow | ast.LShift) and isinstance(left, int) and isinstance(right, int):
        size = left.bit_length() * max(right, 1) if isinstance(op, ast.Pow) else left.bit_length() + right
        if size > _MAX_BITS:
            raise ValueError(f"a number of more than {_MAX_BITS} bits")


def _expression(node: ast.expr, names: Mapping[str, Any]) -> Any:
    import sympy

    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return sympy.Integer(node.value) if isinstance(node.value, int) else sympy.Float(node.value)
    if isinstance(node, ast.Name):
        if node.id in names:
            return names[node.id]
        return getattr(sympy, node.id) if node.id in _CONSTANTS else sympy.Symbol(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
        return _UNARY[type(node.op)](_expression(node.operand, names))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.Pow):
        left, right = _expression(node.left, names), _expression(node.right, names)
        if left.is_Integer and right.is_Integer:
            _bounded(node.op, int(left), int(right))
        return _BINARY[type(node.op)](left, right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        function = node.func.id if node.func.id not in names else ""
        if function in _FUNCTIONS:
            return getattr(sympy, function)(*(_expression(argument, names) for argument in node.args))
    raise ValueError(f"{type(node).__name__} is no expression")
