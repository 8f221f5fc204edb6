"""Where code asks what kind of stage it has before it by comparing the stage's `use` with a text.

What such code does for one name it does not do for the next stage of the same kind, and nothing says so. A stage says
what it is in class attributes instead. Counted are `x.use == "…"`, `!=`, `in`, `match`, `startswith` and look-ups in
a table of names, also where the text is a constant or a piece of the name is compared. Not counted: whether two
stages have one name, and a variable `use` that is looked up among registered names, as whoever reads a spec does.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import NamedTuple

PIECES = ("split", "partition", "rpartition", "removeprefix", "removesuffix")
TESTS = ("startswith", "endswith")


class Comparison(NamedTuple):
    """One comparison: its line, and what stands there."""

    line: int
    text: str


def comparisons(tree: ast.AST) -> list[Comparison]:
    """Every comparison of a stage's `use`, in the order of lines."""
    return sorted(Comparison(node.lineno, ast.unparse(node)) for node in _comparing(tree))


def _comparing(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = (node.left, *node.comparators)
            if any(_compares(one, [other for other in sides if other is not one]) for one in sides):
                yield node
        elif isinstance(node, ast.Match):
            if _names_a_stage(node.subject):
                yield node.subject
        elif isinstance(node, ast.Subscript):
            if _is_table(node.value) and _names_a_stage(node.slice):
                yield node
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            on, method = node.func.value, node.func.attr
            looked_up = method == "get" and _is_table(on) and any(map(_names_a_stage, node.args[:1]))
            if looked_up or (method in TESTS and _names_a_stage(on)):
                yield node


def _compares(side: ast.expr, others: list[ast.expr]) -> bool:
    if _is_use(side):
        return not all(_is_use(other) and not _is_of_class(other) for other in others) and not _is_of_class(side)
    return _is_variable(side) and any(_is_text(other) for other in others)


def _names_a_stage(node: ast.expr) -> bool:
    return _is_use(node) or _is_variable(node)


def _is_use(node: ast.expr) -> bool:
    """Whether an expression is `x.use`, or a piece of it."""
    return _is_piece_of(node, lambda inner: isinstance(inner, ast.Attribute) and inner.attr == "use")


def _is_variable(node: ast.expr) -> bool:
    """Whether an expression is a variable or an entry called `use`, or a piece of it."""
    return _is_piece_of(node, _is_named)


def _is_named(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return node.id == "use"
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value == "use"
    return False


def _is_piece_of(node: ast.expr, whole: Callable[[ast.expr], bool]) -> bool:
    while not whole(node):
        if isinstance(node, ast.Subscript):
            node = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PIECES:
            node = node.func.value
        else:
            return False
    return True


def _is_of_class(node: ast.expr) -> bool:
    """Whether an expression is the `use` of one class, `Sample.use`: a text by another name."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id[0].isupper()


def _is_text(node: ast.expr) -> bool:
    """Whether an expression is a text, some texts, or a constant."""
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return any(_is_text(item) for item in node.elts)
    return (
        isinstance(node, ast.JoinedStr)
        or _is_table(node)
        or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    )


def _is_table(node: ast.expr) -> bool:
    """Whether an expression is a constant or a table written out: what could be looked up by name."""
    if isinstance(node, ast.Attribute):
        return node.attr.isupper()
    return isinstance(node, ast.Dict) or (isinstance(node, ast.Name) and node.id.isupper())
