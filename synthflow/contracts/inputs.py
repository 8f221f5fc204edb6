"""What a stage reads.

A stage sees the tables of all its ancestors, and of nothing else. `Inputs.table` gives the rows of every
ancestor that writes the table; with `nearest=True` it walks up from the stages named in `of` and stops, on every
path, at the first that writes it. `label.monte_carlo`, say, writes rollouts too (continuations), so a verifier
reads the nearest rollouts, and a pair miner reads all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from synthflow.contracts.stage_info import StageInfo
from synthflow.schema import TABLES

if TYPE_CHECKING:
    import polars as pl


class Inputs(ABC):
    """Rows of one partition of problems (or of the whole run, for a stage of whole scope)."""

    @property
    @abstractmethod
    def ancestors(self) -> Sequence[StageInfo]:
        """All ancestors in topological order, direct parents last."""

    @property
    @abstractmethod
    def parents(self) -> Sequence[str]:
        """Names of the stages in `of`, in order."""

    @abstractmethod
    def of_stage(self, stage: str, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows that one ancestor wrote into `table`; empty (and typed) if it wrote none."""

    @abstractmethod
    def partitions(self) -> Iterator[Inputs]:
        """The same inputs one partition of problems at a time: how a stage of whole scope bounds its memory."""

    def bundles(self, parts: Collection[str] | None = None) -> Iterator[tuple[Inputs, str | None]]:
        """The same, several small partitions at a time, so that a partition does not cost a round of its own.

        With each comes the least problem_id that those after it may hold: bundles follow each other in that order. None
        where nothing comes after it, or nothing is known of that.

        Args:
            parts: only these of `parts()`.
        """
        for part in self.partitions():
            yield part, None

    def parts(self) -> Mapping[str, str]:
        """The partitions by id, each with a hash of all that its rows are made of; none where that is not known."""
        return {}

    def producers(self, table: str, *, nearest: bool = False) -> list[str]:
        """Names of the ancestors that write `table`, in topological order."""
        info = {a.name: a for a in self.ancestors}
        if not nearest:
            return [a.name for a in self.ancestors if table in a.writes]
        found: set[str] = set()
        todo = list(self.parents)
        while todo:
            stage = info[todo.pop()]
            if table in stage.writes:
                found.add(stage.name)
            else:
                todo.extend(stage.parents)
        return [a.name for a in self.ancestors if a.name in found]

    def table(self, name: str, columns: Sequence[str] | None = None, *, nearest: bool = False) -> pa.Table:
        """Rows of `name` from all ancestors that write it (or from the nearest)."""
        parts = [self.of_stage(stage, name, columns) for stage in self.producers(name, nearest=nearest)]
        if not parts:
            empty = TABLES[name].empty()
            return empty.select(list(columns)) if columns is not None else empty
        return pa.concat_tables(parts)

    def frame(self, name: str, columns: Sequence[str] | None = None, *, nearest: bool = False) -> pl.DataFrame:
        """`table` as a Polars frame."""
        import polars as pl

        frame = pl.from_arrow(self.table(name, columns, nearest=nearest))
        assert isinstance(frame, pl.DataFrame)
        return frame


class MemoryInputs(Inputs):
    """Inputs from tables in memory: for tests and notebooks.

    `tables` maps stage name -> table name -> rows; `ancestors` describes the stages in topological order.
    """

    def __init__(
        self,
        ancestors: Sequence[StageInfo],
        parents: Sequence[str],
        tables: Mapping[str, Mapping[str, pa.Table]],
    ) -> None:
        self._ancestors, self._parents = tuple(ancestors), tuple(parents)
        self._tables = {
            stage: {name: TABLES[name].conform(rows) for name, rows in by_name.items()}
            for stage, by_name in tables.items()
        }

    @property
    def ancestors(self) -> Sequence[StageInfo]:
        return self._ancestors

    @property
    def parents(self) -> Sequence[str]:
        return self._parents

    def of_stage(self, stage: str, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        rows = self._tables.get(stage, {}).get(table, TABLES[table].empty())
        return rows.select(list(columns)) if columns is not None else rows

    def partitions(self) -> Iterator[Inputs]:
        yield self
