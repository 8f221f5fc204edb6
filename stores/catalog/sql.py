"""SQL on a run: queries that read, errors of one line, and what the catalog holds.

Invariant: a query changes nothing. The database is attached read-only, files outside of the run cannot be opened,
and statements other than SELECT (which DESCRIBE, SHOW, SUMMARIZE and PIVOT are too) are refused before they run, as
is COPY inside of one, which DuckDB counts as a SELECT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthflow.errors import UserError, suggest
from synthflow.stores.catalog.build import open_catalog

if TYPE_CHECKING:
    import duckdb

BATCH = 1000
"""Rows fetched at once."""

_STARTS = {"select", "from", "with", "values", "table", "describe", "desc", "show", "summarize", "pivot", "unpivot"}
_WRITES = {"copy", "query", "json_execute_serialized_sql"}
"""Words by which a SELECT could write: COPY in a common table expression, or functions that run SQL from a text."""


@dataclass(frozen=True, slots=True)
class ViewDescription:
    """A view of the catalog; `columns` holds name, type and comment of each column."""

    name: str
    comment: str
    columns: tuple[tuple[str, str, str], ...]


def query(run: str | Path, sql: str) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """Column names and rows of one query; rows are fetched while they are iterated.

    Raises:
        UserError: if there is no catalog; if `sql` is wrong (with the nearest name that exists), is not one
            statement, or would change anything.
    """
    con = open_catalog(run, locked=True)
    try:
        _refuse_writes(con, sql)
        columns = _run(con, sql)
    except BaseException:
        con.close()
        raise
    return columns, _fetched(con)


def describe(run: str | Path) -> list[ViewDescription]:
    """Tables and views of the catalog, the declared tables first.

    Raises:
        UserError: if there is no catalog.
    """
    con = open_catalog(run, locked=True)
    try:
        columns: dict[str, list[tuple[str, str, str]]] = {}
        for view, name, kind, comment in con.execute(
            "SELECT table_name, column_name, data_type, coalesce(comment, '') FROM duckdb_columns() "
            "WHERE database_name = 'run' AND NOT internal ORDER BY table_oid, column_index"
        ).fetchall():
            columns.setdefault(view, []).append((name, kind, comment))
        comments = con.execute(
            "SELECT view_name, coalesce(comment, '') FROM duckdb_views() WHERE database_name = 'run' AND NOT internal"
        ).fetchall()
        by_name = dict(comments)
        return [ViewDescription(view, by_name.get(view, ""), tuple(held)) for view, held in columns.items()]
    finally:
        con.close()


def _refuse_writes(con: duckdb.DuckDBPyConnection, sql: str) -> None:
    import duckdb

    try:
        statements = con.extract_statements(sql)
    except duckdb.Error as error:
        raise UserError(f"the query cannot be read: {_one_line(str(error))}") from error
    if len(statements) != 1:
        raise UserError(f"give one SQL statement; this holds {len(statements)}")
    words = _words(sql)
    first = next((word for word, _ in words if word != "("), "")
    if first == "explain":
        first = next((word for word, _ in words[1:] if word not in {"analyze", "("}), "")
    kinds = {"StatementType.SELECT", "StatementType.MULTI", "StatementType.EXPLAIN"}
    if str(statements[0].type) not in kinds or first not in _STARTS:
        raise UserError(f"only queries that read are run here, not {(first or 'this').upper()}; use SELECT")
    for word, is_called in words:
        if word in _WRITES and (word == "copy" or is_called):
            raise UserError(f"{word!r} is not run here because it can write; to use it as a name, quote it")


def _words(sql: str) -> list[tuple[str, bool]]:
    """Unquoted words and opening brackets outside of comments and texts, in lower case; whether `(` follows."""
    import duckdb

    raw = sql.encode("utf-8", "surrogatepass")
    tokens = duckdb.tokenize(sql)
    found: list[tuple[str, bool]] = []
    for (start, kind), (end, _) in zip(tokens, [*tokens[1:], (len(raw), None)], strict=True):
        text = raw[start:end].decode("utf-8", "replace")
        name = getattr(kind, "name", str(kind))
        if name in {"string_const", "comment", "numeric_const"}:
            continue
        word = text.strip().lower()
        if word == "(":
            found[-1:] = [(found[-1][0], True)] if found else []
        # A comment may hang on the text up to the next token.
        if match := re.match(r"[a-z_][\w$]*|\(", word):
            found.append((match.group(), False))
    return found


def _run(con: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    import duckdb

    try:
        con.execute(sql)
    except duckdb.Error as error:
        raise UserError(f"the query failed: {_one_line(str(error))}{_nearest(con, str(error))}") from error
    return [column[0] for column in con.description or ()]


def _fetched(con: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    import duckdb

    try:
        while batch := con.fetchmany(BATCH):
            yield from batch
    except duckdb.Error as error:
        raise UserError(f"the query failed: {_one_line(str(error))}") from error
    finally:
        con.close()


def _one_line(message: str) -> str:
    """DuckDB's message without the drawing of where in the query."""
    text = message.split("\n\nLINE ")[0]
    return " ".join(text.split()).rstrip(".")


_NO_TABLE = re.compile(r"Table with name (\S+) does not exist")
_NO_COLUMN = re.compile(r'(?:Referenced column|does not have a column named|column named) "([^"]+)"')


def _nearest(con: duckdb.DuckDBPyConnection, message: str) -> str:
    """`; did you mean …` from all names of the catalog, where DuckDB has no suggestion of its own."""
    import duckdb

    with suppress(duckdb.Error):
        rows = con.execute(
            "SELECT DISTINCT table_name, column_name FROM duckdb_columns() WHERE database_name = 'run' AND NOT internal"
        ).fetchall()
        owners: dict[str, list[str]] = {}
        for table, column in sorted(rows):
            owners.setdefault(column, []).append(table)
        if match := _NO_TABLE.search(message):
            tables = sorted({table for table, _ in rows})
            return "" if "Did you mean" in message else f"; {suggest(match.group(1), tables) or _known(tables)}"
        if match := _NO_COLUMN.search(message):
            missing = match.group(1)
            held = f"{missing!r} is a column of {', '.join(owners[missing])}" if missing in owners else ""
            hint = held or suggest(missing, owners)
            return f"; {hint}" if hint else ""
    return ""


def _known(names: list[str]) -> str:
    return f"known: {', '.join(names)}"
