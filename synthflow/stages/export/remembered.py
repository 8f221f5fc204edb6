"""Inputs that remember their narrow tables, which a projection reads again and again, each time with other columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from synthflow.contracts import Inputs, StageInfo

_NARROW = ("problems", "scores", "problem_stats")


class Remembered(Inputs):
    """The inputs of some partitions, for as long as these are worked on."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._tables: dict[tuple[str, str], pa.Table] = {}

    @property
    def ancestors(self) -> Sequence[StageInfo]:
        return self._inputs.ancestors

    @property
    def parents(self) -> Sequence[str]:
        return self._inputs.parents

    def of_stage(self, stage: str, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        if table not in _NARROW:
            return self._inputs.of_stage(stage, table, columns)
        if (stage, table) not in self._tables:
            self._tables[stage, table] = self._inputs.of_stage(stage, table)
        rows = self._tables[stage, table]
        return rows if columns is None else rows.select(list(columns))

    def partitions(self) -> Iterator[Inputs]:
        return self._inputs.partitions()
