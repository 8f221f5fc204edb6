"""What an export leaves out, handed over in tables of many rows, problem after problem, and not held until the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa

from synthflow.schema import REJECTS
from synthflow.stages.export.ordering import KEYS, InOrder, joined, no_rank

AT_ONCE = 200_000
"""Rejects of a table, at least."""
_KIND_OF_REASON = pl.col("reason").str.split(" of r_").list.first()
"""A reason that ends in an id (`duplicate of r_…`) without it."""


class Rejects:
    """Takes the rejects of ledgers, and gives them back in order.

    Attributes:
        reasons: how many there are of each kind.
    """

    def __init__(self, scratch: Path, most: int, stage_id: str) -> None:
        self.reasons: Counter[str] = Counter()
        self._order = InOrder(scratch, most)
        self._stage_id = stage_id
        self._ready: list[pa.Table] = []

    def add(self, rejects: pl.DataFrame, target_kind: str, prefix: str) -> None:
        """Take rows of `REJECT_SCHEMA`; `prefix` comes before their reasons."""
        frame = rejects.with_columns(
            pl.lit(target_kind).alias("target_kind"),
            (pl.lit(prefix) + pl.col("reason")).alias("reason"),
            pl.lit(self._stage_id).alias("stage_id"),
        )
        self.reasons.update(dict(frame.select(_KIND_OF_REASON.value_counts().struct.unnest()).iter_rows()))
        keyed = REJECTS.conform(frame.to_arrow())
        id_ = joined([keyed["target_id"], keyed["reason"]], " ")
        for field, column in zip(KEYS, (no_rank(keyed.num_rows), keyed["problem_id"], id_), strict=True):
            keyed = keyed.append_column(field, column)
        self._order.add(keyed)

    def advance(self, before: str | None) -> Iterator[pa.Table]:
        """What is in order now, if it is many; `before` is the least problem that may still come, None if any may."""
        yield from self._take(self._order.advance(before), AT_ONCE)

    def finish(self) -> Iterator[pa.Table]:
        """The rest."""
        yield from self._take(self._order.finish(), AT_ONCE)
        yield from self._take((), 1)

    def _take(self, more: Iterable[pa.Table], least: int) -> Iterator[pa.Table]:
        self._ready.extend(rows.select(list(REJECTS.names)) for rows in more)
        if sum(rows.num_rows for rows in self._ready) >= least:
            yield pa.concat_tables(self._ready)
            self._ready = []
