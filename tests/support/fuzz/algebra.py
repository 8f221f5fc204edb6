r"""Expressions for the fuzzer: polynomials, complex numbers, functions, equations, relations, intervals."""

from __future__ import annotations

import random
from fractions import Fraction

from support.fuzz.kinds import Kind, Rng, another, fraction, small

Polynomial = tuple[str, tuple[int, ...]]
"""A letter and integer coefficients, the constant first, the last one not 0."""

LETTERS = "xyzabkmnprtuw"
_GREEK = ("theta", "alpha", "beta", "lambda")


def _term(coefficient: int, letter: str, power: int, python: bool) -> str:
    if power == 0:
        return str(coefficient)
    sign = {1: "", -1: "-"}.get(coefficient, f"{coefficient}{'*' if python else ''}")
    if power == 1:
        return f"{sign}{letter}"
    return f"{sign}{letter}" + (f"**{power}" if python else f"^{power}" if power < 10 else f"^{{{power}}}")


def joined(terms: list[str]) -> str:
    """A sum of terms, signs merged."""
    return "+".join(terms).replace("+-", "-")


def _polynomial(rng: Rng) -> Polynomial:
    coefficients = [rng.randint(-9, 9) for _ in range(rng.randint(1, 3))]
    return rng.choice((*LETTERS, *_GREEK)), (*coefficients, rng.choice((1, 1, 2, 3, -1, -4)))


def written(rng: Rng, value: Polynomial) -> str:
    """A polynomial, its terms in some order."""
    letter, coefficients = value
    python = rng.random() < 0.25
    name = letter if len(letter) == 1 or python else f"\\{letter} "
    terms = [_term(c, name, power, python) for power, c in enumerate(coefficients) if c]
    order = rng.choice((list(reversed(terms)), list(reversed(terms)), terms))
    return joined(order)


def _spell_polynomial(rng: Rng, value: Polynomial) -> str:
    letter, coefficients = value
    name = letter if len(letter) == 1 else f"\\{letter} "
    if len(coefficients) == 3 and coefficients[2] == 1 and rng.random() < 0.5:
        c, b, _ = coefficients
        for root in range(-9, 10):  # (x - p)(x - q) where there are whole roots
            if root * root + b * root + c == 0:
                other = -b - root
                return f"({name}{-root:+d})({name}{-other:+d})"
    if len(coefficients) == 2 and rng.random() < 0.3:
        b, a = coefficients
        if b % a == 0 and abs(a) > 1:
            return f"{a}({name}{b // a:+d})"
    return written(rng, value)


def _other_polynomial(rng: Rng, value: Polynomial) -> Polynomial:
    letter, coefficients = value
    at = rng.randrange(len(coefficients))
    changed = [c + (rng.choice((1, 2)) if c >= 0 else -1) if i == at else c for i, c in enumerate(coefficients)]
    flipped = (-coefficients[0] or 1, *coefficients[1:])
    return letter, rng.choice((tuple(changed), flipped, (0, *coefficients)))


def _quotient(rng: Rng) -> tuple[str, int, int]:
    return rng.choice(LETTERS), rng.randint(1, 9), rng.randint(2, 9)


def _spell_quotient(rng: Rng, value: tuple[str, int, int]) -> str:
    x, a, b = value
    ways = [f"\\frac{{{x}+{a}}}{{{b}{x}}}", f"\\frac{{1}}{{{b}}}+\\frac{{{a}}}{{{b}{x}}}", f"({x}+{a})/({b}{x})"]
    return rng.choice([*ways, f"\\frac{{{a}+{x}}}{{{b}\\cdot {x}}}", f"({x} + {a})/({b}*{x})"])


def _other_quotient(rng: Rng, value: tuple[str, int, int]) -> tuple[str, int, int]:
    x, a, b = value
    return rng.choice(((x, a + 1, b), (x, a, b + 1), (x, -a, b)))


