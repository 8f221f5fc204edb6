"""Inputs read from committed shards, for some partitions or for the whole run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synthflow.contracts import Inputs, StageInfo
from synthflow.ids import content_id
from synthflow.schema import TABLES
from synthflow.stores.graph import ALL
from synthflow.stores.manifest import Commit
from synthflow.stores.shards import Shard, read_shards, row_groups

BUNDLE_BYTES = 2 * 2**20
"""Bytes of shards that are read together; a partition with more is a bundle of its own."""


class ShardInputs(Inputs):
    """Rows of the committed shards of a stage's ancestors.

    Args:
        commits: stage -> unit -> commit. A partition-scoped stage has one unit a partition, a whole one `all`.
        units: the partitions to read, or None for the whole run.
    """

    def __init__(
        self,
        root: Path,
        ancestors: Sequence[StageInfo],
        parents: Sequence[str],
        commits: Mapping[str, Mapping[str, Commit]],
        sources: Sequence[str],
        units: Collection[str] | None,
    ) -> None:
        self._root, self._ancestors, self._parents = root, tuple(ancestors), tuple(parents)
        self._commits, self._sources, self._units = commits, tuple(sources), units
        self._problem_ids: Any = None
        self._firsts: dict[str, str] = {}

    @property
    def ancestors(self) -> Sequence[StageInfo]:
        return self._ancestors

    @property
    def parents(self) -> Sequence[str]:
        return self._parents

    def of_stage(self, stage: str, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        commits = self._commits.get(stage, {})
        if self._units is None:
            return self._read(commits.values(), table, columns)
        mine = [commits[unit] for unit in self._units if unit in commits]
        if not mine and ALL in commits:
            return self._of_these_problems([commits[ALL]], table, columns)
        return self._read(mine, table, columns)

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
        if self._units is not None:
            yield self
            return
        for unit in self._partitions:
            yield self._of([unit])

    def bundles(self, parts: Collection[str] | None = None) -> Iterator[tuple[Inputs, str | None]]:
        if self._units is not None:
            yield self, None
            return
        firsts = self._first_problems(parts)
        sizes, groups = self._sizes(firsts)
        bundle: list[str] = []
        held = 0
        for unit in sorted(firsts, key=lambda unit: (firsts[unit], unit)):
            # A row group is read as a whole: it belongs to one bundle, unless it is of problems from everywhere.
            parted = bool(bundle) and (groups[unit] != groups[bundle[-1]] or held > 3 * BUNDLE_BYTES)
            if parted and held + sizes[unit] > BUNDLE_BYTES:
                yield self._of(bundle), firsts[unit]
                bundle, held = [], 0
            bundle.append(unit)
            held += sizes[unit]
        if bundle:
            yield self._of(bundle), None

    def _of(self, units: Collection[str]) -> ShardInputs:
        return ShardInputs(self._root, self._ancestors, self._parents, self._commits, self._sources, units)

    def parts(self) -> Mapping[str, str]:
        wholes = [self._commits[a.name][ALL] for a in self._ancestors if ALL in self._commits.get(a.name, {})]
        found = {}
        for unit in self._partitions:
            own = [units[unit] for units in self._commits.values() if unit in units]
            # A unit that was asked again has its old key and may have other rows.
            found[unit] = content_id("q", sorted([c.stage, c.key, c.attempt] for c in [*wholes, *own]))
        return found

    def _first_problems(self, parts: Collection[str] | None) -> dict[str, str]:
        """The least problem of every partition."""
        wanted = [unit for unit in self._partitions if parts is None or unit in parts]
        shards = [(unit, shard) for unit in wanted if unit not in self._firsts for shard in self._partitions[unit]]
        if shards:
            ids = read_shards(self._root, [shard for _, shard in shards], ["problem_id"]).column(0)
            start = 0
            for unit, shard in shards:
                least = str(pc.min(ids.slice(start, shard.rows)))
                self._firsts[unit] = min(least, self._firsts.get(unit, least))
                start += shard.rows
        return {unit: self._firsts[unit] for unit in wanted}

    @cached_property
    def _partitions(self) -> dict[str, list[Shard]]:
        """The problems of every partition; what a source left out is none."""
        found = {}
        for source in self._sources:
            for unit, commit in self._commits.get(source, {}).items():
                problems = [shard for shard in commit.shards if shard.table == "problems"]
                if problems:
                    found[unit] = problems
        return found

    def _sizes(self, units: Collection[str]) -> tuple[Counter[str], dict[str, tuple[str, int]]]:
        """Bytes of the shards of each unit, of a file that it shares its part; and the row group of the largest."""
        shards = [
            (unit, s) for commits in self._commits.values() for unit, commit in commits.items() for s in commit.shards
        ]
        rows: Counter[str] = Counter()
        for _, shard in shards:
            rows[shard.path] += shard.rows
        sizes: Counter[str] = Counter()
        largest: dict[str, tuple[int, Shard]] = {}
        for unit, shard in shards:
            size = shard.bytes * shard.rows // max(1, rows[shard.path])
            sizes[unit] += size
            if unit in units and (unit not in largest or size > largest[unit][0]):
                largest[unit] = size, shard
        return sizes, row_groups(self._root, {unit: shard for unit, (_, shard) in largest.items()})
