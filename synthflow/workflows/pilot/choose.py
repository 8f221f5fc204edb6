"""Which problems a pilot takes.

Invariants: the choice depends on problem ids alone, not on their order, and it is nested: a pilot of 32 holds the
problems of a pilot of 16, and a source that grows keeps most of its choice, so what was sampled is found again. Every
source gives its share, at least one problem. A salted hash orders the ids, which makes this a simple random sample of
each source (bottom-k sampling), spread evenly over the ids that partitions are cut from.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synthflow.contracts import Inputs, Services
from synthflow.ids import digest
from synthflow.schema import REJECTS
from synthflow.stages.source.base import Source
from synthflow.stages.source.stand_in import StandIn


@dataclass(frozen=True, slots=True)
class Chosen:
    """Problems taken from one source (ids, sorted), of `total` that it holds."""

    problems: tuple[str, ...]
    total: int


def choose_problems(sources: Mapping[str, Source], n: int) -> dict[str, Chosen]:
    """About `n` problems over all sources; all of a source that holds no more than its share.

    Raises:
        UserError: if a source cannot be read or holds no problem.
    """
    found: dict[str, Chosen] = {}
    for name, source in sources.items():
        total = 0

        def counted(source: Source = source) -> Iterator[str]:
            nonlocal total
            for batch in source.batches():
                total += batch.num_rows
                yield from map(str, batch["problem_id"].to_pylist())

        kept = heapq.nsmallest(n, counted(), key=_order)
        found[name] = Chosen(tuple(kept), total)
    everything = sum(c.total for c in found.values())
    return {name: _share(c, n, everything) for name, c in found.items()}


def _order(problem_id: str) -> str:
    return digest(f"pilot {problem_id}")


def _share(found: Chosen, n: int, everything: int) -> Chosen:
    take = min(found.total, max(1, round(n * found.total / everything)))
    return Chosen(tuple(sorted(found.problems[:take])), found.total)


class ChosenProblems(StandIn):
    """A source, of which only some problems are read; everything else about it is as it was."""

    def __init__(self, source: Source, chosen: Chosen) -> None:
        super().__init__(source)
        self._chosen = pa.array(chosen.problems, pa.string())

    def batches(self) -> Iterator[pa.Table]:
        for batch in self._source.batches():
            kept = batch.filter(pc.is_in(batch["problem_id"], value_set=self._chosen))
            if kept.num_rows:
                yield kept

    def rejects(self, stage_id: str) -> pa.Table:
        """None: what the source leaves out is no part of a pilot."""
        return REJECTS.empty()

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, Any]:
        return {"problems": pa.concat_tables(list(self.batches())), "rejects": self.rejects(services.stage_id)}
