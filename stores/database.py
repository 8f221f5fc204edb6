"""Connections to DuckDB that print nothing.

DuckDB takes a process whose `__main__` has no file (`python -c`, a worker) for a person at a prompt, and draws a
progress bar on standard output over every query of more than two seconds, in the midst of what is printed there
(`findings/duckdb_progress_bar.sh`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb


def connected(path: str = ":memory:", settings: Mapping[str, Any] | None = None) -> duckdb.DuckDBPyConnection:
    """A connection, whose owner closes it."""
    import duckdb

    connection = duckdb.connect(path, config=dict(settings or {}))
    connection.execute("SET enable_progress_bar = false")  # no setting that `connect` takes
    return connection
