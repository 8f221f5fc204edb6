"""What was journaled is what stands in the tables.

Invariants: of the records of one rollout the earliest counts (before one without an answer, that was asked again, any
with one), and its text, tokens, log probabilities and ending are
those of the rollout's row, or of the artifact's that was sampled under that id, bit for bit; lone surrogates, which
Parquet cannot hold, are replaced there. Rows that were put together of others (a tree's paths, splices) have no record
of their own. A line whose CRC does not fit is no record: its rollout is owed again unless another line has it, so it is
a warning. The journal is read once, in order, a batch of lines at a time, and only hashes are kept, in DuckDB's file on
disk; they are DuckDB's own, of the bytes on both sides.
"""

from __future__ import annotations

import re
import zlib
from binascii import a2b_base64
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from synthflow.check.database import Rows, quoted
from synthflow.check.recompute import batches
from synthflow.contracts import UNANSWERED

_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_LINES, _BYTES = 8192, 8 << 20
_COLUMNS = {
    "rollout_id": pa.string(), "t": pa.int64(), "segment": pa.string(), "line": pa.int64(), "text": pa.binary(),
    "other_text": pa.binary(), "tokens": pa.binary(), "logprobs": pa.binary(), "finish": pa.string(),
    "n_tokens": pa.int64(),
}  # fmt: skip
_HASHED = ("text", "other_text", "tokens", "logprobs")
_DUCKDB = {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.binary(): "UBIGINT"}
_UNANSWERED = f"({', '.join(map(quoted, sorted(UNANSWERED)))})"
PUT_TOGETHER = ("tree", "spliced")
"""Conditions of rollouts that were made of others, and have no record of their own."""

_RESTORE = "restore the shard, or the journal segment, from a copy: one of them was changed after it was written"


def check_journal(folder: Path, rows: Rows) -> None:
    """Compare the journal with the rollouts table."""
    if not rows.placed("rollouts") and not rows.placed("artifacts"):
        return
    fields = ", ".join(f"{name} {_DUCKDB[kind]}" for name, kind in _COLUMNS.items())
    rows.connection.execute(f"CREATE OR REPLACE TABLE journaled ({fields})")
    rows.connection.execute(f"CREATE OR REPLACE TABLE sampled ({fields}, sf_path VARCHAR)")
    with rows.in_one_go():
        for batch in _journal_rows(folder, rows):
            _insert(rows, "journaled", batch)
        for batch in chain(_table_rows(rows), _artifact_rows(rows)):
            _insert(rows, "sampled", batch)
    sampled = [*rows.placed("rollouts"), *rows.placed("artifacts")]
    rows.found.checked["journal_changed"] += sum(p.shard.rows for p in sampled)
    rows.connection.execute(
        "CREATE OR REPLACE VIEW earliest AS SELECT * FROM journaled "
        f"QUALIFY row_number() OVER (PARTITION BY rollout_id ORDER BY finish IN {_UNANSWERED}, t, segment, line) = 1"
    )
    rows.faults(
        "journal_changed",
        "rollout_id",
        """SELECT s.sf_path, s.rollout_id AS id,
                  concat_ws(', ', CASE WHEN s.text NOT IN (j.text, j.other_text) THEN 'text' END,
                    CASE WHEN s.tokens <> j.tokens THEN 'tokens' END,
                    CASE WHEN s.logprobs <> j.logprobs THEN 'logprobs' END,
                    CASE WHEN s.finish <> j.finish THEN 'finish_reason' END,
                    CASE WHEN s.n_tokens <> j.n_tokens THEN 'n_tokens' END) AS differ,
                  differ || ' differ from what was journaled first, at journal/' || j.segment || ':' || j.line AS what
           FROM sampled s JOIN earliest j USING (rollout_id) WHERE differ <> ''""",
        _RESTORE,
    )
    rows.faults(
        "journal_missing",
        "rollouts",
        """SELECT sf_path, count(*) AS id, 'rollouts stand in this shard and not in the journal, such as '
                  || min(rollout_id) AS what
           FROM sampled ANTI JOIN journaled USING (rollout_id) GROUP BY sf_path""",
        "nothing is wrong with the rows; without the journal they would be sampled again if the shard were lost",
        "warning",
    )


