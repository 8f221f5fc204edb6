"""The intact rows of a run as DuckDB views, and how a check reports what it finds in them.

Invariants: only shards that passed `shards.check_shards` are read; a row is never blamed for what stood in a shard
that is damaged or not made yet (`whole` says which rows may be judged), and rows of a file that no commit counts any
more are not seen. Memory is bounded: DuckDB streams the Parquet, and spills what it sorts or joins to a scratch folder
beyond its limit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from synthflow.check.report import Finding, Findings, Severity
from synthflow.check.shards import Placed
from synthflow.schema import TABLES
from synthflow.stores.database import connected
from synthflow.stores.graph import ALL, Graph
from synthflow.stores.old_records import todays_words_sql
from synthflow.stores.shards import Shard

_MEMORY = "512MB"
_THREADS = 4
_SMALL = 32 << 20  # bytes of shards; below, starting threads costs more than they bring
_OWN = ("sf_path", "sf_stage", "sf_unit", "sf_stage_id")
_NUMBERS = ("sf_first", "sf_rows")


def quoted(text: str) -> str:
    """A SQL string."""
    return "'" + text.replace("'", "''") + "'"


class Rows:
    """The active, intact rows of a run.

    Args:
        scratch: an empty folder, for what DuckDB spills. The run is linked into it, so that no character in the
            run's own path can be taken for a pattern.
        rows_of: rows of a file that units share; None for a file of one unit.
        missing: (table, stage, unit) of shards that should be there, but are damaged or owed.
        released: (stage, path) of the intact files of releases.
    """

    def __init__(
        self,
        root: Path,
        scratch: Path,
        intact: Sequence[Placed],
        rows_of: Callable[[str], int | None],
        missing: set[tuple[str, str, str]],
        graph: Graph,
        found: Findings,
        released: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.released = tuple(released)
        self.graph, self.found, self._intact, self._missing = graph, found, list(intact), missing
        self._rows_of = rows_of
        self.link = scratch / "run"
        self.link.symlink_to(root.resolve(), target_is_directory=True)
        self.connection = connected(str(scratch / "check.duckdb"))
        self.connection.execute(f"SET memory_limit = '{_MEMORY}'; SET preserve_insertion_order = false")
        is_small = sum({p.shard.path: p.shard.bytes for p in intact}.values()) < _SMALL
        self.connection.execute(f"SET threads = {1 if is_small else min(_THREADS, os.cpu_count() or 1)}")
        self.connection.execute(f"SET temp_directory = {quoted(str(scratch / 'spill'))}")
        self._views: dict[tuple[str, tuple[str, ...] | None], str] = {}
        self._place()

    def _place(self) -> None:
        columns = {
            "sf_file": [str(self.link / p.shard.path) for p in self._intact],
            "sf_path": [p.shard.path for p in self._intact],
            "sf_stage": [p.stage for p in self._intact],
            "sf_unit": [p.unit for p in self._intact],
            "sf_stage_id": [p.stage_id for p in self._intact],
            "sf_first": [p.shard.start or 0 for p in self._intact],
            "sf_rows": [p.shard.rows for p in self._intact],
        }
        fields = [pa.field(n, pa.int64() if n in _NUMBERS else pa.string()) for n in columns]
        table = pa.table(columns, schema=pa.schema(fields))
        self.connection.register("incoming", table)
        self.connection.execute("CREATE OR REPLACE TABLE placed AS SELECT * FROM incoming")
        self.connection.unregister("incoming")

    @contextmanager
    def in_one_go(self) -> Iterator[None]:
        """What is inserted meanwhile is flushed to the disk once."""
        self.connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def close(self) -> None:
        self.connection.close()

    def placed(self, table: str, stages: Sequence[str] | None = None) -> list[Placed]:
        """The intact shards of a table, of all stages or of some."""
        return [p for p in self._intact if p.shard.table == table and (stages is None or p.stage in stages)]

    def runs(self, table: str) -> Iterator[tuple[str, list[Shard]]]:
        """The files of a table's intact shards, each with these shards in the order of their rows."""
        files: dict[str, list[Shard]] = {}
        for place in self.placed(table):
            files.setdefault(place.shard.path, []).append(place.shard)
        for path, shards in files.items():
            yield path, sorted(shards, key=lambda shard: shard.start or 0)

    def drop(self, broken: Collection[str]) -> None:
        """Take files out that turned out to be damaged."""
        self._missing |= {(p.shard.table, p.stage, p.unit) for p in self._intact if p.shard.path in broken}
        self._intact = [p for p in self._intact if p.shard.path not in broken]
        self._views.clear()
        self._place()

    def files(self) -> list[str]:
        """Paths of all files with intact shards."""
        return list(dict.fromkeys(p.shard.path for p in self._intact))

    def view(self, table: str, stages: Sequence[str] | None = None) -> str:
        """Name of a view over a table's rows, with sf_path, sf_stage, sf_unit and sf_stage_id beside its columns."""
        key = (table, None if stages is None else tuple(sorted(stages)))
        if key not in self._views:
            name = f"v{len(self._views)}_{table}"
            body = " UNION ALL ".join(self._select(table, placed) for placed in self._by_stage(table, stages))
            if not body:
                self.connection.register(f"empty_{table}", TABLES[table].empty())
                body = f"SELECT *, {', '.join(f'NULL::VARCHAR AS {c}' for c in _OWN)} FROM empty_{table}"
            self.connection.execute(f"CREATE OR REPLACE VIEW {name} AS {body}")
            self._views[key] = name
        return self._views[key]

    def _by_stage(self, table: str, stages: Sequence[str] | None) -> list[list[Placed]]:
        groups: dict[tuple[str, str], list[Placed]] = {}
        for place in self.placed(table, stages):
            groups.setdefault((place.stage, place.stage_id), []).append(place)
        return list(groups.values())

    def _select(self, table: str, placed: Sequence[Placed]) -> str:
        """SQL for the rows of one stage. Whose each row is, is looked up only where it matters: for some unit rows are
        missing, or a file has rows that no commit counts.
        """
        counted: dict[str, int] = {}
        for place in placed:
            counted[place.shard.path] = counted.get(place.shard.path, 0) + place.shard.rows
        files = ", ".join(quoted(str(self.link / path)) for path in counted)
        if self._missing or any(self._rows_of(path) not in (None, rows) for path, rows in counted.items()):
            return (
                f"SELECT r.* EXCLUDE (filename, file_row_number){_replaced(table)}, "
                f"{', '.join(f'p.{c}' for c in _OWN)} FROM "
                f"read_parquet([{files}], filename = true, file_row_number = true) r JOIN placed p ON "
                "r.filename = p.sf_file AND r.file_row_number BETWEEN p.sf_first AND p.sf_first + p.sf_rows - 1"
            )
        own = {
            "sf_path": f"substr(filename, {len(str(self.link)) + 2})",
            "sf_stage": quoted(placed[0].stage),
            "sf_unit": "NULL::VARCHAR",
            "sf_stage_id": quoted(placed[0].stage_id),
        }
        return (
            f"SELECT * EXCLUDE (filename){_replaced(table)}, {', '.join(f'{own[c]} AS {c}' for c in _OWN)} "
            f"FROM read_parquet([{files}], filename = true)"
        )

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
