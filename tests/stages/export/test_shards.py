"""Row groups and shards are cut by the rows alone, and stay small."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.errors import InvariantBroken
from synthflow.stages.export import shards
from synthflow.stages.export.columns import MESSAGES, STRING, ConfigSpec, ExportColumn
from synthflow.stages.export.ordering import KEYS, InOrder
from synthflow.stages.export.shards import ShardLimits, Spool, row_bytes

SPEC = ConfigSpec(
    "things",
    "for tests",
    (
        ExportColumn("name", STRING, "a name"),
        ExportColumn("chat", MESSAGES, "messages", "if_any"),
        ExportColumn("note", STRING, "a note", "if_any"),
        ExportColumn("all", pa.float32(), "all or nothing", "if_all"),
    ),
)
TEXT = st.text(max_size=20)
ROW = st.tuples(TEXT, st.none() | st.lists(TEXT, max_size=3), st.none() | TEXT, st.none() | st.integers(0, 3))


def table(rows: list[tuple[object, ...]], first: int = 0) -> pa.Table:
    chats = [r[1] if r[1] is None else [{"role": "user", "content": t} for t in r[1]] for r in rows]  # type: ignore[attr-defined]
    schema = pa.schema([*SPEC.schema, *KEYS, pa.field("_held", pa.bool_())])
    columns = [
        pa.array([r[0] for r in rows], STRING),
        pa.array(chats, MESSAGES),
        pa.array([r[2] for r in rows], STRING),
        pa.array([None for _ in rows], pa.float32()),
        pa.array([r[3] for r in rows], pa.float64()),
        pa.array(["p" for _ in rows], STRING),
        pa.array([f"{first + i:06d}" for i in range(len(rows))], STRING),
        pa.array([False for _ in rows], pa.bool_()),
    ]
    return pa.table(columns, schema=schema)


def write(directory: Path, parts: list[pa.Table], limits: ShardLimits) -> shards.Written:
    spool = Spool(SPEC, directory, directory / "scratch", limits)
    for part in parts:
        spool.add(part)
        spool.advance(None)
    return spool.finish()


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=40), cut=st.integers(0, 40), per_shard=st.integers(1, 9))
def test_rows_come_back_sorted_in_shards_of_the_asked_size(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[object, ...]], cut: int, per_shard: int
) -> None:
    whole = table(rows)
    limits = ShardLimits(per_shard, 512, 256)
    first, second = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    written = write(first, [whole], limits)
    write(second, [whole.slice(cut), whole.slice(0, cut)], limits)

    def key(i: int) -> tuple[bool, float, str]:
        rank = rows[i][3]
        return rank is None, float(rank or 0), f"{i:06d}"  # type: ignore[arg-type]

    order = sorted(range(len(rows)), key=key)
    files = written.files["train"]
    kept = [c.name for c in written.columns]
    assert kept == [n for n in ("name", "chat", "note") if any(v is not None for v in whole.column(n).to_pylist())]
    back = pa.concat_tables([pq.read_table(first / f) for f in files])
    assert back.to_pylist() == whole.take(order).select(kept).to_pylist()
    assert [written.file_rows[f] for f in files] == [
        min(per_shard, len(rows) - s) for s in range(0, len(rows), per_shard)
    ]
    assert [(first / f).read_bytes() for f in files] == [(second / f).read_bytes() for f in files]


@pytest.mark.parametrize("most", [100_000, 5_000])  # bytes that wait in memory, of 2 MB; files are dealt out again
def test_rows_that_wait_in_files_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    rng = np.random.default_rng(0)
    ranks = [None if r > 50 else int(r) for r in rng.integers(0, 60, 4_000)]
    rows: list[tuple[object, ...]] = [(str(i) * 100, ["é"], None, rank) for i, rank in enumerate(ranks)]
    order = rng.permutation(4_000)
    parts = [table(rows).take(order[start : start + 40]) for start in range(0, 4_000, 40)]
    for name, held in (("memory", shards.WAITING_BYTES), ("files", most)):
        monkeypatch.setattr(shards, "WAITING_BYTES", held)
        (tmp_path / name).mkdir()
        write(tmp_path / name, parts, ShardLimits(700, 512, 1_000))
    files = sorted(p.name for p in (tmp_path / "memory" / "things").iterdir())
    assert len(files) == 6 and files == sorted(p.name for p in (tmp_path / "files" / "things").iterdir())
    for file in files:
        assert (tmp_path / "memory" / "things" / file).read_bytes() == (tmp_path / "files/things" / file).read_bytes()


def test_rows_go_out_when_nothing_can_come_before_them(tmp_path: Path) -> None:
    rows = by_problem({"p3": 2, "p1": 1, "p2": 1})
    order = InOrder(tmp_path / "waits", 10**6)
    order.add(rows)
    assert problems(order.advance("p2")) == ["p1"]
    order.add(by_problem({"p5": 1, "p3": 1}))
    order.add(by_problem({"p2": 1}))
    assert problems(order.advance("p5")) == ["p2", "p2", "p3", "p3", "p3"]
    order.add(by_problem({}))
    assert problems(order.advance("p5")) == []
    assert problems(order.finish()) == ["p5"]
    assert not (tmp_path / "waits").exists()


def test_a_row_that_comes_after_all_stops_the_release(tmp_path: Path) -> None:
    order = InOrder(tmp_path / "waits", 10**6)
    order.add(by_problem({"p1": 1, "p4": 1}))
    assert problems(order.advance("p9")) == ["p1", "p4"]
    order.add(by_problem({"p3": 1}))
    with pytest.raises(InvariantBroken, match="rows of problem p3 came after those of p4 were written"):
        problems(order.advance("p9"))


def test_rows_that_wait_for_their_problem_in_files_come_back_in_order(tmp_path: Path) -> None:
    order = InOrder(tmp_path / "waits", 500)
    made = [f"p{number:03d}" for number in np.random.default_rng(1).permutation(200)]
    out = []
    for counts in ({"p000": 1, "p900": 1}, *({name: 2} for name in made)):
        order.add(by_problem(counts))
        out += problems(order.advance("p001"))
    assert (tmp_path / "waits").exists()
    out += problems(order.finish())
    assert out == sorted([*made, *made, "p000", "p900"])
    assert not (tmp_path / "waits").exists()


def by_problem(counts: dict[str, int]) -> pa.Table:
    names = [name for name, count in counts.items() for _ in range(count)]
    ids = [str(number) for number in range(len(names))]
    columns = [pa.nulls(len(names), pa.float64()), pa.array(names, STRING), pa.array(ids, STRING)]
    return pa.table(columns, schema=pa.schema(KEYS))


def problems(tables: Iterable[pa.Table]) -> list[str]:
    return [name for rows in tables for name in rows.column("_problem").to_pylist()]


def test_columns_that_turn_out_otherwise_are_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column that seemed empty, one that seemed full: the bytes are those of a writer that knew."""
    monkeypatch.setattr(shards, "ROW_GROUP_ROWS", 8)
    start = by_rows([(f"a{i}", None, None, 1.5) for i in range(50)])
    more = by_rows([(f"b{i}", ["x"], None, 1.5) for i in range(50)], 50)
    end = by_rows([("c", None, "now", None)], 100)
    for name, parts in (("known", [pa.concat_tables([start, more, end])]), ("found", [start, more, end])):
        spool = Spool(SPEC, tmp_path / name, tmp_path / name / "scratch", ShardLimits(40, 512, 256), ranked=False)
        for part, before in zip(parts, ("p050", "p100", None)[-len(parts) :], strict=True):
            spool.add(part)
            spool.advance(before)
        written = spool.finish()
        assert [c.name for c in written.columns] == ["name", "chat", "note"]
    for file in sorted((tmp_path / "known" / "things").iterdir()):
        assert (tmp_path / "found" / "things" / file.name).read_bytes() == file.read_bytes()


