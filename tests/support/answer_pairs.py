"""Pairs of answers by the thousand, for the property that the exact path never contradicts the slow one.

Half are two spellings of one value, the rest differ by a digit, a sign, a bracket, an operator or a rounding; one in
five has a character of its text deleted, doubled or replaced, so that readings differ where they can.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction

Pair = tuple[str, str]

_LETTERS = "xyzabcnktrmpqsuvw"


def pairs(count: int, seed: int) -> list[Pair]:
    """`count` pairs of gold and answer, the same for the same seed."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        gold, answer = rng.choice(_KINDS)(rng)
        if rng.random() < 0.2:
            answer = _broken(rng, answer)
        made.append((gold, answer))
    return made


def _broken(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text)) if text else 0
    how = rng.randrange(4)
    if how == 0:
        return text[:at] + text[at + 1 :]
    if how == 1:
        return text[:at] + text[at : at + 1] * 2 + text[at + 1 :]
    if how == 2:
        return text[:at] + rng.choice("0123456789+-*/^(),. xyein=<%!|") + text[at + 1 :]
    return text[:at] + rng.choice(" 12-x(") + text[at:]


def _number(rng: random.Random, top: int = 60) -> Fraction:
    return Fraction(rng.randint(-top, top), rng.choice((1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 25)))


def _spelled(rng: random.Random, value: Fraction) -> str:
    top, bottom = value.numerator, value.denominator
    times = rng.choice((1, 1, 2, 3, 10))
    ways = [f"\\frac{{{times * top}}}{{{times * bottom}}}", f"{top}/{bottom}", f"{times * top}/{times * bottom}"]
    if bottom == 1:
        ways += [str(top)] * 6 + [f"{top}.0", f"{top:,}", f"({top})"]
    if bottom in (2, 4, 5, 8, 10, 25):
        ways += [f"{float(value)}", f"{float(value):.3f}"]
    if top < 0:
        ways.append(f"-\\frac{{{-top}}}{{{bottom}}}")
    if top > bottom > 1:
        ways.append(f"{top // bottom}\\frac{{{top % bottom}}}{{{bottom}}}")
    return rng.choice(ways)


def _other(rng: random.Random, value: Fraction) -> Fraction:
    """The same half of the time, else something near or far."""
    if rng.random() < 0.5:
        return value
    return rng.choice(
        (-value, value + 1, value * 10, value + Fraction(1, 10**6), value / 3, 1 / value if value else value)
    )


def _rational(rng: random.Random) -> Pair:
    value = _number(rng, rng.choice((9, 60, 10**4, 10**8)))
    return _spelled(rng, value), _spelled(rng, _other(rng, value))


def _rounded(rng: random.Random) -> Pair:
    value = _number(rng)
    return rng.choice((_spelled(rng, value), f"{float(value):.8f}")), f"{float(value):.{rng.randint(1, 9)}f}"


def _percent(rng: random.Random) -> Pair:
    value = _number(rng)
    other = rng.choice((value, value / 100, value * 100, _other(rng, value)))
    return rng.choice((f"{value}\\%", _spelled(rng, value / 100))), rng.choice((f"{other}\\%", f"{other}"))


def _surd(rng: random.Random) -> Pair:
    a, b, c, d = rng.randint(-5, 9), rng.randint(1, 6), rng.choice((2, 3, 5, 6, 7, 10)), rng.randint(1, 5)
    same = rng.random() < 0.5
    other = b if same else b + rng.choice((1, -1))
    gold = rng.choice((f"\\frac{{{a}+{b}\\sqrt{{{c}}}}}{{{d}}}", f"\\frac{{{a}+\\sqrt{{{b * b * c}}}}}{{{d}}}"))
    answer = rng.choice(
        (
            f"\\frac{{\\sqrt{{{other * other * c}}}+{a}}}{{{d}}}",
            f"\\frac{{{a}}}{{{d}}}+\\frac{{{other}}}{{{d}}}\\sqrt{{{c}}}",
            f"({a}+{other}\\sqrt{{{c}}})/{d}",
            f"\\frac{{{2 * a}+{2 * other}\\sqrt{{{c}}}}}{{{2 * d}}}",
        )
    )
    return gold, answer


