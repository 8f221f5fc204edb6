"""What a declared table is: columns with types and comments, and the check that rows conform to them.

A shard is checked against its declaration at every write, and a mismatch names the field, what was expected and what
came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from synthflow.errors import SchemaMismatch

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Column:
    name: str
    type: pa.DataType
    comment: str
    nullable: bool = False

    def array(self, rows: int, values: Any, table: str) -> Any:
        """A column of so many rows from an Arrow array, a list of values, or one value for all.

        Raises:
            SchemaMismatch: if they are not of this type.
        """
        try:
            if isinstance(values, pa.Array | pa.ChunkedArray):
                return values
            if isinstance(values, list):
                return pa.array(values, self.type)
            one: Any = pa.scalar(values, self.type)
            return pa.repeat(one, rows)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as error:
            raise SchemaMismatch(f"{table}.{self.name}: expected {self.type}; {error}") from error


@dataclass(frozen=True)
class TableSpec:
    """A declared table. `key` columns identify a row; rows are compared and sorted by it."""

    name: str
    comment: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @cached_property
    def schema(self) -> pa.Schema:
        return pa.schema(
            [pa.field(c.name, c.type, c.nullable, metadata={"comment": c.comment}) for c in self.columns],
            metadata={"synthflow.table": self.name, "synthflow.schema_version": str(SCHEMA_VERSION)},
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    def empty(self) -> pa.Table:
        return self.schema.empty_table()

    def from_rows(self, rows: Sequence[Mapping[str, object]]) -> pa.Table:
        """Build a checked table from dicts; a missing nullable column becomes null.

        Raises:
            SchemaMismatch: naming the first offending field.
        """
        unknown = {k for row in rows[:1] for k in row} - set(self.names)
        if unknown:
            raise SchemaMismatch(f"{self.name}: unknown column {sorted(unknown)[0]!r}; expected {list(self.names)}")
        columns = [c.array(len(rows), [row.get(c.name) for row in rows], self.name) for c in self.columns]
        return self.conform(pa.table(columns, names=list(self.names)))

    def from_columns(self, rows: int, columns: Mapping[str, object]) -> pa.Table:
        """Build a checked table of so many rows; a missing nullable column is null in all of them.

        Args:
            columns: by name, an Arrow array, a list of values, or one value that all rows have.

        Raises:
            SchemaMismatch: naming the first offending field.
        """
        unknown = set(columns) - set(self.names)
        if unknown:
            raise SchemaMismatch(f"{self.name}: unknown column {sorted(unknown)[0]!r}; expected {list(self.names)}")
        arrays = [column.array(rows, columns.get(column.name), self.name) for column in self.columns]
        return self.conform(pa.table(arrays, names=list(self.names)))

    def conform(self, table: pa.Table) -> pa.Table:
        """Cast to the declared schema and check it.

        Columns may come in any order; string_view and large types are cast (trainers choke on them).

        Raises:
            SchemaMismatch: for a missing or unknown column, a type that does not cast, or a null in a column
                that has none.
        """
        for name in table.column_names:
            if name not in self.names:
                raise SchemaMismatch(f"{self.name}: unknown column {name!r}; expected {list(self.names)}")
        arrays = []
        for column in self.columns:
            if column.name not in table.column_names:
                raise SchemaMismatch(f"{self.name}.{column.name}: missing; expected {column.type}")
            array = table.column(column.name)
            if array.type != column.type:
                try:
                    array = array.cast(column.type)
                except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                    raise SchemaMismatch(
                        f"{self.name}.{column.name}: expected {column.type}, found {array.type}; {error}"
                    ) from error
            if not column.nullable and array.null_count:
                raise SchemaMismatch(
                    f"{self.name}.{column.name}: {array.null_count} null values in a column that allows none"
                )
            arrays.append(array)
        return pa.table(arrays, schema=self.schema)
