"""Churn: what flips between two sets of verdicts on the same rollouts, how, and why.

Invariant: every rollout is in exactly one cell of (verdict before, reason before, verdict now, reason now), whatever
the order of the shards; memory holds one partition. A rollout that only one side has judged counts as `(none)`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from synthflow.schema import SCORES
from synthflow.stores.shards import Shard, read_shard

NONE = "(none)"
_TAIL = 240
_EMPTY = pl.DataFrame(pl.from_arrow(SCORES.empty()))
_COLUMNS = [
    "problem_id",
    "target_id",
    "scorer",
    "scorer_version",
    "config_hash",
    "verdict",
    "value",
    "reason",
    "detail",
]
_KEPT = ("scorer_version", "config_hash", "verdict", "value", "reason", "detail")


class Cell(NamedTuple):
    """Verdict and reason before and now; a reason is None where there is none."""

    before: str
    reason_before: str | None
    now: str
    reason_now: str | None

    @property
    def flips(self) -> bool:
        return self.before != self.now

    @property
    def changes(self) -> bool:
        return self.flips or self.reason_before != self.reason_now


@dataclass
class Churn:
    """Counts by cell, the scorers of both sides (name, version, configuration), and a few flips to look at."""

    cells: Counter[Cell] = field(default_factory=Counter)
    before: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    now: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(self.cells.values())

    @property
    def flipped(self) -> int:
        return sum(n for cell, n in self.cells.items() if cell.flips)

    @property
    def changed(self) -> int:
        """Those that flip, and those that keep their verdict for another reason."""
        return sum(n for cell, n in self.cells.items() if cell.changes)

    def pass_rates(self) -> tuple[float | None, float | None]:
        """Correct over correct and wrong, before and now."""
        return self._pass_rate(0), self._pass_rate(2)

    def _pass_rate(self, side: int) -> float | None:
        of = Counter[str]()
        for cell, n in self.cells.items():
            of[str(cell[side])] += n
        judged = of["correct"] + of["wrong"]
        return of["correct"] / judged if judged else None

    def to_json(self) -> dict[str, Any]:
        before, now = self.pass_rates()
        return {
            "rows": self.rows,
            "flipped": self.flipped,
            "changed": self.changed,
            "cells": [
                {"verdict_before": c.before, "reason_before": c.reason_before, "verdict_now": c.now,
                 "reason_now": c.reason_now, "rows": n}
                for c, n in sorted(self.cells.items(), key=lambda item: (not item[0].changes, -item[1], str(item[0])))
            ],
            "pass_rate_before": before,
            "pass_rate_now": now,
            "scorers_before": _scorers(self.before),
            "scorers_now": _scorers(self.now),
            "examples": self.examples,
        }  # fmt: skip


def _scorers(counted: Counter[tuple[str, str, str]]) -> list[dict[str, Any]]:
    named = zip(counted, counted.values(), strict=True)
    return [
        {"scorer": scorer, "scorer_version": version, "config_hash": config, "rows": n}
        for (scorer, version, config), n in sorted(named)
    ]


class ChurnWriter:
    """Adds up partitions, and writes what changes to a Parquet file: one row a rollout, both sides in it."""

    def __init__(self, root: Path, aside: Path, examples: int, mains: tuple[str, str]) -> None:
        """`mains` are the scorers of the stage as a whole, before and now: it may keep its parts' verdicts too."""
        self.churn = Churn()
        self._root, self._examples, self._mains = root, examples, mains
        self._shown: Counter[tuple[str, str]] = Counter()
        self._aside = aside
        self._file: pq.ParquetWriter | None = None
        self._schema: pa.Schema | None = None

    def add(self, before: Sequence[Shard], now: Sequence[Shard]) -> pl.DataFrame:
        """Compare a partition; returns the flips that are to be shown (target_id, problem_id, both sides)."""
        old, new = (_verdicts(self._root, s, m) for s, m in zip((before, now), self._mains, strict=True))
        for side, counted in ((old, self.churn.before), (new, self.churn.now)):
            for *scorer, n in side.group_by("scorer", "scorer_version", "config_hash").len().iter_rows():
                counted[tuple(scorer)] += n
        key = ["target_id", "problem_id"]
        both = _named(old, "before").join(_named(new, "now"), on=key, how="full", coalesce=True)
        both = both.with_columns(pl.col("verdict_before", "verdict_now").fill_null(NONE)).sort(key)
        cells = ["verdict_before", "reason_before", "verdict_now", "reason_now"]
        for *cell, n in both.group_by(cells).len().iter_rows():
            self.churn.cells[Cell(*cell)] += n
        flips = pl.col("verdict_before") != pl.col("verdict_now")
        changed = both.filter(flips | pl.col("reason_before").ne_missing(pl.col("reason_now")))
        self._write(changed)
        return self._chosen(changed.filter(flips))

    def show(
        self, flips: pl.DataFrame, rollouts: pl.DataFrame, problems: pl.DataFrame, extracted: pl.DataFrame
    ) -> None:
        """Keep some flips with their gold answer, the end of their text, and what is extracted now by which rule."""
        texts = rollouts.select(pl.col("rollout_id").alias("target_id"), pl.col("completion").str.tail(_TAIL))
        gold = problems.select("problem_id", pl.col("answer").alias("gold"))
        shown = flips.join(texts, on="target_id", how="left").join(gold, on="problem_id", how="left")
        shown = shown.join(extracted, on="target_id", how="left")
        self.churn.examples.extend(shown.sort("target_id").to_dicts())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, changed: pl.DataFrame) -> None:
        table = changed.to_arrow()
        if self._file is None or self._schema is None:
            self._schema = table.schema
            self._file = pq.ParquetWriter(str(self._aside), self._schema, compression="zstd")
        if table.num_rows:
            self._file.write_table(table.cast(self._schema))

    def _chosen(self, flips: pl.DataFrame) -> pl.DataFrame:
        """The first few of each kind of flip."""
        taken = []
        for place, kind in enumerate(flips.select("verdict_before", "verdict_now").iter_rows()):
            self._shown[kind] += 1
            if self._shown[kind] <= self._examples:
                taken.append(place)
        return flips[taken]


def _verdicts(root: Path, shards: Sequence[Shard], main: str) -> pl.DataFrame:
    frames = [pl.from_arrow(read_shard(root, s)) for s in shards if s.table == "scores"]
    scores = pl.concat([_EMPTY, *(f for f in frames if isinstance(f, pl.DataFrame))])
    scores = scores.filter(pl.col("kind") == "verdict", pl.col("target_kind") == "rollout").select(_COLUMNS)
    # One row a rollout, also where a stage keeps its parts' verdicts or calls its own otherwise than itself.
    ordered = scores.sort((pl.col("scorer") != main), "scorer", "config_hash")
    return ordered.unique("target_id", keep="first", maintain_order=True)


def _named(verdicts: pl.DataFrame, side: str) -> pl.DataFrame:
    kept = [pl.col("scorer").alias(f"scorer_{side}"), *(pl.col(name).alias(f"{name}_{side}") for name in _KEPT)]
    return verdicts.select("target_id", "problem_id", *kept)