def _inverse_surd(rng: random.Random) -> Pair:
    a, b, c = rng.randint(1, 6), rng.choice((2, 3, 5, 7)), rng.choice((0, 0, 1))
    return f"\\frac{{{a}}}{{\\sqrt{{{b}}}}}", f"\\frac{{{a}\\sqrt{{{b + c}}}}}{{{b}}}"


def _root(rng: random.Random) -> Pair:
    a, n = rng.randint(2, 6), rng.choice((2, 3, 4))
    times = rng.randint(1, 3)
    return f"\\sqrt[{n}]{{{times * a**n}}}", rng.choice(
        (f"{a}\\sqrt[{n}]{{{times}}}", f"{times}\\sqrt[{n}]{{{a}}}", f"{a}")
    )


def _pi(rng: random.Random) -> Pair:
    value = _number(rng, 12)
    other = _other(rng, value)
    gold = f"\\frac{{{value.numerator}\\pi}}{{{value.denominator}}}"
    return gold, rng.choice(
        (f"{_spelled(rng, other)}\\pi", f"\\frac{{\\pi\\cdot{other.numerator}}}{{{other.denominator}}}")
    )


def _power(rng: random.Random) -> Pair:
    a, n = rng.randint(2, 12), rng.randint(-3, 9)
    value = Fraction(a) ** n
    return f"{a}^{{{n}}}", rng.choice((_spelled(rng, _other(rng, value)), f"{a}^{{{n}}}", f"{a}\\cdot {a}^{{{n - 1}}}"))


def _line(rng: random.Random, letter: str, a: int, b: int) -> str:
    ways = [f"{a}{letter}+{b}", f"{b}+{a}{letter}", f"{a}\\cdot {letter} + {b}", f"({a}{letter}+{b})"]
    if a and b % a == 0:
        ways.append(f"{a}({letter}+{b // a})")
    return rng.choice(ways).replace("+-", "-")


def _linear(rng: random.Random) -> Pair:
    letter, a, b = rng.choice(_LETTERS), rng.randint(2, 9), rng.randint(-9, 9)
    c, d = (a, b) if rng.random() < 0.5 else (a + rng.choice((0, 1)), b + rng.choice((0, 1, -1)))
    return _line(rng, letter, a, b), _line(rng, rng.choice((letter, letter, letter, "x")), c, d)


def _factored(rng: random.Random) -> Pair:
    letter, a, b = rng.choice(_LETTERS), rng.randint(-6, 6), rng.randint(-6, 6)
    c, d = (a, b) if rng.random() < 0.6 else (a + 1, b)
    expanded = f"{letter}^2+{a + b}{letter}+{a * b}".replace("+-", "-")
    return expanded, f"({letter}+{c})({letter}+{d})".replace("+-", "-")


def _two_letters(rng: random.Random) -> Pair:
    x, y = rng.sample(_LETTERS, 2)
    a, b = rng.randint(2, 7), rng.randint(2, 7)
    left = rng.choice((f"{a}{x}+{b}{y}", f"{a}{x}{y}+{b}", f"({x}+{y})^2", f"\\frac{{{x}}}{{{y}}}", f"{x}^2{y}"))
    right = rng.choice(
        (f"{b}{y}+{a}{x}", f"{b}+{a}{y}{x}", f"{x}^2+2{x}{y}+{y}^2", f"{x}/{y}", f"{x}{x}{y}", f"{y}^2{x}")
    )
    return left, right


def _quotient(rng: random.Random) -> Pair:
    x, a, b = rng.choice(_LETTERS), rng.randint(1, 6), rng.randint(1, 6)
    left = rng.choice((f"\\frac{{{x}+{a}}}{{{b}}}", f"\\frac{{{a}}}{{{x}}}", f"\\frac{{{x}^2-{a * a}}}{{{x}-{a}}}"))
    right = rng.choice(
        (f"\\frac{{{x}}}{{{b}}}+\\frac{{{a}}}{{{b}}}", f"{a}{x}^{{-1}}", f"{x}+{a}", f"\\frac{{{x}+{b}}}{{{a}}}")
    )
    return left, right