def _complex(rng: Rng) -> tuple[int, int]:
    return rng.randint(-12, 12), rng.randint(1, 12) * rng.choice((1, -1))


def _spell_complex(rng: Rng, value: tuple[int, int]) -> str:
    a, b = value
    part = {1: "i", -1: "-i"}.get(b, f"{b}i")
    if a == 0:
        return rng.choice((part, f"0{b:+d}i", f"{b}\\cdot i", f"{b}*i"))
    ways = [joined([str(a), part])] * 3 + [joined([part, str(a)]), f"{a}{b:+d}\\cdot i", f"{a} + ({b})i"]
    return rng.choice([*ways, f"{a}.0 {'+' if b > 0 else '-'} {abs(b)}.0i", f"{a}{b:+d}\\mathrm{{i}}", f"{a}{b:+d}*i"])


def _other_complex(rng: Rng, value: tuple[int, int]) -> tuple[int, int]:
    a, b = value
    return rng.choice(((a, -b), (a + 1, b), (a, b + (1 if b > 0 else -1)), (-a or 2, b)))


def _exponential(rng: Rng) -> tuple[int, int, int]:
    """`a * b^(n + c)`."""
    return rng.choice((3, 5, 7, 11)), rng.choice((2, 4, 6, 10)), rng.randint(0, 4)


def _spell_exponential(rng: Rng, value: tuple[int, int, int]) -> str:
    a, b, c = value
    power = "n" if c == 0 else f"n+{c}"
    ways = [f"{a}\\cdot {b}^{{{power}}}"] * 3 + [f"{a}*{b}^({power})", f"{a * b**c}\\cdot {b}^n", f"{a}*{b}**({power})"]
    return rng.choice([*ways, f"{b}^{{{power}}}\\times {a}", f"{a}({b}^{{{power}}})"])


def _other_exponential(rng: Rng, value: tuple[int, int, int]) -> tuple[int, int, int]:
    a, b, c = value
    return rng.choice(((a + 2, b, c), (a, b + 1, c), (a, b, c + 1)))


def _function(rng: Rng) -> tuple[int, str, int, str]:
    return (
        rng.randint(1, 9),
        rng.choice(("sin", "cos", "tan", "ln", "exp", "sqrt")),
        rng.randint(1, 9),
        rng.choice("xtu"),
    )


def _spell_function(rng: Rng, value: tuple[int, str, int, str]) -> str:
    a, name, b, x = value
    size, inner = "" if a == 1 else str(a), x if b == 1 else f"{b}{x}"
    if name == "sqrt":
        return rng.choice((f"{size}\\sqrt{{{inner}}}", f"{a}*sqrt({b}*{x})", f"{size}({inner})^{{1/2}}"))
    ways = [
        f"{size}\\{name}({inner})",
        f"{size}\\{name}\\left({inner}\\right)",
        f"{a}*{name}({b}*{x})",
        f"{size}{name}({inner})",
    ]
    if name == "exp":
        ways += [f"{size}e^{{{inner}}}"] * 2
    elif b == 1:
        ways.append(f"{size}\\{name} {x}")
    if name == "sin" and b % 2 == 0 and rng.random() < 0.1:
        ways = [f"{2 * a}\\sin({b // 2}{x})\\cos({b // 2}{x})"]
    return rng.choice(ways)


def _other_function(rng: Rng, value: tuple[int, str, int, str]) -> tuple[int, str, int, str]:
    a, name, b, x = value
    names = {"sin": "cos", "cos": "sin", "tan": "sin", "ln": "exp", "exp": "ln", "sqrt": "ln"}
    return rng.choice(((a + 1, name, b, x), (a, name, b + 1, x), (a, names[name], b, x)))


_ANGLES = {30: ("\\frac12", "\\frac{\\sqrt3}{2}"), 60: ("\\frac{\\sqrt3}{2}", "\\frac12")}
_ANGLES |= {45: ("\\frac{\\sqrt2}{2}", "\\frac{1}{\\sqrt2}"), 90: ("1", "0")}


