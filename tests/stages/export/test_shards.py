"""Row groups and shards are cut by the rows alone, and stay small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.errors import InvariantBroken
from synthflow.stages.export import ordering, shards
from synthflow.stages.export.columns import MESSAGES, STRING, ConfigSpec, ExportColumn
from synthflow.stages.export.ordering import KEYS
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
    spool = Spool(SPEC, directory, directory / "scratch")
    for part in parts:
        spool.add(part)
    return spool.finish(limits)


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


def test_buckets_give_the_same_bytes_as_one_sort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2 MB of rows with a limit of 1 MB, so buckets of 128 kB, against one sort in memory."""
    rng = np.random.default_rng(0)
    ranks = [None if r > 50 else int(r) for r in rng.integers(0, 60, 4_000)]
    rows: list[tuple[object, ...]] = [(str(i) * 100, ["é"], None, rank) for i, rank in enumerate(ranks)]
    dealt: list[int] = []
    deal = ordering._deal
    monkeypatch.setattr(ordering, "_deal", lambda *a: dealt.append(len(made := deal(*a))) or made)  # type: ignore[func-returns-value]
    monkeypatch.setattr(ordering, "_with_buckets", _roomy(ordering._with_buckets))
    for name, memory in (("buckets", 1), ("memory", 1_000)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, [table(rows[:1_500]), table(rows[1_500:], 1_500)], ShardLimits(700, 512, memory))
    assert len(dealt) == 1 and dealt[0] > 4
    for file in (tmp_path / "memory" / "things").iterdir():
        assert file.read_bytes() == (tmp_path / "buckets" / "things" / file.name).read_bytes()


def _roomy(with_buckets: Any) -> Any:
    """DuckDB needs more than 1 MB for itself."""
    return lambda spool, bucket_bytes, scratch, memory: with_buckets(spool, bucket_bytes, scratch, 256)


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
