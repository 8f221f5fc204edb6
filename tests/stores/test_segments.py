"""Names of segments: which of them overlap, and what a process knows of a folder."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.stores.segments import Names, attempt_of, listing, new_name

PLACES = st.integers(0, 40)
RANGES = st.lists(st.tuples(PLACES, PLACES).map(sorted), max_size=100)


def problem(n: int) -> str:
    return f"p_{n:08x}{'0' * 16}"


@settings(deadline=None)
@given(RANGES, st.lists(PLACES, min_size=1, max_size=4))
def test_a_range_meets_what_overlaps_it(ranges: list[list[int]], asked: list[int]) -> None:
    names = {new_name([problem(low), problem(high)], 3): (low, high) for low, high in ranges}
    found = Names(names).of([problem(n) for n in asked])
    assert found == sorted(n for n, (low, high) in names.items() if low <= max(asked) and high >= min(asked))
    assert {attempt_of(name) for name in names} <= {3}


def test_who_is_alone_lists_a_folder_once_and_knows_what_it_wrote(tmp_path: Path) -> None:
    def written(by: str) -> str:
        name = new_name([problem(1)], 1)
        (tmp_path / name).write_text(by)
        (tmp_path / name).with_suffix(".open").touch()
        return name

    before = written("another attempt")
    alone, shared = listing(tmp_path, "a", alone=True), listing(tmp_path, "a")
    for known in (alone, shared):
        known.look()
    mine, others = written("me"), written("somebody else")
    alone.wrote(tmp_path / mine)
    for known in (alone, shared):
        known.look()
    assert {path.name for path in alone.segments([problem(1)])} == {before, mine}
    assert len(alone.notes([problem(1)])) == 1
    assert {path.name for path in shared.segments([problem(1)])} == {before, mine, others}
    assert len(shared.notes([problem(1)])) == 3
    assert listing(tmp_path, "a", alone=True) is alone and listing(tmp_path, "") is not listing(tmp_path, "")
