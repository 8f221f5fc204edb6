r"""Answers with words for the fuzzer: quantities, durations, times of day, dates, words, choices, counted things."""

from __future__ import annotations

from fractions import Fraction

from support.fuzz.kinds import Kind, Rng, exact_decimal, fraction

_UNITS: dict[str, tuple[str, ...]] = {
    "cm": ("cm", "centimeters", "centimetres"), "m": ("m", "meters", "metres"), "km": ("km", "kilometers"),
    "kg": ("kg", "kilograms"), "g": ("g", "grams"), "s": ("s", "seconds"), "h": ("hours", "h"),
    "m/s": ("m/s", "meters per second"), "km/h": ("km/h", "kilometers per hour"), "mph": ("mph", "miles per hour"),
    "cm^2": ("cm^2", "square centimeters", "square cm"), "m^3": ("m^3", "cubic meters"), "J": ("J", "joules"),
    "N": ("N", "newtons"), "L": ("L", "liters", "litres"), "degrees": ("degrees", "^\\circ"), "ft": ("ft", "feet"),
    "kJ/mol": ("kJ/mol",), "m/s^2": ("m/s^2",), "eV": ("eV",), "W": ("W", "watts"), "Hz": ("Hz", "hertz"),
}  # fmt: skip
_OTHER_SCALE = {"cm": "m", "m": "km", "km": "m", "kg": "g", "g": "kg", "s": "h", "h": "s", "cm^2": "cm", "m^3": "m"}

Quantity = tuple[Fraction, str]


def _quantity(rng: Rng) -> Quantity:
    return Fraction(rng.randint(1, 2000), rng.choice((1, 1, 2, 10))) + 1, rng.choice(list(_UNITS))


def _spell_quantity(rng: Rng, value: Quantity) -> str:
    number, unit = value
    text = exact_decimal(number) or fraction(rng, number)
    name = rng.choice(_UNITS[unit])
    if name == "^\\circ":
        return f"{text}^{{\\circ}}"
    if " " in name or (name.isalpha() and len(name) > 3):
        return rng.choice((f"{text} {name}", f"{text}\\text{{ {name}}}", f"{text} \\text{{ {name}}}"))
    typeset = name if "^" not in name else f"{name[:-1]}{{{name[-1]}}}"
    ways = [f"{text}\\text{{ {name}}}" if "^" not in name else f"{text}\\text{{ {name[:-2]}}}^{name[-1]}"] * 2
    ways += [f"{text} {name}", f"{text}\\,\\mathrm{{{typeset}}}", f"{text}\\ \\mathrm{{{typeset}}}", f"{text}{name}"]
    return rng.choice(ways)


def _other_quantity(rng: Rng, value: Quantity) -> Quantity:
    number, unit = value
    ways = [(number + 1, unit), (number * 10, unit), (number + Fraction(1, 10), unit)]
    if unit in _OTHER_SCALE:
        ways.append((number, _OTHER_SCALE[unit]))
    return rng.choice(ways)


def _without_unit(rng: Rng, value: Quantity) -> str:
    return exact_decimal(value[0]) or fraction(rng, value[0])


def _other_number(rng: Rng, value: Quantity) -> Quantity:
    return value[0] + rng.choice((1, 10, Fraction(1, 4))), value[1]


_THINGS = ("apples", "books", "students", "marbles", "tickets", "ways", "boxes")


def _counted(rng: Rng) -> tuple[int, str]:
    return rng.randint(2, 400), rng.choice(_THINGS)


def _spell_counted(rng: Rng, value: tuple[int, str]) -> str:
    number, thing = value
    return rng.choice(
        (str(number), str(number), f"{number} {thing}", f"{number}\\text{{ {thing}}}", f"{number} ({thing})")
    )


def _other_counted(rng: Rng, value: tuple[int, str]) -> tuple[int, str]:
    return value[0] + rng.choice((1, 2, 10, 100)), value[1]


def _duration(rng: Rng) -> int:
    return rng.choice((rng.randint(1, 12) * 30, rng.randint(61, 900), rng.randint(1, 20) * 60)) + 60


def _spell_duration(rng: Rng, value: int) -> str:
    hours, minutes = divmod(value, 60)
    ways = [f"{value} minutes", f"{value}\\text{{ minutes}}", f"{value} min"]
    if minutes:
        ways += [f"{hours} hours {minutes} minutes", f"{hours} hours and {minutes} minutes", f"{hours} h {minutes} min"]
        ways += [f"{hours}\\text{{ hours }}{minutes}\\text{{ minutes}}"]
    exact = exact_decimal(Fraction(value, 60))
    if exact:
        ways += [f"{exact} hours", f"{exact}\\text{{ hours}}"]
    return rng.choice(ways)


