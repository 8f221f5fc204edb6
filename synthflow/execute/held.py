"""Columns of a partition that a worker keeps from one stage to the next, so that each is read once.

Invariant: rows and their order are those of the shards.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from synthflow.contracts import StageInfo
from synthflow.execute.shard_inputs import ShardInputs
from synthflow.schema import TABLES
from synthflow.stores.manifest import Commit


class Held:
    """Columns by stage and table, up to some bytes; what comes later is read whenever it is asked for."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._tables: dict[tuple[str, str], dict[str, pa.ChunkedArray[Any]]] = {}

    def of(self, stage: str, table: str) -> Mapping[str, pa.ChunkedArray[Any]]:
        return self._tables.get((stage, table), {})

    def add(self, stage: str, table: str, rows: pa.Table) -> None:
        if rows.nbytes <= self._left:
            self._left -= rows.nbytes
            self._tables.setdefault((stage, table), {}).update(zip(rows.column_names, rows.columns, strict=True))


class HeldInputs(ShardInputs):
    """Inputs of one partition that keep what they read."""

    def __init__(
        self,
        root: Path,
        ancestors: Sequence[StageInfo],
        parents: Sequence[str],
        commits: Mapping[str, Mapping[str, Commit]],
        sources: Sequence[str],
        units: Collection[str] | None,
        held: Held,
    ) -> None:
        super().__init__(root, ancestors, parents, commits, sources, units)
        self._held = held

    def of_stage(self, stage: str, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        spec = TABLES[table]
        wanted = spec.names if columns is None else tuple(columns)
        known = dict(self._held.of(stage, table))
        missing = [name for name in dict.fromkeys(wanted) if name not in known]
        if missing or not wanted:
            rows = super().of_stage(stage, table, missing if len(missing) < len(spec.names) else None)
            self._held.add(stage, table, rows)
            known |= zip(rows.column_names, rows.columns, strict=True)
        schema = spec.schema if columns is None else pa.schema([spec.schema.field(name) for name in wanted])
        return pa.table([known[name] for name in wanted], schema=schema)
