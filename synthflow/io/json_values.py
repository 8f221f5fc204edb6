"""Columns of a row as JSON can hold them.

Invariant: what JSON has no word for is never written as something else: NaN and infinity become null, a column that
holds bytes, durations or the like is left out, and each time it is counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

Mended: TypeAlias = Counter[tuple[str, str]]
"""Rows of which something was mended, by column and what was done."""

_NO_NUMBER = "NaN or infinity"
_DICTS = (dict, Mapping)
_NESTED = (list, tuple, *_DICTS)
_HELD = (str, int, float, Decimal, date, time, UUID)
_PLAIN = frozenset((str, int, bool, type(None)))
"""Nearly every value is of one of these: nothing in it is to be looked at."""
_KINDS = {"bytes": "bytes", "timedelta": "durations", "Timedelta": "durations"}


def holdable(columns: Mapping[str, Any], mended: Mended) -> Iterator[tuple[str, Any]]:
    """Columns as JSON can hold them, without those it cannot."""
    for name, value in columns.items():
        strange = set(_strangers(value))
        for kind in sorted(strange - {_NO_NUMBER}):
            mended[name, f"column_left_out: {name!r} holds {kind}"] += 1
        if strange <= {_NO_NUMBER}:
            if strange:
                mended[name, f"null_instead: {name!r} holds {_NO_NUMBER}"] += 1
            yield name, _finite(value) if strange else value


def _strangers(value: Any) -> Iterator[str]:
    """What in a value JSON cannot hold."""
    if type(value) in _PLAIN:
        return
    if isinstance(value, float | Decimal):
        if not math.isfinite(value):
            yield _NO_NUMBER
    elif isinstance(value, _NESTED):
        inside: Collection[Any] = value if isinstance(value, list | tuple) else value.values()
        for inner in inside:
            if type(inner) not in _PLAIN:
                yield from _strangers(inner)
    elif not isinstance(value, _HELD):
        yield _KINDS.get(type(value).__name__, f"a {type(value).__name__}")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float | Decimal) and not math.isfinite(value) else value


def jsonable(value: Any) -> Any:
    """A value in JSON's own types: dates as ISO 8601, decimals and UUIDs as text."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, list | tuple):
        return [inner if type(inner) in _PLAIN else jsonable(inner) for inner in value]
    if isinstance(value, _DICTS):
        return {str(key): inner if type(inner) in _PLAIN else jsonable(inner) for key, inner in value.items()}
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | UUID) else value