def _other_duration(rng: Rng, value: int) -> int:
    return value + rng.choice((1, 10, 60, -1))


def _time(rng: Rng) -> int:
    return rng.randint(0, 24 * 60 - 1)


def _spell_time(rng: Rng, value: int) -> str:
    hours, minutes = divmod(value, 60)
    half, twelve = ("AM", "PM")[hours >= 12], (hours - 1) % 12 + 1
    ways = [f"{twelve}:{minutes:02d} {half}", f"{twelve}:{minutes:02d}\\text{{ {half}}}", f"{hours:02d}:{minutes:02d}"]
    dotted = half[0].lower() + ".m."
    ways += [
        f"{twelve}:{minutes:02d} {half.lower()}",
        f"{twelve}:{minutes:02d} {dotted}",
        f"{twelve}{{:}}{minutes:02d}\\ \\text{{{half}}}",
    ]
    return rng.choice(ways)


def _other_time(rng: Rng, value: int) -> int:
    return (value + rng.choice((1, 9, 60, 12 * 60))) % (24 * 60)


_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def _date(rng: Rng) -> tuple[int, int, int]:
    return rng.randint(1990, 2030), rng.randint(1, 12), rng.randint(1, 28)


def _spell_date(rng: Rng, value: tuple[int, int, int]) -> str:
    year, month, day = value
    name = _MONTHS[month - 1]
    text = f"{name} {day}, {year}"
    return rng.choice((text, text, f"\\text{{{text}}}", f"{day} {name} {year}", f"{name[:3]} {day}, {year}"))


def _other_date(rng: Rng, value: tuple[int, int, int]) -> tuple[int, int, int]:
    year, month, day = value
    return rng.choice(((year + 1, month, day), (year, month % 12 + 1, day), (year, month, day % 28 + 1)))


_GROUPS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("Yes", "yes", "YES", "True"), ("No", "no", "NO", "False")),
    (("converges", "Converges", "convergent"), ("diverges", "divergent")),
    (("ellipse", "an ellipse", "Ellipse"), ("parabola", "a parabola"), ("hyperbola",), ("circle", "a circle")),
    (("no solution", "No solution", "no solutions"), ("infinitely many solutions",)),
    (("does not exist", "Does not exist", "DNE"), ("0",)),
    (("Alice", "\\text{Alice}"), ("Bob",), ("Carol",)),
    (("even", "Even"), ("odd", "Odd")), (("Monday", "monday"), ("Tuesday",), ("Sunday",)),
    (("increasing", "Increasing"), ("decreasing",)), (("red", "Red"), ("blue", "Blue")),
    (("Alice and Bob", "Bob and Alice", "Alice, Bob"), ("Alice and Carol",)),
)  # fmt: skip


def _word(rng: Rng) -> tuple[int, int]:
    group = rng.randrange(len(_GROUPS))
    return group, rng.randrange(len(_GROUPS[group]))


def _spell_word(rng: Rng, value: tuple[int, int]) -> str:
    text = rng.choice(_GROUPS[value[0]][value[1]])
    return rng.choice((text, text, f"\\text{{{text}}}", f"\\textbf{{{text}}}")) if text[0] != "\\" else text


def _other_word(rng: Rng, value: tuple[int, int]) -> tuple[int, int]:
    group, at = value
    return group, (at + rng.randint(1, len(_GROUPS[group]) - 1)) % len(_GROUPS[group])


def _choice(rng: Rng) -> str:
    return rng.choice("ABCDE")


def _spell_choice(rng: Rng, value: str) -> str:
    return rng.choice(
        (value, f"({value})", f"\\text{{{value}}}", f"\\textbf{{({value})}}", f"\\text{{({value})}}", f"{value}")
    )


def _other_choice(rng: Rng, value: str) -> str:
    return rng.choice([letter for letter in "ABCDE" if letter != value])


WORDS: dict[str, tuple[int, Kind]] = {
    "quantity": (5, Kind(_quantity, _spell_quantity, _other_quantity)),
    "measured": (2, Kind(_quantity, _without_unit, _other_number, _spell_quantity)),
    "counted": (3, Kind(_counted, _spell_counted, _other_counted)),
    "duration": (2, Kind(_duration, _spell_duration, _other_duration)),
    "time": (2, Kind(_time, _spell_time, _other_time)),
    "date": (1, Kind(_date, _spell_date, _other_date)),
    "word": (3, Kind(_word, _spell_word, _other_word)),
    "choice": (2, Kind(_choice, _spell_choice, _other_choice)),
}
