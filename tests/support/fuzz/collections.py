r"""Answers of several parts for the fuzzer: points, vectors, matrices, sets, lists, unions, ratios."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from support.fuzz.kinds import Kind, Rng, another, fraction, small

Parts = tuple[Fraction, ...]
Grid = tuple[tuple[int, ...], ...]


def _parts(count: tuple[int, int]) -> Callable[[Rng], Parts]:
    return lambda rng: tuple(small(rng, 15) for _ in range(rng.randint(*count)))


def _comma(rng: Rng) -> str:
    return rng.choice((",", ", ", ", ", ",\\ "))


def _spell_point(rng: Rng, value: Parts) -> str:
    body = _comma(rng).join(fraction(rng, part) for part in value)
    ways = [f"({body})"] * 4 + [f"\\left({body}\\right)", f"({body})".replace(", ", ",\\,")]
    if len(value) == 2:
        ways += [f"(x,y)=({body})", f"(x, y) = ({body})"]
    return rng.choice(ways)


def _other_ordered(rng: Rng, value: Parts) -> Parts:
    at = rng.randrange(len(value))
    changed = tuple(another(rng, part) if i == at else part for i, part in enumerate(value))
    ways = [changed, (*value, Fraction(1)), value[:-1] if len(value) > 2 else changed]
    if value[::-1] != value:
        ways.append(value[::-1])
    return rng.choice(ways)


def _vector(rng: Rng) -> tuple[int, ...]:
    return tuple(rng.randint(-9, 9) for _ in range(rng.choice((2, 3, 3))))


def _spell_vector(rng: Rng, value: tuple[int, ...]) -> str:
    body = ", ".join(map(str, value))
    column = "\\\\".join(map(str, value))
    ways = [f"\\langle {body}\\rangle", f"\\langle {body} \\rangle", f"\\begin{{pmatrix}}{column}\\end{{pmatrix}}"]
    ways += [f"\\begin{{pmatrix}} {column.replace(chr(92) * 2, ' ' + chr(92) * 2 + ' ')} \\end{{pmatrix}}"]
    ways += [f"\\begin{{bmatrix}}{column}\\end{{bmatrix}}", f"\\left\\langle {body}\\right\\rangle"]
    if all(value):
        units = ("\\mathbf{i}", "\\mathbf{j}", "\\mathbf{k}")
        ways.append("".join(f"{n:+d}{unit}" for n, unit in zip(value, units, strict=False)).removeprefix("+"))
    return rng.choice(ways)


def _other_vector(rng: Rng, value: tuple[int, ...]) -> tuple[int, ...]:
    at = rng.randrange(len(value))
    changed = tuple(n + 1 if i == at else n for i, n in enumerate(value))
    ways = [changed, (*value, 1) if len(value) == 2 else changed]
    if value[::-1] != value:
        ways.append(value[::-1])
    return rng.choice(ways)


def _grid(rng: Rng) -> Grid:
    height, width = rng.choice(((2, 2), (2, 2), (2, 3), (3, 3), (1, 3)))
    return tuple(tuple(rng.randint(-9, 9) for _ in range(width)) for _ in range(height))


def _spell_grid(rng: Rng, value: Grid) -> str:
    cell, row = rng.choice((("&", "\\\\"), (" & ", " \\\\ "), (" & ", "\\\\\n")))
    body = row.join(cell.join(map(str, line)) for line in value)
    kind = rng.choice("pppbb")
    array = f"\\begin{{array}}{{{'c' * len(value[0])}}}{body}\\end{{array}}"
    ways = [f"\\begin{{{kind}matrix}}{body}\\end{{{kind}matrix}}"] * 4 + [
        f"\\left({array}\\right)",
        f"\\left[{array}\\right]",
    ]
    ways += [
        f"\\begin{{{kind}matrix}} {body} \\end{{{kind}matrix}}",
        f"\\left(\\begin{{smallmatrix}}{body}\\end{{smallmatrix}}\\right)",
    ]
    return rng.choice(ways)


def _other_grid(rng: Rng, value: Grid) -> Grid:
    r, c = rng.randrange(len(value)), rng.randrange(len(value[0]))
    changed = tuple(tuple(n + (i == r and j == c) for j, n in enumerate(line)) for i, line in enumerate(value))
    turned = tuple(zip(*value, strict=True))
    return rng.choice((changed, changed, turned if turned != value else changed, (*value, value[0])))


def _members(rng: Rng) -> Parts:
    return tuple(sorted({small(rng, 20) for _ in range(rng.randint(2, 5))} | {Fraction(rng.randint(21, 30))}))


def _shuffled(rng: Rng, value: Parts) -> list[str]:
    return [fraction(rng, part) for part in rng.sample(value, len(value))]


def _spell_set(rng: Rng, value: Parts) -> str:
    body = _comma(rng).join(_shuffled(rng, value))
    return rng.choice(
        (f"\\{{{body}\\}}", f"\\{{{body}\\}}", f"\\left\\{{{body}\\right\\}}", f"\\lbrace {body} \\rbrace")
    )


def _spell_list(rng: Rng, value: Parts) -> str:
    parts = _shuffled(rng, value)
    joint = rng.choice((" and ", ", and ", "\\text{ and }"))
    return rng.choice((", ".join(parts), ",".join(parts), ", ".join(parts[:-1]) + joint + parts[-1], "; ".join(parts)))


def _other_members(rng: Rng, value: Parts) -> Parts:
    at = rng.randrange(len(value))
    more = max(value) + 1
    changed = tuple(more if i == at else part for i, part in enumerate(value))
    return rng.choice((changed, (*value, more), value[1:] if len(value) > 2 else changed))


def _sequence(rng: Rng) -> Parts:
    start, step = rng.randint(-9, 20), rng.choice((1, 2, 3, 5, -2))
    return tuple(Fraction(start + i * step) for i in range(rng.randint(3, 6)))


def _spell_sequence(rng: Rng, value: Parts) -> str:
    body = rng.choice((",", ", ")).join(str(part) for part in value)
    return rng.choice((body, body, f"{body}", body.replace(",", ",\\ ") if rng.random() < 0.2 else body))


Union = tuple[int, int, int, int, bool]


def _union(rng: Rng) -> Union:
    a, b, c, d = sorted(rng.sample(range(-20, 21), 4))
    return a, b, c, d, rng.random() < 0.5


def _spell_union(rng: Rng, value: Union) -> str:
    a, b, c, d, closed = value
    left, right = ("[", "]") if closed else ("(", ")")
    one, two = f"{left}{a},{b}{right}", f"{left}{c}, {d}{right}"
    cup = rng.choice((" \\cup ", "\\cup", " ∪ "))
    sign = "\\le " if closed else "<"
    ways = [one + cup + two] * 4 + [two + cup + one, f"x\\in {one}{cup}{two}"]
    return rng.choice([*ways, f"{a}{sign}x{sign}{b} \\text{{ or }} {c}{sign}x{sign}{d}"])


def _other_union(rng: Rng, value: Union) -> Union:
    a, b, c, d, closed = value
    return rng.choice(
        ((a, b, c, d + 1, closed), (a - 1, b, c, d, closed), (a, b, c, d, not closed), (a, b, d, d + 3, closed))
    )


def _ratio(rng: Rng) -> tuple[int, ...]:
    terms = [rng.randint(1, 15) for _ in range(rng.choice((2, 2, 3)))]
    common = math.gcd(*terms)
    return tuple(term // common for term in terms)


def _spell_ratio(rng: Rng, value: tuple[int, ...]) -> str:
    times = rng.choice((1, 1, 1, 2, 3))
    terms = [str(times * term) for term in value]
    ways = [":".join(terms)] * 3 + [" : ".join(terms), " to ".join(terms), "\\colon ".join(terms)]
    return rng.choice(ways)


def _other_ratio(rng: Rng, value: tuple[int, ...]) -> tuple[int, ...]:
    def reduced(terms: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(term // math.gcd(*terms) for term in terms)

    ways = [value[::-1], (value[0] + 1, *value[1:]), (*value[:-1], value[-1] + 1), (*value[:-1], value[-1] * 10)]
    return rng.choice([way for way in ways if reduced(way) != value])


COLLECTIONS: dict[str, tuple[int, Kind]] = {
    "point": (5, Kind(_parts((2, 3)), _spell_point, _other_ordered)),
    "vector": (3, Kind(_vector, _spell_vector, _other_vector)),
    "matrix": (4, Kind(_grid, _spell_grid, _other_grid)),
    "set": (3, Kind(_members, _spell_set, _other_members)),
    "list": (3, Kind(_members, _spell_list, _other_members)),
    "sequence": (2, Kind(_sequence, _spell_sequence, _other_members)),
    "union": (3, Kind(_union, _spell_union, _other_union)),
    "ratio": (3, Kind(_ratio, _spell_ratio, _other_ratio)),
}