def _insert(rows: Rows, table: str, batch: pa.Table) -> None:
    rows.connection.register("incoming", batch)
    columns = ", ".join(
        f"CASE WHEN {name} IS NOT NULL THEN hash({name}) END" if name in _HASHED else name
        for name in batch.column_names
    )
    rows.connection.execute(f"INSERT INTO {table} SELECT {columns} FROM incoming")
    rows.connection.unregister("incoming")


def _journal_rows(folder: Path, rows: Rows) -> Iterator[pa.Table]:
    held: list[tuple[object, ...]] = []
    size = 0
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as handle:
            for number, line in enumerate(handle, 1):
                found = _record(line, path.name, number)
                if found is None:
                    what = "a torn or damaged line: its checksum does not fit, so it is no record"
                    fix = "nothing need be done: a rollout that stands nowhere else is sampled again"
                    rows.found.warning("journal_torn", f"journal/{path.name}:{number}", what, fix)
                    continue
                rows.found.counts["journal_records"] += 1
                held.append(found)
                size += len(line)
                if len(held) == _LINES or size > _BYTES:
                    yield _table(held)
                    held, size = [], 0
    if held:
        yield _table(held)


def _table(rows: list[tuple[object, ...]]) -> pa.Table:
    columns = zip(_COLUMNS.items(), zip(*rows, strict=True), strict=True)
    return pa.table({name: pa.array(values, kind) for (name, kind), values in columns})


def _record(line: bytes, segment: str, number: int) -> tuple[object, ...] | None:
    """The values of `_COLUMNS` of a line; None if it is torn, damaged, or no record though its checksum fits."""
    body = line[9:].rstrip(b"\n")
    try:
        if line[8:9] != b" " or int(line[:8], 16) != zlib.crc32(body):
            return None
        record = orjson.loads(body)
        text = other = a2b_base64(record["text"])
        if _SURROGATE.search(text):
            text, other = (_SURROGATE.sub(mark, text) for mark in (b"?", b"\xef\xbf\xbd"))
        return (
            record["id"],
            record["t"],
            segment,
            number,
            text,
            other,
            a2b_base64(record["tokens"] or ""),
            a2b_base64(record["logprobs"] or ""),
            record["finish"],
            record["n_tokens"],
        )
    except (KeyError, TypeError, ValueError):
        return None


def _table_rows(rows: Rows) -> Iterator[pa.Table]:
    columns = ("rollout_id", "condition", "completion", "token_ids", "logprobs", "finish_reason", "n_tokens")
    for path, batch in batches(rows, "rollouts", columns, _LINES):
        part = batch.filter(pc.invert(pc.is_in(batch.column("condition"), pa.array(PUT_TOGETHER))))
        lists = [_as_bytes(part.column(name)) for name in ("token_ids", "logprobs")]
        yield _sampled(path, part.column("rollout_id"), part.column("completion"), lists, part)


def _artifact_rows(rows: Rows) -> Iterator[pa.Table]:
    """What a judge wrote, say: artifacts that were sampled. Their tokens stand in the journal alone."""
    for path, batch in batches(rows, "artifacts", ("sample_id", "text", "finish_reason", "n_tokens"), _LINES):
        part = batch.filter(pc.is_valid(batch.column("sample_id")))
        unknown = pa.nulls(part.num_rows, pa.binary())
        yield _sampled(path, part.column("sample_id"), part.column("text"), [unknown, unknown], part)


def _sampled(path: str, ids: Any, text: Any, lists: list[Any], batch: pa.RecordBatch) -> pa.Table:
    n, raw = batch.num_rows, text.cast(pa.binary())
    zeros, nowhere = pa.repeat(pa.scalar(0, pa.int64()), n), pa.repeat("", n)
    ending = [batch.column("finish_reason"), batch.column("n_tokens").cast(pa.int64())]
    columns = [ids, zeros, nowhere, zeros, raw, raw, *lists, *ending, pa.repeat(path, n)]
    return pa.table(columns, names=[*_COLUMNS, "sf_path"])


def _as_bytes(lists: Any) -> Any:
    """The numbers of each list as they lie in memory; none are no bytes."""
    lists = lists.fill_null(pa.scalar([], lists.type))
    width = lists.type.value_type.bit_width // 8
    values = pa.concat_arrays([lists.flatten()])
    offsets = pc.multiply(pc.subtract(lists.offsets, lists.offsets[0]), pa.scalar(width, pa.int32()))
    buffers = [None, offsets.buffers()[1], values.buffers()[1]]
    return pa.Array.from_buffers(pa.binary(), len(lists), buffers)
