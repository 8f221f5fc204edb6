"""What a stage must not do to its rows: lose some, or write one twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from synthflow.contracts import Coverage, Inputs
from synthflow.errors import InvariantBroken
from synthflow.schema import TABLES

if TYPE_CHECKING:
    import polars as pl


def _frame(table: pa.Table) -> pl.DataFrame:
    import polars as pl

    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def check_keys(stage: str, outputs: Mapping[str, pa.Table]) -> None:
    """Every table's key is unique within a unit of work.

    Raises:
        InvariantBroken: naming the stage, the table and a key that stands twice.
    """
    for name, rows in outputs.items():
        key = list(TABLES[name].key)
        keys = _frame(rows.select(key))
        twice = keys.filter(keys.is_duplicated())
        if twice.height:
            raise InvariantBroken(f"stage {stage!r} wrote {name} twice for {key} = {list(twice.row(0))}")


def check_coverage(stage: str, covers: Coverage, inputs: Inputs, outputs: Mapping[str, pa.Table]) -> None:
    """Every input has an output or a row in `rejects`.

    Raises:
        InvariantBroken: naming the stage, how many inputs are unaccounted for, and one of them.
    """
    owed: Any = pc.unique(inputs.table(covers.input_table, [covers.input_key], nearest=True)[covers.input_key])
    columns = [outputs[table][c] for table, c in {**covers.outputs, "rejects": "target_id"}.items() if table in outputs]
    accounted = [chunk for column in columns for chunk in column.cast(owed.type).chunks]
    lost = owed.filter(pc.invert(pc.is_in(owed, value_set=pa.chunked_array(accounted, owed.type))))
    if len(lost):
        raise InvariantBroken(
            f"stage {stage!r} lost {len(lost)} of {len(owed)} {covers.input_table} (such as {lost[0]}): "
            f"each needs a row in {', '.join(covers.outputs)} or in rejects"
        )