def by_rows(rows: list[tuple[object, ...]], first: int = 0) -> pa.Table:
    """As `table`, a problem a row, unranked, the last value that of `all`."""
    made = table([(*row[:3], None) for row in rows], first)
    ids = pa.array([f"p{first + i:03d}" for i in range(len(rows))], STRING)
    made = made.set_column(made.column_names.index("_problem"), KEYS[1], ids)
    last = pa.array([row[3] for row in rows], pa.float32())
    return made.set_column(made.column_names.index("all"), made.schema.field("all"), last)


def test_row_groups_stay_below_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 10_000)
    rows: list[tuple[object, ...]] = [("x" * (3_000 if i % 10 else 25_000), None, None, 0) for i in range(60)]
    written = write(tmp_path, [table(rows)], ShardLimits(10_000, 1, 256))
    assert len(written.files["train"]) == 1
    file = pq.ParquetFile(tmp_path / written.files["train"][0])
    for i in range(file.num_row_groups):
        group = file.read_row_group(i)
        assert row_bytes(group).sum() <= 10_000 or group.num_rows == 1
    assert file.metadata.num_rows == 60


def test_shards_rotate_by_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 300_000)
    rows: list[tuple[object, ...]] = [("x" * 100_000, None, None, 0) for _ in range(30)]
    written = write(tmp_path, [table(rows)], ShardLimits(10_000, 1, 256))
    # groups of 2 rows (a third would pass 300 kB), shards of 5 groups (a sixth would pass 1 MiB)
    assert [written.file_rows[f] for f in written.files["train"]] == [10, 10, 10]


def test_row_bytes_by_hand() -> None:
    rows = pa.table(
        {
            "s": pa.array(["héllo", None, ""]),  # é is two bytes
            "n": pa.array([1, 2, None], pa.int32()),
            "m": pa.array([[{"role": "user", "content": "ab"}], None, []], MESSAGES),
        }
    )
    # a string costs its bytes and 4, a list its items and 4, an int32 4
    assert row_bytes(rows).tolist() == [6 + 4 + 4 + (4 + 4 + 4 + 2 + 4), 4 + 4 + 4, 4 + 4 + 4]
    assert row_bytes(rows.slice(1)).tolist() == row_bytes(rows).tolist()[1:]
    assert row_bytes(rows.slice(0, 0)).dtype == np.int64


def test_a_null_where_none_may_be(tmp_path: Path) -> None:
    with pytest.raises(InvariantBroken, match="things: 1 null values in 'name'"):
        write(tmp_path, [table([(None, None, None, 0)])], ShardLimits(10, 1, 256))
