"""The catalog: `stats.duckdb`, DuckDB views over the Parquet of a run, so that an analyst starts with SQL at once.

Invariants: the file holds views and comments, no rows, so it can be thrown away and built again; it is built aside
and renamed, and only ever opened read-only afterwards, so it has no writer while it is read; every declared table is
there, as a typed empty view if it has no rows. Paths in it are relative to the run directory: plain `duckdb
stats.duckdb` works from inside of it, `open_catalog` from everywhere, and by hand so does
`SET VARIABLE run = '/path/of/the/run/';`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synthflow.errors import InvariantBroken, UserError
from synthflow.schema import TABLES, TableSpec
from synthflow.stores.database import connected
from synthflow.stores.files import written_aside
from synthflow.stores.old_records import todays_words_sql

if TYPE_CHECKING:
    import duckdb

    from synthflow.stores.catalog.views import View

CATALOG = "stats.duckdb"
READABLE_SINCE = "v1.3.0"
"""The oldest DuckDB that opens a catalog: an analyst's own may be older than the one that wrote it."""


def build_catalog(run: Path, tables: Mapping[str, Sequence[str]]) -> Path:
    """Write the catalog of a run and return its path.

    Args:
        run: the run directory.
        tables: declared table -> paths of its shards, relative to the run directory.

    Raises:
        UserError: for a table that is not declared.
        InvariantBroken: if a shard is missing or cannot be read.
        NoSpace: if the disk is full; the catalog of before stays.
    """
    import duckdb

    from synthflow.stores.catalog.views import MACROS, VIEWS

    for name in tables:
        if name not in TABLES:
            raise UserError(f"no table is called {name!r}; known: {', '.join(TABLES)}")
    path = run / CATALOG
    with written_aside(path) as aside:
        con = connected(str(aside), {"storage_compatibility_version": READABLE_SINCE})
        try:
            _anchor(con, run)
            con.execute("BEGIN")  # one flush to the disk, not one a comment
            for table in TABLES.values():
                con.execute(f"CREATE VIEW {_name(table.name)} AS {_rows(table, tables.get(table.name, ()))}")
                _comment(con, table.name, table.comment, {c.name: c.comment for c in table.columns})
            for macro in MACROS:
                con.execute(macro)
            for view in VIEWS:
                con.execute(f"CREATE VIEW {_name(view.name)} AS {view.sql}")
                _comment(con, view.name, view.comment, _column_comments(view))
            con.execute("COMMIT")
        except duckdb.IOException as error:
            raise InvariantBroken(f"{path}: a shard cannot be read: {str(error).splitlines()[0]}") from error
        finally:
            con.close()
    return path


def open_catalog(run: str | Path, *, locked: bool = False, memory_mb: int | None = None) -> duckdb.DuckDBPyConnection:
    """A connection that reads the catalog of a run, wherever the run stands.

    The run's views can be named without a prefix; the database is attached as `run` and cannot be written.

    Args:
        locked: also forbid files outside of the run directory, extensions and settings.
        memory_mb: what queries may hold before they go to disk; None: DuckDB's own limit.

    Raises:
        UserError: if there is no catalog, or none that this version of DuckDB can open.
    """
    import duckdb

    root = Path(run)
    path = root / CATALOG
    if not path.is_file():
        raise UserError(f"{root}: no {CATALOG} here; give a run directory in which `synthflow run` has finished a run")
    # In memory with the catalog attached: DuckDB caches opened files by path and would show a replaced catalog's
    # old content to a process that had it open before.
    con = connected()
    try:
        con.execute(f"SET temp_directory = {_text(str(Path(tempfile.gettempdir()) / f'synthflow-sql-{os.getpid()}'))}")
        if memory_mb is not None:
            con.execute(f"SET memory_limit = '{memory_mb}MB'")
        con.execute(f"ATTACH {_text(str(path))} AS run (READ_ONLY)")
        con.execute("USE run")
        _anchor(con, root)
        if locked:
            # Both spellings: DuckDB checks the pattern it was given, then the file that it found.
            allowed = {_text(f"{path}/") for path in (str(root.resolve()), _unglobbed(str(root.resolve())))}
            con.execute(f"SET allowed_directories = [{', '.join(sorted(allowed))}]")
            con.execute("SET enable_external_access = false")
            con.execute("SET lock_configuration = true")
    except duckdb.Error as error:
        con.close()
        first = str(error).splitlines()[0]
        raise UserError(f"{path}: cannot be opened ({first}); run `synthflow run` again to rebuild it") from error
    return con


def _anchor(con: duckdb.DuckDBPyConnection, run: Path) -> None:
    """Tell the views where the run stands."""
    con.execute(f"SET VARIABLE run = {_text(_unglobbed(str(run.resolve())) + '/')}")


def _rows(table: TableSpec, shards: Sequence[str]) -> str:
    """SELECT of a table's rows: the declared columns in order, from its shards or from nowhere."""
    if not shards:
        columns = ", ".join(f"CAST(NULL AS {_duckdb_type(c.type)}) AS {_name(c.name)}" for c in table.columns)
        return f"SELECT {columns} WHERE false"
    words = todays_words_sql(table.name)
    columns = ", ".join(f"{words[c.name]} AS {c.name}" if c.name in words else _name(c.name) for c in table.columns)
    paths = ", ".join(_text(_unglobbed(path)) for path in shards)
    anchored = f"list_transform([{paths}], lambda p: coalesce(getvariable('run'), '') || p)"
    return f"SELECT {columns} FROM read_parquet({anchored}, hive_partitioning = false)"


def _duckdb_type(arrow: object) -> str:
    """DuckDB's name of an Arrow type.

    Raises:
        TypeError: for a type that no declared table uses.
    """
    import pyarrow as pa

    plain = {"string": "VARCHAR", "int32": "INTEGER", "int64": "BIGINT", "float": "FLOAT", "double": "DOUBLE",
             "bool": "BOOLEAN"}  # fmt: skip
    if isinstance(arrow, pa.ListType):
        return f"{_duckdb_type(arrow.value_type)}[]"
    if isinstance(arrow, pa.StructType):
        fields = (arrow.field(i) for i in range(arrow.num_fields))
        return f"STRUCT({', '.join(f'{_name(f.name)} {_duckdb_type(f.type)}' for f in fields)})"
    if str(arrow) not in plain:
        raise TypeError(f"no DuckDB type for {arrow}")
    return plain[str(arrow)]


def _comment(con: duckdb.DuckDBPyConnection, view: str, comment: str, columns: Mapping[str, str]) -> None:
    con.execute(f"COMMENT ON VIEW {_name(view)} IS {_text(comment)}")
    held = [row[0] for row in con.execute(f"DESCRIBE {_name(view)}").fetchall()]
    for name in held:
        if name not in columns:
            raise TypeError(f"view {view}: column {name!r} has no comment")
        con.execute(f"COMMENT ON COLUMN {_name(view)}.{_name(name)} IS {_text(columns[name])}")


_BY_COLUMN = {c.name: c.comment for t in reversed(list(TABLES.values())) for c in t.columns}


def _column_comments(view: View) -> dict[str, str]:
    """The view's own comments, and those of the declared columns that keep their names in it."""
    return {**_BY_COLUMN, **view.columns}


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _unglobbed(path: str) -> str:
    """A path that read_parquet takes literally: it reads *, ? and [ as patterns."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in path)
