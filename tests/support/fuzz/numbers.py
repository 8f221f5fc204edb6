r"""Numbers for the fuzzer: whole, broken, mixed, decimal, recurring, percent, money, scientific, powers, bases."""

from __future__ import annotations

from fractions import Fraction

from support.fuzz.kinds import Kind, Rng, another, exact_decimal, fraction, small, unlike

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_SMALL_WORDS = dict(enumerate(_WORDS))
_VULGAR = {Fraction(1, 2): "½", Fraction(1, 4): "¼", Fraction(3, 4): "¾", Fraction(1, 3): "⅓", Fraction(2, 3): "⅔"}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _integer(rng: Rng) -> int:
    return rng.randint(*rng.choice(((0, 12), (-99, 999), (-999, 10**5), (10**3, 10**9))))


def _spell_integer(rng: Rng, value: int) -> str:
    ways = [str(value)] * 6 + [f"{value}.0", f"{value}.00", f"({value})", f"{2 * value}/2", f"{value:,}"]
    ways += [f"{value:,}".replace(",", "{,}"), f"{value:,}".replace(",", "\\,"), f"\\mathbf{{{value}}}"]
    if value < 0:
        ways.append(f"\u2212{-value}")
    else:
        ways += [f"+{value}", f"0{value}" if value > 9 else str(value), f"\\text{{{value}}}"]
    if value in _SMALL_WORDS:
        ways += [_SMALL_WORDS[value], f"{value} ({_SMALL_WORDS[value]})"]
    if value and value % 1000 == 0:
        ways += scientific(rng, Fraction(value))
    return rng.choice(ways)