def _decimal_line(rng: random.Random) -> Pair:
    x, a = rng.choice(_LETTERS), rng.choice((0.5, 0.25, 1.5, 0.1, 0.2, 2.4))
    b = Fraction(str(a)) if rng.random() < 0.6 else Fraction(str(a)) + Fraction(1, 10)
    return f"{a}{x}+1", f"1+\\frac{{{b.numerator}}}{{{b.denominator}}}{x}"


def _parts(rng: random.Random, count: int) -> tuple[list[str], list[str]]:
    values = [_number(rng, 12) for _ in range(count)]
    others = list(values)
    how = rng.randrange(5)
    if how == 0:
        rng.shuffle(others)
    elif how == 1:
        others[rng.randrange(count)] += 1
    elif how == 2:
        others.append(_number(rng, 12))
    return [_spelled(rng, v) for v in values], [_spelled(rng, v) for v in others]


def _tuple(rng: random.Random) -> Pair:
    left, right = _parts(rng, rng.randint(2, 4))
    return f"({','.join(left)})", f"({', '.join(right)})"


def _set(rng: random.Random) -> Pair:
    left, right = _parts(rng, rng.randint(1, 4))
    return f"\\{{{','.join(left)}\\}}", f"\\{{{', '.join(right)}\\}}"


def _list(rng: random.Random) -> Pair:
    left, right = _parts(rng, rng.randint(2, 4))
    return ",".join(left), rng.choice((", ".join(right), f"\\{{{','.join(right)}\\}}"))


def _interval(rng: random.Random) -> Pair:
    values = sorted({_number(rng, 12) for _ in range(2)})
    if len(values) < 2:
        return "[0,1]", "[0,1)"
    marks = rng.choice("(["), rng.choice(")]")
    others = marks if rng.random() < 0.6 else (rng.choice("(["), rng.choice(")]"))
    end = _spelled(rng, values[1]) if rng.random() < 0.7 else "\\infty"
    start = _spelled(rng, _other(rng, values[0]) if rng.random() < 0.5 else values[0])
    other_end = end if rng.random() < 0.7 else _spelled(rng, values[1] + 1)
    if end == "\\infty":
        marks, others = (marks[0], ")"), (others[0], ")")
    return f"{marks[0]}{_spelled(rng, values[0])},{end}{marks[1]}", f"{others[0]}{start},{other_end}{others[1]}"


def _union(rng: random.Random) -> Pair:
    a, b, c, d = sorted(rng.sample(range(-12, 12), 4))
    e = d if rng.random() < 0.5 else d + 1
    gold = f"({a},{b})\\cup({c},{d}]"
    return gold, rng.choice((f"({c},{e}]\\cup({a},{b})", f"({a},{b})\\cup[{c},{e}]", f"({a},{e}]"))


def _matrix(rng: random.Random) -> Pair:
    width, height = rng.choice(((2, 2), (1, 2), (3, 1)))
    cells = [_number(rng, 6) for _ in range(width * height)]
    others = [_other(rng, v) if rng.random() < 0.2 else v for v in cells]

    def written(values: list[Fraction], kind: str) -> str:
        rows = [values[i : i + width] for i in range(0, len(values), width)]
        body = r"\\".join("&".join(_spelled(rng, v) for v in row) for row in rows)
        return f"\\begin{{{kind}matrix}}{body}\\end{{{kind}matrix}}"

    return written(cells, "p"), written(others, rng.choice("pb"))


def _assignment(rng: random.Random) -> Pair:
    x, value = rng.choice(_LETTERS), _number(rng, 20)
    other = _spelled(rng, _other(rng, value))
    gold = rng.choice((f"{x}={_spelled(rng, value)}", _spelled(rng, value)))
    return gold, rng.choice((f"{x}={other}", other, f"{rng.choice(_LETTERS)}={other}"))