def _angle(rng: Rng) -> tuple[str, int]:
    return rng.choice(("sin", "cos")), rng.choice((30, 45, 60))


def _spell_angle(rng: Rng, value: tuple[str, int]) -> str:
    name, angle = value
    exact = _ANGLES[angle][name == "cos"]
    ways = [
        f"\\{name} {angle}^\\circ",
        f"\\{name}({angle}^{{\\circ}})",
        exact,
        exact,
        exact.replace("\\frac", "\\dfrac"),
    ]
    return rng.choice([*ways, f"\\{name}\\frac{{\\pi}}{{{180 // angle}}}"])


def _other_angle(rng: Rng, value: tuple[str, int]) -> tuple[str, int]:
    name, angle = value
    return name, rng.choice([other for other in (30, 45, 60) if other != angle])


# ---------------------------------------------------------------- equations, relations, assignments


def _line(rng: Rng) -> tuple[int, int, int]:
    """`a x + b y = c`, without a common divisor."""
    return rng.randint(2, 9), rng.choice((1, 1, 5, 7, -3)), rng.choice((1, 11, 13, -17))


def _spell_line(rng: Rng, value: tuple[int, int, int]) -> str:
    a, b, c = value
    left, times = f"{a}x{b:+d}y", rng.choice((2, 3, -1))
    ways = [f"{left}={c}"] * 3 + [f"{left}{-c:+d}=0", f"{c}={left}", f"{b}y={c}{-a:+d}x", f"{b}y{a:+d}x={c}"]
    if b == 1:
        ways += [f"y={c}{-a:+d}x", f"y = {-a}x {'+' if c > 0 else '-'} {abs(c)}"] * 2
    return rng.choice([*ways, f"{times * a}x{times * b:+d}y={times * c}"])


def _other_line(rng: Rng, value: tuple[int, int, int]) -> tuple[int, int, int]:
    a, b, c = value
    return rng.choice(((a + 1, b, c), (a, -b, c), (a, b, -c), (a, b, c + 30)))


def _assignment(rng: Rng) -> tuple[str, Fraction]:
    return rng.choice(LETTERS), small(rng)


def _spell_assignment(rng: Rng, value: tuple[str, Fraction]) -> str:
    x, number = value
    text = fraction(rng, number)
    return rng.choice((f"{x}={text}", f"{x} = {text}", f"{x}={text}", text))


Bounds = tuple[str, int | None, int | None, bool, bool]
"""A letter, its bounds, and whether the ends belong to it."""


def _bounds(rng: Rng) -> Bounds:
    low = rng.randint(-20, 20)
    high = low + rng.randint(1, 30)
    open_end = rng.choice((0, 0, 1, 2))
    ends = rng.random() < 0.5, rng.random() < 0.5
    return (
        "x",
        None if open_end == 1 else low,
        None if open_end == 2 else high,
        ends[0] and open_end != 1,
        ends[1] and open_end != 2,
    )


def as_relation(rng: Rng, value: Bounds) -> str:
    """Bounds as inequalities."""
    x, low, high, left, right = value
    le, ge = rng.choice(
        (("\\le ", "\\ge "), ("\\leq ", "\\geq "), ("\\leqslant ", "\\geqslant "), ("<=", ">="), ("≤", "≥"))
    )
    below, above = le if right else "<", ge if left else ">"
    if low is None:
        return rng.choice((f"{x}{below}{high}", f"{high}{ge if right else '>'}{x}"))
    if high is None:
        return rng.choice((f"{x}{above}{low}", f"{low}{le if left else '<'}{x}"))
    up, down = f"{low}{le if left else '<'}{x}{below}{high}", f"{high}{ge if right else '>'}{x}{above}{low}"
    return rng.choice(
        (up, up, down, f"{x}{above}{low} and {x}{below}{high}", f"{x}{above}{low} \\text{{ and }} {x}{below}{high}")
    )