@unlike
def _other_integer(rng: Rng, value: int) -> int:
    text = str(value)
    ways = [value + 1, value - 1, -value, value * 10, value // 10, value + 10 ** rng.randint(0, len(text))]
    ways += [int(text[0] + text[:0:-1]) if value > 9 else value + 2, int(text + text[-1]), value * 1000]
    return rng.choice(ways)


def scientific(rng: Rng, value: Fraction) -> list[str]:
    """A number other than 0 as mantissa and power of ten."""
    power, mantissa = 0, value
    while abs(mantissa) >= 10:
        mantissa, power = mantissa / 10, power + 1
    while abs(mantissa) < 1:
        mantissa, power = mantissa * 10, power - 1
    digits = exact_decimal(mantissa)
    if digits is None:
        return []
    ways = [
        f"{digits} \\times 10^{{{power}}}",
        f"{digits}\\cdot10^{{{power}}}",
        f"{digits}e{power}",
        f"{digits}E{power}",
    ]
    ways += [f"{digits}e{power:+03d}", f"{digits} x 10^{power}", f"{digits}*10^{power}", f"{digits}*10**{power}"]
    ways += [f"{digits} × 10{str(power).translate(_SUPERSCRIPT)}", f"{digits}\\mathrm{{E}}{power}"]
    return ways


def _in_powers_of_ten(rng: Rng) -> Fraction:
    return Fraction(rng.randint(11, 999), 10 ** rng.randint(1, 2)) * Fraction(10) ** rng.randint(-9, 24)


def _spell_scientific(rng: Rng, value: Fraction) -> str:
    ways = scientific(rng, value)
    decimal = exact_decimal(value)
    return rng.choice([*ways, decimal] if decimal and len(decimal) < 15 else ways)


def _other_power_of_ten(rng: Rng, value: Fraction) -> Fraction:
    return rng.choice((value * 10, value / 10, -value, value * 2, value * 1000))


def _broken(rng: Rng) -> Fraction:
    return Fraction(rng.randint(-200, 200) or 7, rng.randint(2, 60))


def _spell_broken(rng: Rng, value: Fraction) -> str:
    if value in _VULGAR and rng.random() < 0.2:
        return _VULGAR[value]
    if rng.random() < 0.1:
        return f"\\frac{{{-value.numerator}}}{{{-value.denominator}}}"
    return fraction(rng, value)


def _mixed(rng: Rng) -> Fraction:
    bottom = rng.randint(2, 12)
    return rng.randint(1, 30) + Fraction(rng.randint(1, bottom - 1), bottom)


def _spell_mixed(rng: Rng, value: Fraction) -> str:
    units, rest = divmod(value, 1)
    top, bottom = rest.numerator, rest.denominator
    if units < 1 or top == 0:
        return fraction(rng, value)
    ways = [f"{units}\\frac{{{top}}}{{{bottom}}}"] * 3 + [f"{units}\\,\\dfrac{{{top}}}{{{bottom}}}"]
    ways += [f"{units} {top}/{bottom}", f"{units} \\frac{{{top}}}{{{bottom}}}", f"{units} + {top}/{bottom}"]
    if rest in _VULGAR:
        ways.append(f"{units}{_VULGAR[rest]}")
    return rng.choice([*ways, fraction(rng, value), fraction(rng, value)])


@unlike
def _other_mixed(rng: Rng, value: Fraction) -> Fraction:
    units, rest = divmod(value, 1)
    glued = Fraction(int(f"{units}{rest.numerator}"), rest.denominator)
    return rng.choice((units * rest, glued, units - rest, value + 1, rest, Fraction(units), rest + units + rest))


def _decimal(rng: Rng) -> Fraction:
    return Fraction(rng.randint(-(10**5), 10**6), 10 ** rng.randint(1, 4))


def _spell_decimal(rng: Rng, value: Fraction) -> str:
    text = str(exact_decimal(value))
    ways = [text] * 4 + [text + "0" if "." in text else text + ".0", fraction(rng, value)]
    if 0 < value < 1:
        ways.append(text[1:])
    if value:
        ways += scientific(rng, value)
    if abs(value) >= 1000 and "." in text:
        head, _, tail = text.partition(".")
        ways += [f"{int(head):,}.{tail}", f"{int(head):,}".replace(",", "{,}") + "." + tail]
    return rng.choice(ways)


@unlike
def _other_decimal(rng: Rng, value: Fraction) -> Fraction:
    return rng.choice((value * 10, value / 10, value + Fraction(1, 100), value - Fraction(1, 1000), -value, value + 1))


def _recurring(rng: Rng) -> tuple[int, str]:
    digits = str(rng.randint(1, 98))
    return rng.randint(0, 9), "7" if digits == "9" or len(digits) > len(set(digits)) else digits


def _spell_recurring(rng: Rng, value: tuple[int, str]) -> str:
    units, digits = value
    exact = units + Fraction(int(digits), 10 ** len(digits) - 1)
    dots = f"{units}.{digits * (6 // len(digits))}"
    ways = [f"{units}.\\overline{{{digits}}}", f"{units}.({digits})", f"{dots}\\ldots", f"{dots}..."]
    return rng.choice([*ways, f"\\frac{{{exact.numerator}}}{{{exact.denominator}}}", str(exact)])


def _other_recurring(rng: Rng, value: tuple[int, str]) -> tuple[int, str]:
    units, digits = value
    last = str((int(digits[-1]) + rng.choice((1, 2, 3))) % 9)
    changed = digits[:-1] + last
    return rng.choice(((units + 1, digits), (units, changed if set(changed) - {"0"} else "5"), (units + 2, digits)))


def _percent(rng: Rng) -> Fraction:
    return Fraction(rng.choice((rng.randint(1, 100), rng.randint(1, 1000))), rng.choice((1, 1, 1, 2, 4))) + 1


def _spell_percent(rng: Rng, value: Fraction) -> str:
    text = exact_decimal(value)
    return rng.choice(
        (f"{text}\\%", f"{text}%", f"{text} %", f"{text}\\ \\%", f"{text} percent", f"{text}\\text{{ percent}}")
    )


def _as_a_share(rng: Rng, value: Fraction) -> str:
    return fraction(rng, value / 100)


@unlike
def _other_percent(rng: Rng, value: Fraction) -> Fraction:
    return rng.choice((value + 1, value * 10, -value, value / 10, 100 - value, value + Fraction(1, 2)))


def _cents(rng: Rng) -> int:
    return rng.choice((rng.randint(1, 99) * 100, rng.randint(1, 10**6), rng.randint(1, 9999) * 5))


def _spell_money(rng: Rng, value: int) -> str:
    exact = f"{value // 100}.{value % 100:02d}"
    short = exact.removesuffix(".00")
    comma = f"{value // 100:,}" + exact[-3:].removesuffix(".00")
    ways = [f"\\${short}"] * 4 + [f"\\${exact}", f"\\${comma}", short, f"{short} dollars", f"\\${short} dollars"]
    return rng.choice([*ways, f"\\text{{\\${exact}}}", f"{exact}\\text{{ dollars}}", f"US\\${short}", f"{exact} USD"])


@unlike
def _other_cents(rng: Rng, value: int) -> int:
    return rng.choice((value + 1, value + 100, value * 10, abs(value - 100), value + 10))


def _power(rng: Rng) -> tuple[int, int]:
    return rng.choice((2, 3, 5, 6, 7, 10, 12, 15)), rng.choice(
        (rng.randint(2, 7), rng.randint(8, 40), -rng.randint(1, 6))
    )


def _spell_power(rng: Rng, value: tuple[int, int]) -> str:
    base, n = value
    ways = [f"{base}^{{{n}}}"] * 3 + [f"{base}**{n}" if n > 0 else f"{base}**({n})", f"{base}\\cdot {base}^{{{n - 1}}}"]
    ways += [f"({base})^{{{n}}}", f"\\frac{{{base}^{{{n + 2}}}}}{{{base * base}}}"]
    if 0 < n < 10:
        ways += [str(base**n), f"{base}^{n}", f"{base**n:,}", f"{base}{str(n).translate(_SUPERSCRIPT)}"]
    if n < 0:
        ways += [f"\\frac{{1}}{{{base}^{{{-n}}}}}", f"1/{base**-n}"]
    return rng.choice(ways)


def _other_power(rng: Rng, value: tuple[int, int]) -> tuple[int, int]:
    base, n = value
    return rng.choice(((base, n + 1), (base, n - 1), (base + 1, n), (base, -n)))


def _in_base(rng: Rng) -> tuple[int, int]:
    return rng.randint(30, 4000), rng.choice((2, 3, 5, 7, 8, 9))


def _spell_in_base(rng: Rng, value: tuple[int, int]) -> str:
    number, base = value
    digits = ""
    while number:
        number, digit = divmod(number, base)
        digits = str(digit) + digits
    return rng.choice(
        (f"{digits}_{base}", f"{digits}_{{{base}}}", f"({digits})_{{{base}}}", f"\\text{{{digits}}}_{{{base}}}")
    )


def _other_in_base(rng: Rng, value: tuple[int, int]) -> tuple[int, int]:
    return value[0] + rng.choice((1, -1, 7, value[1])), value[1]


def _hexadecimal(rng: Rng, value: int) -> str:
    return rng.choice((hex(value), hex(value), hex(value).upper().replace("X", "x")))


def _radical(rng: Rng) -> tuple[int, int, int, int]:
    """`(a + b sqrt(c)) / d`."""
    return (
        rng.randint(-9, 9),
        rng.choice((1, 2, 3, 5, -2)),
        rng.choice((2, 3, 5, 6, 7, 10, 13)),
        rng.choice((1, 1, 2, 3, 4)),
    )


def _spell_radical(rng: Rng, value: tuple[int, int, int, int]) -> str:
    a, b, c, d = value
    root = f"\\sqrt{{{c}}}" if b == 1 else f"{b}\\sqrt{{{c}}}" if b > 0 else f"-{-b}\\sqrt{{{c}}}"
    if a == 0:
        ways = [
            root if d == 1 else f"\\frac{{{root}}}{{{d}}}",
            f"{Fraction(b, d)}\\cdot\\sqrt{{{c}}}",
            f"{b}*sqrt({c})/{d}",
        ]
        ways.append(f"\\frac{{{b * c}}}{{{d}\\sqrt{{{c}}}}}")
    else:
        sign = "-" if b < 0 else "+"
        size = "" if abs(b) == 1 else str(abs(b))
        ways = [f"\\frac{{{a}{sign}{size}\\sqrt{{{c}}}}}{{{d}}}", f"({a}{sign}{abs(b)}*sqrt({c}))/{d}"]
        ways += [f"\\frac{{{root}}}{{{d}}}+\\frac{{{a}}}{{{d}}}", f"\\frac{{{a}{sign}\\sqrt{{{b * b * c}}}}}{{{d}}}"]
        if d == 1:
            ways += [f"{a}{sign}{size}\\sqrt{{{c}}}", f"{a} {sign} {size}√{c}", f"{root}{a:+d}"]
    return rng.choice(ways)


def _other_radical(rng: Rng, value: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    a, b, c, d = value
    return rng.choice(((a + d, b, c, d), (a, -b, c, d), (a, b, c + 9, d), (-a - 1, b, c, d), (a, b * 5, c, d)))


def _of_pi(rng: Rng, value: Fraction) -> str:
    top, bottom = value.numerator, value.denominator
    ways = [f"\\frac{{{top}\\pi}}{{{bottom}}}", f"{fraction(rng, value)}\\pi", f"{top}*pi/{bottom}", f"{top}π/{bottom}"]
    ways += [f"{value}*pi" if bottom == 1 else f"({value})*pi", f"\\pi\\cdot\\frac{{{top}}}{{{bottom}}}"]
    return rng.choice(ways)


def _logarithm(rng: Rng) -> tuple[int, int]:
    return rng.randint(2, 6), rng.choice((2, 3, 5, 6, 7, 10))


def _spell_logarithm(rng: Rng, value: tuple[int, int]) -> str:
    a, b = value
    ways = [f"{a}\\ln {b}", f"{a}\\ln({b})", f"{a} \\ln{{{b}}}", f"\\ln {b**a}", f"{a}*ln({b})", f"\\ln({b}^{a})"]
    return rng.choice([*ways, f"{a}\\log_e {b}", f"{a - 1}\\ln {b}+\\ln {b}"])


def _other_logarithm(rng: Rng, value: tuple[int, int]) -> tuple[int, int]:
    return rng.choice(((value[0] + 1, value[1]), (value[0], value[1] + 1)))


NUMBERS: dict[str, tuple[int, Kind]] = {
    "integer": (10, Kind(_integer, _spell_integer, _other_integer)),
    "fraction": (8, Kind(_broken, _spell_broken, another)),
    "mixed": (4, Kind(_mixed, _spell_mixed, _other_mixed)),
    "decimal": (6, Kind(_decimal, _spell_decimal, _other_decimal)),
    "recurring": (2, Kind(_recurring, _spell_recurring, _other_recurring)),
    "scientific": (4, Kind(_in_powers_of_ten, _spell_scientific, _other_power_of_ten)),
    "percent": (4, Kind(_percent, _spell_percent, _other_percent, _as_a_share)),
    "money": (4, Kind(_cents, _spell_money, _other_cents)),
    "power": (4, Kind(_power, _spell_power, _other_power)),
    "base": (2, Kind(_in_base, _spell_in_base, _other_in_base)),
    "hexadecimal": (1, Kind(lambda rng: rng.randint(16, 10**9), _hexadecimal, _other_integer)),
    "radical": (5, Kind(_radical, _spell_radical, _other_radical)),
    "pi": (3, Kind(small, _of_pi, another)),
    "logarithm": (1, Kind(_logarithm, _spell_logarithm, _other_logarithm)),
}
