r"""The members of what holds several: lists, sets, tuples, points, columns, vectors in unit vectors.

Invariant: the order counts only where it is told to.
"""

from __future__ import annotations

from synthflow.verifiers.answers.comparing.identity import identity, with_letter
from synthflow.verifiers.answers.comparing.tree_values import letters
from synthflow.verifiers.answers.reading.atoms import Tree, number
from synthflow.verifiers.answers.reading.readings import Amount, Collection, Interval, Matrix, Reading


def cells_of(matrix: Matrix) -> tuple[Reading, ...]:
    return tuple(Amount(cell) for row in matrix.rows for cell in row)


def items_of(reading: Reading) -> tuple[bool, tuple[Reading, ...]] | None:
    """Whether in order, and the members of what is a collection, of a vector in unit vectors too."""
    if isinstance(reading, Amount) and any(name.startswith("unit ") for name in letters(reading.tree)):
        return _coordinates(reading.tree)
    if isinstance(reading, Collection):
        return reading.kind == "tuple", reading.members
    if isinstance(reading, Interval) and reading.members:
        return True, reading.members
    if isinstance(reading, Matrix) and 1 in (len(reading.rows), len(reading.rows[0])):
        return True, cells_of(reading)
    return None


def _coordinates(tree: Tree) -> tuple[bool, tuple[Reading, ...]] | None:
    r"""`\mathbf{i}-2\mathbf{j}` as its coordinates."""
    names = [f"unit {axis}" for axis in "ijk"]
    found = []
    for name in names if "unit k" in letters(tree) else names[:2]:
        part = tree
        for other in names:
            part = with_letter(part, other, number(1 if other == name else 0))
        found.append(part)
    whole: Tree = number(0)
    for name, part in zip(names, found, strict=False):
        whole = ("add", whole, ("mul", part, ("sym", name)))
    return (True, tuple(Amount(part) for part in found)) if identity(whole, tree).verdict == "equal" else None
