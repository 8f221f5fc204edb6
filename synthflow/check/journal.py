"""What was journaled is what stands in the tables.

Invariants: of the records of one rollout the earliest counts (before one without an answer, that was asked again, any
with one), and its text, tokens, log probabilities and ending are
those of the rollout's row, or of the artifact's that was sampled under that id, bit for bit; lone surrogates, which
Parquet cannot hold, are replaced there. Rows that were put together of others (a tree's paths, splices) have no record
of their own. A line whose CRC does not fit is no record: its rollout is owed again unless another line has it, so it is
a warning. The journal is read once, in order, and only hashes are kept, in DuckDB's file on disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synthflow.check.database import Rows, quoted
from synthflow.check.recompute import batches
from synthflow.contracts import UNANSWERED, SampleResult
from synthflow.ids import digest, text_hash
from synthflow.stores.journal import decode

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_BATCH = 10_000
_COLUMNS = ("rollout_id", "t", "segment", "line", "text", "other_text", "tokens", "logprobs", "finish", "n_tokens")
_NUMBERS = ("t", "line", "n_tokens")
_UNANSWERED = f"({', '.join(map(quoted, sorted(UNANSWERED)))})"
PUT_TOGETHER = ("tree", "spliced")
"""Conditions of rollouts that were made of others, and have no record of their own."""

_RESTORE = "restore the shard, or the journal segment, from a copy: one of them was changed after it was written"


def check_journal(folder: Path, rows: Rows) -> None:
    """Compare the journal with the rollouts table."""
    if not rows.placed("rollouts") and not rows.placed("artifacts"):
        return
    fields = ", ".join(f"{name} {'BIGINT' if name in _NUMBERS else 'VARCHAR'}" for name in _COLUMNS)
    rows.connection.execute(f"CREATE OR REPLACE TABLE journaled ({fields})")
    rows.connection.execute(f"CREATE OR REPLACE TABLE sampled ({fields}, sf_path VARCHAR)")
    _load(rows, "journaled", _COLUMNS, _journal_rows(folder, rows))
    _load(rows, "sampled", (*_COLUMNS, "sf_path"), _table_rows(rows))
    _load(rows, "sampled", (*_COLUMNS, "sf_path"), _artifact_rows(rows))
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


def _load(rows: Rows, table: str, columns: Sequence[str], found: Iterator[tuple[object, ...]]) -> None:
    batch: list[tuple[object, ...]] = []
    for row in found:
        batch.append(row)
        if len(batch) == _BATCH:
            _insert(rows, table, columns, batch)
            batch = []
    if batch:
        _insert(rows, table, columns, batch)


def _insert(rows: Rows, table: str, columns: Sequence[str], batch: Sequence[tuple[object, ...]]) -> None:
    incoming = pa.table([pa.array(list(values)) for values in zip(*batch, strict=True)], names=list(columns))
    rows.connection.register("incoming", incoming)
    rows.connection.execute(f"INSERT INTO {table} SELECT * FROM incoming")
    rows.connection.unregister("incoming")


def _journal_rows(folder: Path, rows: Rows) -> Iterator[tuple[object, ...]]:
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as handle:
            for number, line in enumerate(handle, 1):
                found = _decoded(line.rstrip(b"\n"))
                rows.found.counts["journal_records"] += found is not None
                if found is None:
                    what = "a torn or damaged line: its checksum does not fit, so it is no record"
                    fix = "nothing need be done: a rollout that stands nowhere else is sampled again"
                    rows.found.warning("journal_torn", f"journal/{path.name}:{number}", what, fix)
                else:
                    yield _journaled(found[1], found[0], path.name, number)


def _decoded(line: bytes) -> tuple[int, SampleResult] | None:
    try:
        return decode(line)
    except (KeyError, TypeError, ValueError):  # a checksum that fits, over something that is no record
        return None


def _journaled(result: SampleResult, at: int, segment: str, line: int) -> tuple[object, ...]:
    text = result.text
    odd = _SURROGATE.search(text) is not None
    texts = [_SURROGATE.sub(mark, text) for mark in ("?", "\ufffd")] if odd else [text, text]
    return (
        result.rollout_id,
        at,
        segment,
        line,
        text_hash(texts[0]),
        text_hash(texts[1]),
        _hash(None if result.token_ids is None else np.asarray(result.token_ids, "<i4")),
        _hash(None if result.logprobs is None else np.asarray(result.logprobs, "<f4")),
        result.finish_reason,
        result.n_tokens,
    )


def _table_rows(rows: Rows) -> Iterator[tuple[object, ...]]:
    columns = ("rollout_id", "condition", "completion", "token_ids", "logprobs", "finish_reason", "n_tokens")
    for place, batch in batches(rows, "rollouts", columns):
        batch = batch.filter(pc.invert(pc.is_in(batch.column("condition"), pa.array(PUT_TOGETHER))))
        plain = batch.select(["rollout_id", "completion", "finish_reason", "n_tokens"]).to_pylist()
        tokens, logprobs = batch.column("token_ids"), batch.column("logprobs")
        for number, row in enumerate(plain):
            hashed = text_hash(row["completion"])
            yield (
                row["rollout_id"],
                0,
                "",
                0,
                hashed,
                hashed,
                _hash(_numbers(tokens[number], "<i4")),
                _hash(_numbers(logprobs[number], "<f4")),
                row["finish_reason"],
                row["n_tokens"],
                place.shard.path,
            )


def _artifact_rows(rows: Rows) -> Iterator[tuple[object, ...]]:
    """What a judge wrote, say: artifacts that were sampled. Their tokens stand in the journal alone."""
    columns = ("sample_id", "text", "finish_reason", "n_tokens")
    for place, batch in batches(rows, "artifacts", columns):
        for row in batch.to_pylist():
            if row["sample_id"] is not None:
                hashed = text_hash(row["text"])
                told = (row["finish_reason"], row["n_tokens"], place.shard.path)
                yield row["sample_id"], 0, "", 0, hashed, hashed, None, None, *told


def _numbers(values: Any, dtype: str) -> NDArray[Any] | None:
    """The values of an Arrow list, without making Python numbers of them."""
    return np.asarray(values.values.to_numpy(zero_copy_only=False), dtype) if values.is_valid else None


def _hash(values: NDArray[Any] | None) -> str:
    """A digest of an array's bytes; empty for none, so that SQL's `<>` compares it."""
    return "" if values is None else digest(values.tobytes())
