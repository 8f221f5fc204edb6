"""Units: names, symbols and prefixes, what they measure, and how they convert.

Invariant: a unit is read whole or not at all. Two units convert exactly where they measure the same; a counted thing
(`apples`) or an unknown currency measures itself. Symbols keep their case, written names do not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

Dimension = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """What one of it is in base units, and what it measures; `pi` of them where it is an angle in degrees."""

    factor: Fraction
    dimension: Dimension
    name: str = ""


_PREFIXES = {
    "k": 3,
    "M": 6,
    "G": 9,
    "T": 12,
    "m": -3,
    "c": -2,
    "d": -1,
    "u": -6,
    "µ": -6,
    "μ": -6,
    "n": -9,
    "p": -12,
    "f": -15,
}
_LONG_PREFIXES = {
    "kilo": 3,
    "mega": 6,
    "giga": 9,
    "tera": 12,
    "milli": -3,
    "centi": -2,
    "deci": -1,
    "micro": -6,
    "nano": -9,
    "pico": -12,
}
_METRIC = {  # symbol, names, factor, what it measures
    "m": ("meter metre", "1", "m"), "g": ("gram gramme", "1/1000", "kg"), "s": ("second sec", "1", "s"),
    "A": ("ampere amp", "1", "A"), "K": ("kelvin", "1", "K"), "mol": ("mole", "1", "mol"), "cd": ("candela", "1", "cd"),
    "N": ("newton", "1", "kg m s-2"), "J": ("joule", "1", "kg m2 s-2"), "W": ("watt", "1", "kg m2 s-3"),
    "Pa": ("pascal", "1", "kg m-1 s-2"), "Hz": ("hertz", "1", "s-1"), "C": ("coulomb", "1", "A s"),
    "V": ("volt", "1", "kg m2 s-3 A-1"), "Ω": ("ohm", "1", "kg m2 s-3 A-2"), "F": ("farad", "1", "kg-1 m-2 s4 A2"),
    "H": ("henry", "1", "kg m2 s-2 A-2"), "T": ("tesla", "1", "kg s-2 A-1"), "Wb": ("weber", "1", "kg m2 s-2 A-1"),
    "L": ("liter litre", "1/1000", "m3"), "l": ("", "1/1000", "m3"), "eV": ("electronvolt",
    "1602176634/10000000000000000000000000000", "kg m2 s-2"),
    "cal": ("calorie", "4184/1000", "kg m2 s-2"), "bar": ("bar", "100000", "kg m-1 s-2"), "t": ("ton tonne", "1000",
    "kg"),
    "Wh": ("watthour", "3600", "kg m2 s-2"), "B": ("byte", "8", "bit"), "bit": ("bit", "1", "bit"), "M": ("molar",
    "1000", "mol m-3"),
    "S": ("siemens", "1", "kg-1 m-2 s3 A2"), "Bq": ("becquerel", "1", "s-1"), "Ci": ("curie", "37000000000", "s-1"),
    "pc": ("parsec", "30856775814913673", "m"), "rad": ("radian", "1", "rad"),
}  # fmt: skip
_PLAIN = {
    "min": ("minute mins", "60", "s"), "h": ("hour hr hrs", "3600", "s"), "day": ("d", "86400", "s"), "week": ("wk",
    "604800", "s"),
    "month": ("", "1", "month"), "year": ("yr yrs", "12", "month"), "decade": ("", "120", "month"),
    "century": ("centuries", "1200", "month"),
    "in": ("inch inches", "254/10000", "m"), "ft": ("foot feet", "3048/10000", "m"), "yd": ("yard", "9144/10000", "m"),
    "mi": ("mile", "1609344/1000", "m"), "lb": ("lbs pound", "45359237/100000000", "kg"), "oz": ("ounce",
    "45359237/1600000000", "kg"),
    "gal": ("gallon", "3785411784/1000000000000", "m3"), "qt": ("quart", "946352946/1000000000000", "m3"),
    "pint": ("pt", "473176473/1000000000000", "m3"), "cup": ("", "2365882365/10000000000000", "m3"),
    "ha": ("hectare", "10000", "m2"), "acre": ("", "40468564224/10000000", "m2"), "atm": ("atmosphere", "101325",
    "kg m-1 s-2"),
    "mmHg": ("torr", "133322387415/1000000000", "kg m-1 s-2"), "mph": ("", "44704/100000", "m s-1"), "kph": ("",
    "10/36", "m s-1"),
    "amu": ("dalton", "1", "amu"), "u": ("", "1", "amu"), "Å": ("angstrom", "1/10000000000", "m"), "AU": ("",
    "149597870700", "m"),
    "ly": ("lightyear", "9460730472580800", "m"), "dollar": ("usd USD $", "100", "cent"), "cent": ("¢", "1", "cent"),
    "euro": ("eur EUR €", "1", "euro"), "£": ("gbp GBP", "1", "gbp"), "¥": ("yen jpy JPY yuan", "1", "yen"),
    "₹": ("rupee rs inr INR", "1", "rupee"),
    "°C": ("celsius degc", "1", "celsius"), "°F": ("fahrenheit degf", "1", "fahrenheit"), "degree": ("deg °", "1",
    "degree"),
    "unit": ("", "1", "unit"), "rpm": ("", "1", "rpm"), "erg": ("", "1/10000000", "kg m2 s-2"), "dyne": ("dyn",
    "1/100000", "kg m s-2"),
    "gauss": ("", "1/10000", "kg s-2 A-1"), "hp": ("horsepower", "745699872/1000000", "kg m2 s-3"), "dB": ("decibel",
    "1", "dB"),
    "Btu": ("BTU btu", "105505585262/100000000", "kg m2 s-2"), "ppm": ("", "1", "ppm"), "%": ("percent", "1", "%"),
}  # fmt: skip
_OTHERS = {"penny": "cent", "pennies": "cent", "feet": "ft", "gm": "g", "gms": "g", "mtr": "m", "ltr": "L", "secs": "s"}
_CASELESS_SHORT = frozenset(
    ["km", "cm", "mm", "kg", "mg", "ml", "hz", "kw", "kwh", "ev", "kev", "mev", "gev", "pa", "kpa", "mol", "sec"]
)
_SPELLED = {
    "hz": "Hz",
    "kw": "kW",
    "kwh": "kWh",
    "ev": "eV",
    "kev": "keV",
    "mev": "MeV",
    "gev": "GeV",
    "pa": "Pa",
    "kpa": "kPa",
    "ml": "mL",
}
_COMMON_SYMBOLS = """m s g h l L N J W V A K C F % ° $ € £ ¥ cm mm km kg mg ml mL ft yd mi lb oz hr in Pa Hz kJ eV kW"""
_COMMON = frozenset(_COMMON_SYMBOLS.split())
_ATOM = re.compile(r" ?([A-Za-zµμΩÅ°%$€£¥₹¢]+)(?: ?\^ ?\{?([-+]?\d)\}?|(-\d)|(\d)(?!\d))?")
_JOINT = re.compile(r" ?(?:/|\\div|per |\\cdot|\\times|\*|·|\.)? ?")


def _dimension(text: str) -> Dimension:
    found = {}
    for part in text.split():
        name, power = re.fullmatch(r"([A-Za-z%]+)(-?\d+)?", part).groups()  # type: ignore[union-attr]
        found[name] = int(power or 1)
    return tuple(sorted(found.items()))


def _table() -> dict[str, Unit]:
    units: dict[str, Unit] = {}
    for symbol, (named, factor, measures) in _METRIC.items():
        base = Unit(Fraction(factor), _dimension(measures), symbol)
        units[symbol] = base
        for prefix, power in _PREFIXES.items():
            if (prefix, symbol) not in {
                ("c", "d"),
                ("m", "in"),
                ("d", "s"),
                ("p", "t"),
                ("m", "t"),
                ("f", "t"),
                ("c", "C"),
            }:
                units.setdefault(
                    prefix + symbol, Unit(base.factor * Fraction(10) ** power, base.dimension, prefix + symbol)
                )
        for name in named.split():
            units[name] = units[name + "s"] = base
            for prefix, power in _LONG_PREFIXES.items():
                units[prefix + name] = units[prefix + name + "s"] = Unit(
                    base.factor * Fraction(10) ** power, base.dimension, symbol
                )
    for symbol, (named, factor, measures) in _PLAIN.items():
        base = Unit(Fraction(factor), _dimension(measures), symbol)
        for name in (symbol, *named.split()):
            units[name] = base
            if name.isalpha() and len(name) > 2:
                units.setdefault(name + "s", base)
    units |= {name: units[same] for name, same in _OTHERS.items()}
    units |= {name: units[_SPELLED.get(name, name)] for name in _CASELESS_SHORT}
    return units


UNITS = _table()


def named_unit(name: str) -> Unit | None:
    """The unit that one name stands for; written names in any case, symbols in their own."""
    found = UNITS.get(name)
    if found is None and (len(name) > 3 or name.lower() in _CASELESS_SHORT or name.lower() in ("hrs", "sec", "usd")):
        found = UNITS.get(name.lower())
    return found


@lru_cache(maxsize=2048)
def read_unit(text: str) -> Unit | None:
    """The unit that a text is, wholly: `kg m^2/s^2`, `miles per hour`, `square cm`, `m s^{-1}`; or None."""
    plain = _spelled_out(text)
    if plain is None or len(plain) > 80:
        return None
    at, under, factor, powers, taken = 0, False, Fraction(1), dict[str, int](), 0
    if plain.startswith(("/", "per ")):
        return None
    while at < len(plain):
        match = _ATOM.match(plain, at)
        unit = named_unit(match.group(1)) if match else None
        if match is None or unit is None:
            return None
        power = int(match.group(2) or match.group(3) or match.group(4) or 1) * (-1 if under else 1)
        factor *= unit.factor**power
        for name, exponent in unit.dimension:
            powers[name] = powers.get(name, 0) + exponent * power
        taken += 1
        joint = _JOINT.match(plain, match.end())
        assert joint is not None
        if joint.end() == match.end() and match.end() < len(plain):
            return None
        under = under or "/" in joint.group() or "per" in joint.group() or "div" in joint.group()
        at = joint.end()
    return Unit(factor, tuple(sorted((n, p) for n, p in powers.items() if p)), plain) if taken else None


def is_unit(text: str) -> bool:
    """Whether words of a sentence behind a number are its unit; short symbols only where they are common."""
    return read_unit(text) is not None and (len(text) > 2 or text in _COMMON)


def _spelled_out(text: str) -> str | None:
    """`square cm` as `cm^2`, `seconds squared` as `seconds^2`, `(mol K)` after a slash without its parentheses."""
    plain = re.sub(r"\^ ?\{ ?([-+]?\d) ?\}", r"^\1", text).replace("{", " ").replace("}", " ")
    plain = " ".join(plain.replace("~", " ").strip(" .").split())
    plain = re.sub(r"/ ?\(([^()/]*)\)$", r"/\1", plain)
    plain = re.sub(r"\bU\.?S\.? ?(?=dollars?\b)", "", plain)
    plain = re.sub(r"(?i)\b(?:square|sq\.?) ([a-z]+)", r"\1^2", plain)
    plain = re.sub(r"(?i)\b(?:cubic|cu\.?) ([a-z]+)", r"\1^3", plain)
    plain = re.sub(r"([a-z]+) squared\b", r"\1^2", plain)
    plain = re.sub(r"([a-z]+) cubed\b", r"\1^3", plain)
    plain = re.sub(r"(?:\^ ?)?\\circ ?([CF])\b", r"°\1", plain)
    plain = re.sub(
        r"\bdegrees? (celsius|fahrenheit|[CF])\b", lambda m: "°" + m.group(1)[0].upper(), plain, flags=re.IGNORECASE
    )
    plain = plain.replace(r"\Omega", "Ω").replace(r"\mu ", "µ").replace(r"\mu", "µ").replace(r"\AA", "Å")
    plain = plain.replace("µ ", "µ").replace(r"\%", "%").replace(r"\$", "$")
    return plain if "\\" not in plain.replace(r"\cdot", "").replace(r"\times", "").replace(r"\div", "") else None


_NO_THINGS = """
    dozen dozens pairs halves thirds quarters fourths fifths sixths sevenths eighths ninths tenths hundredths
    thousandths tens hundreds thousands millions billions trillions minus plus less
    percents less is was has does this thus yes us factorial squared cubed more most least than not no or and only
    exactly choose mod"""
_NOT_THINGS = frozenset(_NO_THINGS.split())
_ODD_PLURALS = frozenset(
    ["people", "children", "men", "women", "mice", "feet", "teeth", "geese", "fish", "sheep", "dice"]
)


def counted_thing(text: str, *, one: bool = False) -> str | None:
    """The counted thing that a text names: up to four plain words, one a plural but of `one`; or None."""
    names = text.strip(" .~").lower().replace("-", " ").split()
    if not 1 <= len(names) <= 4 or any(name in _NOT_THINGS or not name.isalpha() or len(name) < 3 for name in names):
        return None
    if not one and not any(
        name in _ODD_PLURALS or (len(name) > 3 and name.endswith("s") and not name.endswith("ss")) for name in names
    ):
        return None
    return " ".join(names)
