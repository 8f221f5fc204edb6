"""Inputs read from committed shards, for one partition or for the whole run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synthflow.contracts import Inputs, StageInfo
from synthflow.schema import TABLES
from synthflow.stores.graph import ALL
from synthflow.stores.manifest import Commit
from synthflow.stores.shards import read_shards


class ShardInputs(Inputs):
    """Rows of the committed shards of a stage's ancestors.

    Args:
        commits: stage -> unit -> commit. A partition-scoped stage has one unit a partition, a whole one `all`.
        unit: the partition to read, or None for the whole run.
    """

    def __init__(
        self,
        root: Path,
        ancestors: Sequence[StageInfo],
        parents: Sequence[str],
        commits: Mapping[str, Mapping[str, Commit]],
        sources: Sequence[str],
        unit: str | None,
    ) -> None:
        self._root, self._ancestors, self._parents = root, tuple(ancestors), tuple(parents)
        self._commits, self._sources, self._unit = commits, tuple(sources), unit
        self._problem_ids: Any = None

    @property
    def ancestors(self) -> Sequence[StageInfo]:
        return self._ancestors

    @property
    def parents(self) -> Sequence[str]:
        return self._parents

    def of_stage(self, stage: str, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        units = self._commits.get(stage, {})
        if self._unit is None:
            return self._read(units.values(), table, columns)
        if self._unit in units:
            return self._read([units[self._unit]], table, columns)
        if ALL in units:
            return self._of_these_problems([units[ALL]], table, columns)
        return self._read([], table, columns)

    def _read(
        self,
        commits: Iterable[Commit],
        table: str,
        columns: Sequence[str] | None,
        problems: tuple[str, str] | None = None,
    ) -> pa.Table:
        wanted = list(columns) if columns is not None else None
        shards = [s for c in commits for s in c.shards if s.table == table]
        if not shards:
            empty = TABLES[table].empty()
            return empty.select(wanted) if wanted is not None else empty
        return read_shards(self._root, shards, wanted, problems)

    def _of_these_problems(self, commits: Sequence[Commit], table: str, columns: Sequence[str] | None) -> pa.Table:
        if self._problem_ids is None:
            tables = [self.of_stage(s, "problems", ["problem_id"]) for s in self._sources]
            self._problem_ids = pa.concat_tables(tables)["problem_id"].combine_chunks()
        ids = self._problem_ids
        wanted = None if columns is None else [*columns, *({"problem_id"} - set(columns))]
        ends = (str(pc.min(ids)), str(pc.max(ids))) if len(ids) else None
        rows = self._read(commits, table, wanted, ends)
        rows = rows.filter(pc.is_in(rows["problem_id"], value_set=self._problem_ids))
        return rows.select(list(columns)) if columns is not None else rows

    def partitions(self) -> Iterator[Inputs]:
        if self._unit is not None:
            yield self
            return
        for source in self._sources:
            for unit, commit in self._commits.get(source, {}).items():
                if all(shard.table != "problems" for shard in commit.shards):
                    continue  # what the source left out is no partition
                yield ShardInputs(self._root, self._ancestors, self._parents, self._commits, [source], unit)
