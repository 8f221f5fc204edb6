r"""Matrices, columns, cases and systems: what stands between `\begin` and `\end`.

Invariant: every cell is read; the environment decides the kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from synthflow.verifiers.answers.reading.amounts import Way
from synthflow.verifiers.answers.reading.atoms import Tree
from synthflow.verifiers.answers.reading.readings import Cases, Collection, Matrix, Reading, Relation
from synthflow.verifiers.answers.reading.splitting import marks_at_top
from synthflow.verifiers.answers.reading.tokens import Token, Unread

_MATRICES = frozenset({"pmatrix", "bmatrix", "matrix", "Bmatrix", "smallmatrix", "array"})
_CASES = frozenset({"cases", "dcases", "rcases", "aligned", "align", "gathered", "align*"})
_IF = frozenset({"if", "for", "when", "where", "x"})
_OTHERWISE = frozenset({"otherwise", "else", "elsewhere"})
_AROUND = {("(", ")"), ("[", "]"), ("|", "|"), ("{", "}")}


def read_table(found: list[Token], way: Way, read: Callable[[Sequence[Token], Way], Reading]) -> Reading | None:
    r"""The matrix, cases or system that the tokens are, a factor before it multiplied in; None without `\begin`."""
    start = next((at for at, token in enumerate(found) if token.value == r"\begin"), None)
    if start is None:
        return None
    name, at = _name(found, start)
    end = next((at for at in range(len(found) - 1, start, -1) if found[at].value == r"\end"), None)
    if end is None or _name(found, end)[0] != name or any(token.value == r"\begin" for token in found[at:end]):
        raise Unread("an environment in another, or one that does not end")
    before, behind = found[:start], found[_name(found, end)[1] :]
    if before and behind and (before[-1].value, behind[0].value) in _AROUND:
        before, behind = before[:-1], behind[1:]
    if behind or (before and name not in _MATRICES):
        raise Unread("what stands beside an environment")
    if name == "array" and found[at].value == "{":
        at = next(k for k in range(at, end) if found[k].value == "}") + 1
    rows = _rows(found[at:end])
    if name in _CASES:
        return _cases(rows, way, read)
    if name not in _MATRICES:
        raise Unread(f"the environment {name}")
    if len({len(row) for row in rows}) != 1:
        raise Unread("rows of different lengths")
    cells = tuple(tuple(way.tree(cell) for cell in row) for row in rows)
    if before:
        factor = way.tree(before if before[-1].value not in (r"\cdot", r"\times") else before[:-1])
        cells = tuple(tuple(("mul", factor, cell) for cell in row) for row in cells)
    return Matrix(cells)


def _name(found: list[Token], at: int) -> tuple[str, int]:
    r"""The name after `\begin` or `\end` at a place, and where it ends."""
    if at + 1 >= len(found) or found[at + 1].value != "{":
        raise Unread("an environment without a name")
    close = next((k for k in range(at + 2, len(found)) if found[k].value == "}"), None)
    if close is None:
        raise Unread("an environment without a name")
    return "".join(token.value for token in found[at + 2 : close]), close + 1


def _rows(inside: list[Token]) -> list[list[list[Token]]]:
    rows: list[list[list[Token]]] = [[[]]]
    for token in inside:
        if token.value == r"\\":
            rows.append([[]])
        elif token.value == "&":
            rows[-1].append([])
        elif token.value != r"\hline":
            rows[-1][-1].append(token)
    return [row for row in rows if any(row)]


def _cases(rows: list[list[list[Token]]], way: Way, read: Callable[[Sequence[Token], Way], Reading]) -> Reading:
    """Cases of a function where a second column or a word says when; else equations that all hold."""
    rows = [_by_word(row) for row in rows]
    if all(len(row) == 1 and marks_at_top(row[0]) for row in rows):
        return Collection("list", tuple(read(_bare(row[0]), way) for row in rows))
    pieces: list[tuple[Tree, Relation | None]] = []
    for row in rows:
        if len(row) == 2 and marks_at_top(row[0]):  # aligned equations: x &= 3
            raise Unread("aligned equations")
        if len(row) != 2:
            raise Unread("a case without its condition")
        condition = [
            token
            for token in row[1]
            if token.value.strip(" ,.").lower() not in _IF or (token.kind == "run" and token.value == "x")
        ]
        if all(token.value.strip(" ,.").lower() in _OTHERWISE for token in condition):
            pieces.append((way.tree(_bare(row[0])), None))
            continue
        reading = read(_bare(condition), way)
        if not isinstance(reading, Relation):
            raise Unread("a condition that is no relation")
        pieces.append((way.tree(_bare(row[0])), reading))
    return Cases(tuple(pieces))


def _by_word(row: list[list[Token]]) -> list[list[Token]]:
    """A row of one cell in two at its `if`, comma or `otherwise`."""
    if len(row) != 1:
        return row
    for at, token in enumerate(row[0]):
        if at and (token.value.strip(" ,.").lower() in ("if", "for", "when", "otherwise")):
            return [row[0][:at], row[0][at:]]
    return row


def _bare(cell: list[Token]) -> list[Token]:
    while cell and cell[-1].value in (",", ";", "."):
        cell = cell[:-1]
    return cell
