"""Numbers as people read them say what the numbers are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow.cli.text import count, duration, money, size

SUFFIXES = {"M": 1e6, "G": 1e9, "T": 1e12}
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"),
        (0, "0"),
        (1234, "1,234"),
        (999_999, "999,999"),
        (1_200_000, "1.2M"),
        (-3e9, "-3.0G"),
        (7e12, "7.0T"),
    ],
)
def test_counts(value: float | None, said: str) -> None:
    assert count(value) == said


@given(st.floats(-1e15, 1e15))
def test_a_count_is_read_back_to_its_digits(value: float) -> None:
    said = count(value)
    unit = SUFFIXES.get(said[-1], 1)
    read = float(said.rstrip("MGT").replace(",", "")) * unit
    assert abs(read - value) <= 0.0501 * unit if unit > 1 else abs(read - value) <= 0.5


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0.00"), (0.0123, "0.012"), (0.5, "0.5"), (1, "1.00"), (1234.5, "1,234.50")],
)
def test_money_has_two_digits_that_count(value: float, said: str) -> None:
    assert money(value) == said


@given(st.integers(0, 1 << 50))
def test_a_size_is_read_back_to_its_digits(value: int) -> None:
    number, unit = size(value).split(" ")
    assert abs(float(number) - value / UNITS[unit]) <= 0.0501
    assert float(number) >= 1 or unit == "B"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "–"), (0, "0:00"), (59.4, "0:59"), (59.5, "1:00"), (3599.5, "1:00:00"), (90_061, "25:01:01")],
)
def test_durations(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


@given(st.floats(0, 1e7))
def test_a_duration_is_read_back_to_the_second(seconds: float) -> None:
    *hours, minutes, rest = map(int, duration(seconds).split(":"))
    assert minutes < 60 and rest < 60 and len(hours) <= 1
    assert abs(sum(hours) * 3600 + minutes * 60 + rest - seconds) <= 0.5
