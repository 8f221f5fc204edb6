"""The intact rows of a run as DuckDB views, and how a check reports what it finds in them.

Invariants: only shards that passed `shards.check_shards` are read; a row is never blamed for what stood in a shard
that is damaged or not made yet (`whole` says which rows may be judged). Memory is bounded: DuckDB streams the
Parquet, and spills what it sorts or joins to a scratch folder beyond its limit.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from synthflow.check.report import Finding, Findings, Severity
from synthflow.check.shards import Placed
from synthflow.schema import TABLES
from synthflow.stores.database import connected
from synthflow.stores.graph import ALL, Graph
from synthflow.stores.old_records import todays_words_sql

_MEMORY = "1GB"
_THREADS = 4
_SMALL = 32 << 20  # bytes of shards; below, starting threads costs more than they bring
_OWN = ("sf_path", "sf_stage", "sf_unit", "sf_stage_id")


def quoted(text: str) -> str:
    """A SQL string."""
    return "'" + text.replace("'", "''") + "'"


class Rows:
    """The active, intact rows of a run.

    Args:
        scratch: an empty folder, for what DuckDB spills. The run is linked into it, so that no character in the
            run's own path can be taken for a pattern.
        missing: (table, stage, unit) of shards that should be there, but are damaged or owed.
        released: (stage, path) of the intact files of releases.
    """

    def __init__(
        self,
        root: Path,
        scratch: Path,
        intact: Sequence[Placed],
        missing: set[tuple[str, str, str]],
        graph: Graph,
        found: Findings,
        released: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.released = tuple(released)
        self.graph, self.found, self._intact, self._missing = graph, found, list(intact), missing
        self.link = scratch / "run"
        self.link.symlink_to(root.resolve(), target_is_directory=True)
        self.connection = connected(str(scratch / "check.duckdb"))
        self.connection.execute(f"SET memory_limit = '{_MEMORY}'; SET preserve_insertion_order = false")
        is_small = sum(p.shard.bytes for p in intact) < _SMALL
        self.connection.execute(f"SET threads = {1 if is_small else min(_THREADS, os.cpu_count() or 1)}")
        self.connection.execute(f"SET temp_directory = {quoted(str(scratch / 'spill'))}")
        self._views: dict[tuple[str, tuple[str, ...] | None], str] = {}
        self._place()

    def _place(self) -> None:
        columns = [[str(self.link / p.shard.path), p.shard.path, p.stage, p.unit, p.stage_id] for p in self._intact]
        names = ["sf_file", *_OWN]
        table = pa.table([pa.array([row[i] for row in columns], pa.string()) for i in range(len(names))], names=names)
        self.connection.register("incoming", table)
        self.connection.execute("CREATE OR REPLACE TABLE placed AS SELECT * FROM incoming")
        self.connection.unregister("incoming")

    def close(self) -> None:
        self.connection.close()

    def placed(self, table: str, stages: Sequence[str] | None = None) -> list[Placed]:
        """The intact shards of a table, of all stages or of some."""
        return [p for p in self._intact if p.shard.table == table and (stages is None or p.stage in stages)]

    def file(self, place: Placed) -> Path:
        return self.link / place.shard.path

    def drop(self, broken: Sequence[Placed]) -> None:
        """Take shards out that turned out to be damaged."""
        self._intact = [p for p in self._intact if p not in broken]
        self._missing |= {(p.shard.table, p.stage, p.unit) for p in broken}
        self._views.clear()
        self._place()

    def everything(self) -> list[Placed]:
        return list(self._intact)

    def view(self, table: str, stages: Sequence[str] | None = None) -> str:
        """Name of a view over a table's rows, with sf_path, sf_stage, sf_unit and sf_stage_id beside its columns."""
        key = (table, None if stages is None else tuple(sorted(stages)))
        if key not in self._views:
            name = f"v{len(self._views)}_{table}"
            files = [str(self.file(p)) for p in self.placed(table, stages)]
            if files:
                listed = ", ".join(map(quoted, files))
                body = (
                    f"SELECT r.* EXCLUDE (filename){_replaced(table)}, {', '.join(f'p.{c}' for c in _OWN)} FROM "
                    f"read_parquet([{listed}], filename = true) r JOIN placed p ON r.filename = p.sf_file"
                )
            else:
                self.connection.register(f"empty_{table}", TABLES[table].empty())
                body = f"SELECT *, {', '.join(f'NULL::VARCHAR AS {c}' for c in _OWN)} FROM empty_{table}"
            self.connection.execute(f"CREATE OR REPLACE VIEW {name} AS {body}")
            self._views[key] = name
        return self._views[key]

    def whole(self, alias: str, *needed: tuple[str, Sequence[str] | None]) -> str:
        """SQL condition: the rows of `needed` (table, stages) that a row of `alias` may refer to can all be read."""
        units = {
            unit
            for missing, stage, unit in self._missing
            for table, stages in needed
            if missing == table and (stages is None or stage in stages)
        }
        if ALL in units:
            return "false"
        if not units:
            return "true"
        return f"{alias}.sf_unit NOT IN ({', '.join(map(quoted, sorted({*units, ALL})))})"

    def nearest(self, stage: str, table: str) -> list[str]:
        """Names of the stages that a stage reads `table` from with `nearest=True`."""
        found: set[str] = set()
        todo = list(self.graph.stages[stage].parents)
        while todo:
            record = self.graph.stages[todo.pop()]
            if table in record.writes:
                found.add(record.name)
            else:
                todo.extend(record.parents)
        return sorted(found)

    def above(self, stage: str, table: str) -> list[str]:
        """Names of the ancestors of a stage that write `table`."""
        return [a for a in self.graph.ancestors_of(stage) if table in self.graph.stages[a].writes]

    def count(self, kind: str, table: str, stages: Sequence[str] | None = None) -> bool:
        """Note how many rows a check looks at; whether there are any."""
        rows = sum(p.shard.rows for p in self.placed(table, stages))
        self.found.checked[kind] += rows
        return rows > 0

    def faults(self, kind: str, key: str, sql: str, fix: str, severity: Severity = "error") -> None:
        """Report every row of a query with columns sf_path, id and what; `key` names the id."""
        limit = 50
        query = f"SELECT sf_path, id, what, count(*) OVER () FROM ({sql}) ORDER BY ALL LIMIT {limit}"
        rows: list[Any] = self.connection.execute(query).fetchall()
        for number, (path, id_, what, total) in enumerate(rows):
            more = total - len(rows) if number == len(rows) - 1 else 0
            self.found.add(Finding(severity, kind, f"{path} {key}={id_}", what, fix), more)


def _replaced(table: str) -> str:
    words = [f"{sql} AS {column}" for column, sql in todays_words_sql(table).items()]
    return f" REPLACE ({', '.join(words)})" if words else ""
