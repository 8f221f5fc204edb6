"""What `verify_math.py` judges: pairs of gold and answer and whole responses, made here, the same for a seed.

Every set holds distinct pairs with distinct golds, so that no cache of either side can answer one, and half of the
answers are wrong. Nothing comes from a published set or from another project's tests.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from fractions import Fraction

Pair = tuple[str, str]
Maker = Callable[[random.Random], Pair]


def distinct(makers: list[tuple[float, Maker]], count: int, seed: int) -> list[Pair]:
    """`count` pairs with different golds, by weighted makers."""
    rng = random.Random(seed)
    seen: set[str] = set()
    made: list[Pair] = []
    weights, functions = [w for w, _ in makers], [m for _, m in makers]
    for maker in _endless(rng, functions, weights):
        gold, answer = maker(rng)
        if gold not in seen:
            seen.add(gold)
            made.append((gold, answer))
        if len(made) == count:
            return made
    return made


def _endless(rng: random.Random, functions: list[Maker], weights: list[float]) -> Iterator[Maker]:
    while True:
        yield rng.choices(functions, weights)[0]


def _same(rng: random.Random) -> bool:
    return rng.random() < 0.5


# ---------------------------------------------------------------- (a) simple answers


def integer(rng: random.Random) -> Pair:
    value = rng.randint(-(10**6), 10**6)
    return str(value), rng.choice((str(value), f"{value:,}")) if _same(rng) else str(value + rng.choice((1, -1, 10)))


def decimal(rng: random.Random) -> Pair:
    value = rng.randint(1, 10**7) / 1000
    return f"{value:.3f}", f"{value:.4f}" if _same(rng) else f"{value + 0.5:.3f}"


def fraction(rng: random.Random) -> Pair:
    value = Fraction(rng.randint(-400, 400), rng.randint(2, 400))
    other = value if _same(rng) else value + Fraction(1, 7)
    times = rng.randint(1, 4)
    return (
        f"\\frac{{{value.numerator}}}{{{value.denominator}}}",
        rng.choice((f"{other}", f"\\frac{{{times * other.numerator}}}{{{times * other.denominator}}}")),
    )


def percent(rng: random.Random) -> Pair:
    value = rng.randint(1, 10**5) / 100
    return f"{value:g}\\%", f"{value:g}\\%" if _same(rng) else f"{value + 1:g}\\%"


SIMPLE: list[tuple[float, Maker]] = [(5, integer), (2, decimal), (2, fraction), (1, percent)]


# ---------------------------------------------------------------- (c) mixed LaTeX


def surd(rng: random.Random) -> Pair:
    a, b, c = rng.randint(2, 40), rng.choice((2, 3, 5, 6, 7, 11, 13)), rng.randint(1, 60)
    other = a if _same(rng) else a + 1
    return f"{c}+{a}\\sqrt{{{b}}}", f"\\sqrt{{{other * other * b}}}+{c}"


def rationalised(rng: random.Random) -> Pair:
    a, b = rng.randint(1, 99), rng.choice((2, 3, 5, 6, 7, 10, 11))
    return f"\\frac{{{a}}}{{\\sqrt{{{b}}}}}", f"\\frac{{{a}\\sqrt{{{b}}}}}{{{b if _same(rng) else b + 1}}}"


def multiple_of_pi(rng: random.Random) -> Pair:
    a, b = rng.randint(1, 99), rng.randint(2, 30)
    return f"\\frac{{{a}\\pi}}{{{b}}}", f"\\frac{{{a}}}{{{b if _same(rng) else b + 1}}}\\pi"


def quadratic(rng: random.Random) -> Pair:
    a, b = rng.randint(-30, 30), rng.randint(1, 30)
    c = a if _same(rng) else a + 1
    return f"x^2+{a + b}x+{a * b}".replace("+-", "-"), f"(x+{c})(x+{b})".replace("+-", "-")


def line(rng: random.Random) -> Pair:
    a, b = rng.randint(2, 40), rng.randint(1, 90)
    return f"y={a}x+{b}", f"y={b if _same(rng) else b + 1}+{a}x"


def point(rng: random.Random) -> Pair:
    a, b, c = Fraction(rng.randint(-40, 40), rng.randint(1, 9)), rng.randint(-50, 50), rng.randint(-9, 9)
    other = a if _same(rng) else a + 1
    return f"({a},{b},{c})", f"\\left(\\frac{{{other.numerator}}}{{{other.denominator}}}, {b}, {c}\\right)"


def interval(rng: random.Random) -> Pair:
    a = rng.randint(-60, 60)
    b = a + rng.randint(1, 60)
    return f"[{a},{b})", f"[{a}, {b})" if _same(rng) else rng.choice((f"[{a}, {b}]", f"[{a}, {b + 1})"))


def solution_set(rng: random.Random) -> Pair:
    values = rng.sample(range(-40, 60), rng.randint(2, 4))
    others = values[::-1] if _same(rng) else [*values[:-1], values[-1] + 100]
    return f"\\{{{','.join(map(str, values))}\\}}", f"\\{{{', '.join(map(str, others))}\\}}"


def matrix(rng: random.Random) -> Pair:
    cells = [rng.randint(-20, 20) for _ in range(4)]
    others = list(cells)
    if not _same(rng):
        others[rng.randrange(4)] += 1

    def written(v: list[int], kind: str) -> str:
        return f"\\begin{{{kind}matrix}}{v[0]}&{v[1]}\\\\{v[2]}&{v[3]}\\end{{{kind}matrix}}"

    return written(cells, "p"), written(others, rng.choice("pb"))


def inequality(rng: random.Random) -> Pair:
    a = rng.randint(-99, 99)
    return f"x>{a}", rng.choice((f"{a}<x", f"x > {a}")) if _same(rng) else rng.choice((f"x<{a}", f"x\\ge {a}"))


def complex_number(rng: random.Random) -> Pair:
    a, b = rng.randint(1, 60), rng.randint(2, 60)
    return f"{a}+{b}i", f"{b}i+{a}" if _same(rng) else f"{a}-{b}i"


def power(rng: random.Random) -> Pair:
    a, n = rng.randint(2, 30), rng.randint(2, 9)
    return f"{a}^{{{n}}}", str(a**n) if _same(rng) else str(a**n + 1)


def assignment(rng: random.Random) -> Pair:
    value = Fraction(rng.randint(-200, 200), rng.randint(1, 12))
    other = value if _same(rng) else -value + 1
    return str(value), f"x=\\frac{{{other.numerator}}}{{{other.denominator}}}"


def quantity(rng: random.Random) -> Pair:
    value = rng.randint(1, 5000) / 10
    return f"{value:g}\\text{{ cm}}", f"{value if _same(rng) else value + 1:g} cm"


def logarithm(rng: random.Random) -> Pair:
    a, n = rng.randint(2, 60), rng.randint(2, 5)
    return f"\\ln {a**n}", f"{n if _same(rng) else n + 1}\\ln {a}"


def identity(rng: random.Random) -> Pair:
    a = rng.randint(2, 60)
    return f"{a}\\sin(2x)", f"{2 * a if _same(rng) else 2 * a + 1}\\sin x\\cos x"


def exponential(rng: random.Random) -> Pair:
    a, b = rng.randint(2, 40), rng.randint(1, 20)
    return f"{a}\\cdot 2^{{n+{b}}}", f"{a * 2}\\cdot 2^{{n+{b - 1 if _same(rng) else b}}}"


MIXED: list[tuple[float, Maker]] = [
    *((6, maker) for maker in (integer, fraction)),
    *((2, maker) for maker in (decimal, percent, surd, multiple_of_pi, quadratic, point, interval, solution_set)),
    *((2, maker) for maker in (assignment, quantity, power, inequality, line)),
    *((1, maker) for maker in (rationalised, matrix, complex_number, logarithm, identity, exponential)),
]
"""A third plain numbers; the rest what gold answers of contests hold, a tenth of it beyond the exact path."""


# ---------------------------------------------------------------- (b) whole responses

_SENTENCES = (
    "Let $x_{i}$ be the number of pages read on day {i}; then $x_{i} = {a} + {b}i$ for each of the {c} days.",
    "Adding the terms gives ${a} + {b} = {s}$, and multiplying by ${c}$ gives ${s} \\cdot {c} = {p}$.",
    "We can check this against the other condition: \\({p} - {a} = {q}\\), which is consistent with what we are told.",
    "Since \\(\\frac{{{a}}}{{{c}}} = {r:.2f}\\) is not an integer, we must look at the remainder more carefully.",
    "So far we have used {a} of the {p} units, which leaves {q} units for the rest of the week.",
    "Therefore the next quantity is\n\\[ {a} \\times {b} - {c} = {t}. \\]",
    "Now substitute back into the equation and simplify; the terms with ${b}$ cancel and only ${t}$ remains.",
)
_ENDINGS = (
    *("Thus the final answer is $\\boxed{{{answer}}}$.",) * 6,
    "\\[\n\\boxed{{{answer}}}\n\\]",
    "The answer is ${answer}$.",
    "**Final Answer:** ${answer}$",
)


def response(rng: random.Random, answer: str, length: int = 1000) -> str:
    """About so many characters of working that ends with an answer."""
    text = ""
    while not text or len(text) < length - 100:
        a, b, c, i = (rng.randint(2, 90) for _ in range(4))
        values = {"a": a, "b": b, "c": c, "i": i, "s": a + b, "p": (a + b) * c, "r": a / c, "t": a * b - c}
        text += rng.choice(_SENTENCES).format(**values, q=values["p"] - a) + rng.choice((" ", "\n\n"))
    return text + rng.choice(_ENDINGS).format(answer=answer)


RESPONSES: list[tuple[float, Maker]] = [
    (10, integer),
    *((2, maker) for maker in (fraction, decimal)),
    *((1, maker) for maker in (surd, multiple_of_pi, quadratic, point, interval, assignment)),
]


# ---------------------------------------------------------------- (d) adversarial

_UNION = [f"({i},{i + 0.5})" for i in range(150)]
_DETERMINANT = "\\\\".join("&".join(f"x_{{{r}{c}}}" for c in range(7)) for r in range(7))
_ROOTS = "\\sqrt{1+\\sqrt{2+\\sqrt{3+\\sqrt{5+\\sqrt{6+\\sqrt{7+\\sqrt{8+x}}}}}}}"
ADVERSARIAL: list[Pair] = [
    ("5", "9^{9^{9^9}}"), ("5", "9**9**9**9"), ("5", "10^6!"), ("5", "10^9!"), ("5", "((10!)!)!"), ("5", "3^{10^8}"),
    ("5", "\\binom{10^7}{5\\cdot 10^6}"), ("5", "\\sum_{k=1}^{10^6}\\frac{1}{k}"), ("5", "\\prod_{k=1}^{10^6} k"),
    ("3^{10^8}", "3^{10^8-1}\\cdot 3"), ("5", "\\gcd(10^{10^9},3)"), ("5", "(x+1)^{10^5}"), ("5", "2^{10^9}"),
    ("5", "\\frac{1}{" * 1000 + "2" + "}" * 1000), ("5", "(" * 300 + "1" + ")" * 300), ("5", "1+" * 30_000 + "1"),
    ("5", "7" * 45_000), ("5", "\\sqrt{" * 12 + "x" + "+1}" * 12),
    ("5", "+".join(f"\\cos({i}x+{i + 1})^{{{i}}}" for i in range(1, 30))), ("5", "(x+y+z+w)^{900}"),
    ("x", "\\left(\\left(2^{9999}\\right)^{9999}\\right)^{999}"), ("5", "(a+b+c+d+e)^{300}-(a-b)^{299}"),
    ("\\cup".join(_UNION), "\\cup".join(reversed(_UNION))),
    ("5", "\\begin{vmatrix}" + _DETERMINANT + "\\end{vmatrix}"),
    ("x", _ROOTS + "-\\sqrt{y+\\sqrt{z+\\sqrt{x+\\sqrt{2}}}}"),
    ("\\sin^{40}x+\\cos^{40}x=1", "\\sin^{38}x+\\cos^{38}x=1"), ("5", "\\int_0^1 x^{200}(1-x)^{200}\\sin^{9}(x)dx"),
    ("5", "\\lim_{x\\to 0}\\frac{\\sin^{30}(x)-x^{30}}{x^{32}}"), ("5", "((((x+1)^9+1)^9+1)^9+1)^9"),
    ("x^5-x-1=0", "x^5-x-1.0000001=0"), ("5", "\\left(\\sum_{i=1}^{900}\\sum_{j=1}^{900} ij\\right)"),
]  # fmt: skip
