"""Times of day and compound amounts: `3:30 p.m.`, `15:30`, `noon`, `1 h 30 min`, `5 ft 3 in`, `17 days, 03:43`.

Invariant: read whole or not at all; `2:3` is a ratio, since minutes have two digits.
"""

from __future__ import annotations

import re
from fractions import Fraction

from synthflow.verifiers.answers.reading.atoms import number
from synthflow.verifiers.answers.reading.measures import Unit, read_unit
from synthflow.verifiers.answers.reading.readings import Amount, Clock, Date

_TIME = re.compile(
    r"(?:at )?(\d{1,2})(?: ?:([0-5]\d)(?: ?:([0-5]\d))?)? ?"
    r"(?:([ap])\.? ?m\.?|o'?clock(?: in the (morning|afternoon|evening))?)?",
    re.IGNORECASE,
)
_NAMED = {"noon": 43200, "midday": 43200, "midnight": 0, "12 noon": 43200, "12 midnight": 0}
_PIECE = re.compile(r"(\d{1,12}(?:\.\d{1,12})?) ?([A-Za-z]+)(?: |,|and|\band\b)*")
_DAYS = re.compile(r"(?:(\d{1,6}) days?(?:,| )+)(\d{1,2}):([0-5]\d)(?::([0-5]\d))?")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_NAME = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:,? ?(?P<year>\d{4}))?"
_MONTH_FIRST = re.compile(rf"{_NAME} {_DAY}{_YEAR}", re.IGNORECASE)
_DAY_FIRST = re.compile(rf"(?:the )?{_DAY} (?:of )?{_NAME}{_YEAR}", re.IGNORECASE)
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_SHORT = {"m": "min", "s": "sec", "d": "day", "h": "h", "hr": "h"}
_SECOND = Unit(Fraction(1), (("s", 1),), "s")


def read_clock(plain: str) -> Clock | None:
    """A time of day; None for everything else, `5` included."""
    text = plain.strip(" .").lower()
    if text in _NAMED:
        return Clock(_NAMED[text], True)
    match = _TIME.fullmatch(plain.strip())
    if match is None:
        return None
    hours, minutes, seconds, half, part = match.groups()
    half = half or {"morning": "a", "afternoon": "p", "evening": "p"}.get(part or "")
    hour = int(hours)
    if (minutes is None and half is None and "clock" not in text) or hour > 24 or (half and not 1 <= hour <= 12):
        return None
    if half:
        hour = hour % 12 + (12 if half.lower() == "p" else 0)
    written = tuple(int(group) for group in (hours, minutes, seconds) if group) if half is None else ()
    return Clock(
        hour * 3600 + int(minutes or 0) * 60 + int(seconds or 0), bool(half) or hour > 12 or hour == 0, written
    )


def read_date(plain: str) -> Date | None:
    """A day: `March 5, 2023`, `5 March`, `2023-03-05`."""
    if match := _ISO.fullmatch(plain):
        year, month, day = (int(group) for group in match.groups())
        return Date(year, month, day) if 1 <= month <= 12 and 1 <= day <= 31 else None
    match = _MONTH_FIRST.fullmatch(plain) or _DAY_FIRST.fullmatch(plain)
    month_name = match["month"].lower()[:3] if match else ""
    if match is None or month_name not in _MONTHS or not 1 <= int(match["day"]) <= 31:
        return None
    return Date(int(match["year"]) if match["year"] else None, _MONTHS.index(month_name) + 1, int(match["day"]))


def read_compound(plain: str) -> Amount | None:
    """The sum of amounts of one kind in ever smaller units: `1 hour 30 minutes`; None where it is no such thing."""
    if match := _DAYS.fullmatch(plain.strip()):
        days, hours, minutes, seconds = (int(group or 0) for group in match.groups())
        return Amount(number(days * 86400 + hours * 3600 + minutes * 60 + seconds), _SECOND)
    pieces: list[tuple[str, str]] = []
    at = 0
    text = plain.strip(" .")
    while at < len(text):
        found = _PIECE.match(text, at)
        if found is None or len(pieces) > 5:
            return None
        pieces.append((found.group(1), found.group(2)))
        at = found.end()
    if len(pieces) < 2:
        return None
    times = any(name in ("h", "hr", "hrs", "d", "min") for _, name in pieces)
    units = [read_unit(_SHORT.get(name, name) if times else name) for _, name in pieces]
    total = Fraction(0)
    for place, ((count, _), unit) in enumerate(zip(pieces, units, strict=True)):
        before = units[place - 1]
        if unit is None or before is None:
            return None
        if place and (unit.dimension != before.dimension or unit.factor >= before.factor):
            return None
        total += Fraction(count) * unit.factor
    first = units[0]
    return None if first is None else Amount(number(total / first.factor), first)