def as_interval(rng: Rng, value: Bounds) -> str:
    """Bounds as an interval."""
    _, low, high, left, right = value
    infinity = rng.choice(("\\infty", "\\infty", "∞", "+\\infty"))
    start = "-\\infty" if low is None else str(low)
    end = infinity if high is None else str(high)
    return f"{'[' if left else '('}{start}{rng.choice((',', ', '))}{end}{']' if right else ')'}"


def _spell_relation(rng: Rng, value: Bounds) -> str:
    interval = as_interval(rng, value)
    ways = (as_relation(rng, value), as_relation(rng, value), f"x\\in{interval}", f"x \\in {interval}", interval)
    return rng.choice(ways)


def _spell_interval(rng: Rng, value: Bounds) -> str:
    ways = (as_interval(rng, value), as_interval(rng, value), as_interval(rng, value), as_relation(rng, value))
    return rng.choice(
        (*ways, f"\\{{x : {as_relation(random.Random(3), value)}\\}}", f"x\\in {as_interval(rng, value)}")
    )


def _other_bounds(rng: Rng, value: Bounds) -> Bounds:
    x, low, high, left, right = value
    ways: list[Bounds] = []
    if low is not None:
        ways += [(x, low - 1, high, left, right), (x, low, high, not left, right), (x, None, high, False, right)]
    if high is not None:
        ways += [(x, low, high + 1, left, right), (x, low, high, left, not right), (x, low, None, left, False)]
    return rng.choice([way for way in ways if way[1] is not None or way[2] is not None])


def _roots(rng: Rng) -> tuple[int, ...]:
    return tuple(sorted(rng.sample(range(-12, 13), rng.choice((2, 2, 3)))))


def _spell_roots(rng: Rng, value: tuple[int, ...]) -> str:
    numbers = list(value)
    rng.shuffle(numbers)
    glue = rng.choice((" or ", " \\text{ or } ", ", ", "\\text{ and }"))
    ways = [glue.join(f"x={n}" for n in numbers), glue.join(map(str, numbers)), ", ".join(map(str, numbers))]
    if len(value) == 2 and value[0] == -value[1]:
        ways += [f"x=\\pm {value[1]}", f"\\pm {value[1]}"] * 2
    ways += [", ".join(f"x_{i}={n}" for i, n in enumerate(numbers, 1)), "\\{" + ", ".join(map(str, numbers)) + "\\}"]
    return rng.choice(ways)


def _other_roots(rng: Rng, value: tuple[int, ...]) -> tuple[int, ...]:
    gap = max(value) + 1
    ways = [(*value, gap), (*value[:-1], gap), tuple(-n for n in value) if sum(value) else (*value, gap)]
    if len(value) > 2:
        ways.append(value[:-1])
    return tuple(sorted(rng.choice([way for way in ways if sorted(way) != sorted(value)])))


ALGEBRA: dict[str, tuple[int, Kind]] = {
    "polynomial": (6, Kind(_polynomial, _spell_polynomial, _other_polynomial)),
    "quotient": (2, Kind(_quotient, _spell_quotient, _other_quotient)),
    "complex": (4, Kind(_complex, _spell_complex, _other_complex)),
    "exponential": (2, Kind(_exponential, _spell_exponential, _other_exponential)),
    "function": (2, Kind(_function, _spell_function, _other_function)),
    "angle": (1, Kind(_angle, _spell_angle, _other_angle)),
    "line": (3, Kind(_line, _spell_line, _other_line)),
    "assignment": (
        4,
        Kind(_assignment, _spell_assignment, lambda rng, value: (value[0], another(rng, value[1]))),
    ),
    "relation": (3, Kind(_bounds, _spell_relation, _other_bounds)),
    "interval": (3, Kind(_bounds, _spell_interval, _other_bounds)),
    "roots": (4, Kind(_roots, _spell_roots, _other_roots)),
}