def _inequality(rng: random.Random) -> Pair:
    x, value, sign = rng.choice(_LETTERS), _number(rng, 20), rng.choice(("<", ">", "\\le ", "\\ge "))
    flipped = {"<": ">", ">": "<", "\\le ": "\\ge ", "\\ge ": "\\le "}[sign]
    other = _spelled(rng, _other(rng, value))
    answer = rng.choice((f"{x}{sign}{other}", f"{other}{flipped}{x}", f"{x}{flipped}{other}"))
    return f"{x}{sign}{_spelled(rng, value)}", answer


def _equation(rng: random.Random) -> Pair:
    a, b, c = rng.randint(2, 6), rng.randint(2, 6), rng.randint(1, 9)
    d = c if rng.random() < 0.6 else c + 1
    return f"{a}x+{b}y={c}", rng.choice((f"{b}y+{a}x={d}", f"{d}={a}x+{b}y", f"{a}x={d}-{b}y"))


def _curve(rng: random.Random) -> Pair:
    a, b = rng.randint(2, 6), rng.randint(1, 9)
    c = b if rng.random() < 0.6 else b + 1
    return f"y={a}x+{b}", rng.choice((f"y={c}+{a}x", f"{a}x+{c}", f"y={a}(x+1)+{c - a}".replace("+-", "-")))


def _function(rng: random.Random) -> Pair:
    name, x, a = rng.choice(("sin", "cos", "tan", "ln", "exp", "log")), rng.choice("xyt"), rng.randint(2, 5)
    command = "\\log_2" if name == "log" else f"\\{name}"
    left = rng.choice((f"{command}({x})", f"{a}{command}({a}{x})", f"{command}({a})", f"{x}^{a}+{command}({x})"))
    right = rng.choice((left, f"{command}({x})", f"{a}{command}({x})", f"{command}({a}{x}){a}", f"{command}({a + 1})"))
    return left, right


def _complex(rng: random.Random) -> Pair:
    a, b = rng.randint(-6, 6), rng.randint(2, 6)
    c, d = (a, b) if rng.random() < 0.5 else rng.choice(((b, a), (a, b + 1), (-a, b)))
    return f"{a}+{b}i", rng.choice((f"{d}i+{c}", f"{c}+{d}\\cdot i", f"{c}+{d}i", f"{c}")).replace("+-", "-")


def _exponential(rng: random.Random) -> Pair:
    x, a = rng.choice("xnt"), rng.randint(2, 5)
    left = rng.choice((f"{a}^{{{x}}}", f"e^{{{x}}}", f"{a}^{{{x}+1}}", f"e^{a}", f"{a}e"))
    right = rng.choice((left, f"{a}\\cdot {a}^{{{x}}}", f"{a}{x}", f"{x}^{a}", f"e^{{{a}{x}}}", f"e\\cdot e^{a - 1}"))
    return left, right


def _unit(rng: random.Random) -> Pair:
    value = _number(rng)
    unit = rng.choice(
        (" cm", "\\text{ cm}", "\\text{ apples}", " degrees", "^{\\circ}", "\\text{ m}^2", "m", "c", "d", "s")
    )
    return _spelled(rng, value), _spelled(rng, _other(rng, value)) + unit


_USUAL: tuple[Callable[[random.Random], Pair], ...] = (_rational, _rational, _rounded, _percent, _power, _complex)
_KINDS: tuple[Callable[[random.Random], Pair], ...] = (  # plain numbers half of the time, as gold answers are
    *(_USUAL * 5),
    *(_surd, _surd, _inverse_surd, _root, _pi, _linear, _factored, _two_letters, _quotient, _decimal_line, _tuple),
    *(_set, _list, _list, _interval, _union, _matrix, _assignment, _assignment, _inequality, _equation, _curve),
    *(_function, _exponential, _unit, _unit),
)
