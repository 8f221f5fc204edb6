"""`source.rows`: problems that are in memory, as rows, become a file that a run keeps.

Invariant: a pipeline is data, so a run has its rows beside it: `inputs/STAGE.jsonl` of a list, `inputs/STAGE.parquet`
of a frame, read by `source.jsonl` and `source.parquet` with all their fields.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthflow.errors import UserError

USE = "source.rows"


def written_out(stages: Mapping[str, Any], folder: Path, base_dir: Path) -> dict[str, Any]:
    """Stages as a pipeline file has them: the rows of each `source.rows` are in a file under `folder`.

    Args:
        base_dir: what the paths of the stages are relative to.

    Raises:
        UserError: if rows are none.
    """
    made = dict(stages)
    for name, given in stages.items():
        if _is_rows(given):
            use, path = _written(name, given, folder)
            fields = {key: value for key, value in given.items() if key not in ("use", "rows")}
            made[name] = {"use": use, "path": os.path.relpath(path, base_dir.resolve()), **fields}
    return made


def has_rows(stages: Mapping[str, Any]) -> bool:
    return any(_is_rows(given) for given in stages.values())


def _is_rows(given: Any) -> bool:
    return isinstance(given, Mapping) and given.get("use") == USE


def _written(name: str, given: Mapping[str, Any], folder: Path) -> tuple[str, Path]:
    """The source that reads the rows again, and the file."""
    if "rows" not in given:
        raise UserError(f"stages.{name}: {USE} needs rows: a list of dicts, or a pandas, polars or Arrow table")
    rows = given["rows"]
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(rows, list | tuple):
        path = folder / f"{name}.jsonl"
        _write_lines(name, rows, path)
        return "source.jsonl", path
    path = folder / f"{name}.parquet"
    _write_table(name, rows, path)
    return "source.parquet", path


def _write_lines(name: str, rows: list[Any] | tuple[Any, ...], path: Path) -> None:
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise UserError(f"stages.{name}.rows[{number}] is a {type(row).__name__}, not a dict of columns")
    try:
        lines = [json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows]
    except (TypeError, ValueError) as error:
        raise UserError(f"stages.{name}.rows hold what JSON has no word for: {error}") from error
    path.write_text("".join(lines), encoding="utf-8", errors="surrogatepass")


def _write_table(name: str, rows: Any, path: Path) -> None:
    """Any frame that speaks Arrow's C interface (polars, Arrow, pandas 2.2), or pandas before that."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if isinstance(rows, pa.Table):
        table = rows
    elif hasattr(rows, "__arrow_c_stream__"):
        table = pa.table(rows)
    elif hasattr(rows, "to_records") and hasattr(rows, "dtypes"):
        table = pa.Table.from_pandas(rows, preserve_index=False)
    else:
        what = f"stages.{name}.rows is a {type(rows).__name__}"
        raise UserError(f"{what}; give a list of dicts, or a pandas, polars or Arrow table")
    table = table.drop_columns([c for c in table.column_names if c.startswith("__index_level_")])
    pq.write_table(table.replace_schema_metadata(), path)
