"""What a pilot measured, problem by problem.

Invariant: every row that the pilot wrote is booked on the problem it belongs to: on the seed of a made problem, and
evenly on all of them where a row has no problem; so that sums over problems are sums over rows. Yields and tokens come
from the pilot's own tables, disk from its shards and the journal, speed from the journal alone, which also holds what
an earlier pilot sampled.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synthflow.schema import TABLES
from synthflow.stores.catalog.build import open_catalog
from synthflow.stores.journal import decode
from synthflow.stores.manifest import Manifest
from synthflow.stores.segments import segments
from synthflow.stores.shards import KEPT, read_shard
from synthflow.workflows.pilot.choose import Chosen
from synthflow.workflows.pilot.projection import Sampled, Vector
from synthflow.workflows.pilot.speed import Answer

if TYPE_CHECKING:
    import duckdb

_SEEDS = "LEFT JOIN (SELECT problem_id AS made, seed_problem_id AS from_problem FROM problems) ON made = "

_SAMPLED = """(SELECT rollout_id AS sample_id, problem_id, stage_id, n_tokens, finish_reason FROM rollouts UNION ALL
    SELECT sample_id, problem_id, stage_id, n_tokens, finish_reason FROM artifacts WHERE sample_id IS NOT NULL)"""
"""Everything that was sampled: rollouts, and what judges wrote."""


@dataclass(frozen=True)
class Measured:
    """A pilot's numbers.

    Attributes:
        columns: quantity -> problem id -> number. Quantities: `requests/STAGE`, `tokens/STAGE`, `truncated/STAGE`,
            `mixed/STAGE` and `groups/STAGE` (of a verify stage), `steps`, `pairs/LEVEL`, `bytes`.
        answers: the sampled rollouts, as journaled.
        fixed_bytes: disk that every partition takes, however few rows it has.
        cpu_s: seconds of work of the stages that sample nothing, by stage, over the pilot's problems.
    """

    columns: Mapping[str, Mapping[str, float]]
    answers: Sequence[Answer]
    fixed_bytes: float
    cpu_s: Mapping[str, float]

    def of(self, chosen: Chosen) -> Sampled:
        """The columns over the problems of one source, in the order of their ids."""
        vectors: dict[str, Vector] = {
            name: np.array([column.get(p, 0.0) for p in chosen.problems]) for name, column in self.columns.items()
        }
        return Sampled(vectors, chosen.total)


class _Book:
    """Numbers booked on problems."""

    def __init__(self, problems: Sequence[str]) -> None:
        self._problems = frozenset(problems)
        self.columns: dict[str, defaultdict[str, float]] = {}

    def add(self, quantity: str, problem: str | None, value: float) -> None:
        column = self.columns.setdefault(quantity, defaultdict(float))
        if problem in self._problems:
            column[str(problem)] += value
        else:
            for each in self._problems:
                column[each] += value / len(self._problems)


def measure(pilot: Path, problems: Sequence[str], sampling: Sequence[str]) -> Measured:
    """Read a finished pilot.

    Args:
        pilot: its run directory.
        problems: ids of the problems it took.
        sampling: names of the stages that sample.
    """
    book = _Book(problems)
    for stage in sampling:
        for quantity in ("requests", "tokens", "truncated"):
            book.columns[f"{quantity}/{stage}"] = defaultdict(float)
    manifest = Manifest(pilot)
    for record in manifest.graph.stages.values():
        # A stage that could have given something and gave nothing is a measured zero.
        if "pairs" in record.writes and isinstance(record.config.get("level"), str):
            book.columns[f"pairs/{record.config['level']}"] = defaultdict(float)
        if "step_values" in record.writes:
            book.columns["steps"] = defaultdict(float)
    with open_catalog(pilot) as con:
        owner = _samples(con, book)
        _yields(con, book)
        made = con.execute("SELECT problem_id, seed_problem_id FROM problems WHERE seed_problem_id IS NOT NULL")
        seeds = dict(made.fetchall())
        cpu_s = _cpu(con, sampling)
    answers = _journaled(pilot / "journal", problems, owner, book)
    fixed = _shard_bytes(pilot, manifest, seeds, book)
    return Measured(book.columns, answers, fixed, cpu_s)


def _samples(con: duckdb.DuckDBPyConnection, book: _Book) -> dict[str, str]:
    """Requests and tokens by stage; returns the problem of every rollout."""
    rows = con.execute(
        f"""SELECT coalesce(from_problem, problem_id), st.name, count(*), sum(n_tokens),
                count(*) FILTER (WHERE finish_reason = 'length')
            FROM {_SAMPLED} JOIN stages st USING (stage_id) {_SEEDS} problem_id GROUP BY ALL"""
    ).fetchall()
    for problem, stage, requests, tokens, truncated in rows:
        book.add(f"requests/{stage}", problem, requests)
        book.add(f"tokens/{stage}", problem, tokens or 0)
        book.add(f"truncated/{stage}", problem, truncated)
    owners = con.execute(f"SELECT sample_id, coalesce(from_problem, problem_id) FROM {_SAMPLED} {_SEEDS} problem_id")
    return dict(owners.fetchall())


def _yields(con: duckdb.DuckDBPyConnection, book: _Book) -> None:
    groups = con.execute(
        f"""SELECT coalesce(from_problem, problem_id), stage, count(*) FILTER (WHERE group_state = 'mixed'), count(*)
            FROM groups {_SEEDS} problem_id GROUP BY ALL"""
    ).fetchall()
    for problem, stage, mixed, n in groups:
        book.add(f"mixed/{stage}", problem, mixed)
        book.add(f"groups/{stage}", problem, n)
    for problem, n in con.execute(
        f"SELECT coalesce(from_problem, problem_id), count(*) FROM step_values {_SEEDS} problem_id GROUP BY ALL"
    ).fetchall():
        book.add("steps", problem, n)
    for problem, level, n in con.execute(
        f"SELECT coalesce(from_problem, problem_id), level, count(*) FROM pairs {_SEEDS} problem_id GROUP BY ALL"
    ).fetchall():
        book.add(f"pairs/{level}", problem, n)


def _cpu(con: duckdb.DuckDBPyConnection, sampling: Sequence[str]) -> dict[str, float]:
    """Seconds by stage: the median unit times the units, so that what is loaded once does not count eight times."""
    rows = con.execute(
        """SELECT st.name, median(value) * count(*) FROM telemetry JOIN stages st USING (stage_id)
            WHERE target_kind = 'task' AND metric = 'elapsed_s' GROUP BY st.name"""
    ).fetchall()
    return {stage: float(seconds) for stage, seconds in rows if stage not in sampling}


def _journaled(folder: Path, problems: Sequence[str], owner: Mapping[str, str], book: _Book) -> list[Answer]:
    """The earliest record of every rollout of the pilot, with its bytes booked on its problem."""
    paths = {path for problem in problems for path in segments(folder, [problem])}
    found: dict[str, tuple[Answer, int]] = {}
    for path in sorted(paths):
        with path.open("rb") as handle:
            for line in handle:
                record = decode(line.rstrip(b"\n"))
                if record is None or record[1].rollout_id not in owner:
                    continue
                at_ns, result = record
                known = found.get(result.rollout_id)
                if known is None or at_ns / 1e9 < known[0].at:
                    answer = Answer(at_ns / 1e9, result.elapsed_s, result.n_tokens or 0)
                    found[result.rollout_id] = answer, len(line)
    for rollout, (_, n_bytes) in found.items():
        book.add("bytes", owner[rollout], n_bytes)
    return [answer for answer, _ in found.values()]


def _shard_bytes(pilot: Path, manifest: Manifest, seeds: Mapping[str, str], book: _Book) -> float:
    """Book what rows take in shards; returns what a partition's shards take without any row.

    Shards of a pilot are small, and a small Parquet file is mostly its own schema. So the rows of a stage are packed
    once more, all in one, and the schema is counted apart.
    """
    parts: dict[tuple[str, str], list[pa.Table]] = defaultdict(list)
    for commit in manifest.active():
        if manifest.graph.stages[commit.stage].scope != "whole":
            for shard in commit.shards:
                parts[commit.stage, shard.table].append(read_shard(pilot, shard))
    fixed = 0.0
    for (_, table), rows in parts.items():
        whole, empty = pa.concat_tables(rows), _packed(TABLES[table].empty())
        fixed += empty
        a_row = max(0, _packed(whole) - empty) / whole.num_rows
        if "problem_id" not in whole.schema.names:
            book.add("bytes", None, a_row * whole.num_rows)
            continue
        counted = pc.value_counts(whole["problem_id"])
        names, counts = counted.field("values").to_pylist(), counted.field("counts").to_pylist()
        for problem, held in zip(map(str, names), counts, strict=True):
            book.add("bytes", seeds.get(problem, problem), a_row * float(held or 0))
    return fixed


def _packed(rows: pa.Table) -> int:
    """Bytes of a shard that holds these rows, packed as `stores.shards` packs them."""
    buffer: Any = io.BytesIO()
    pq.write_table(rows, buffer, **KEPT)
    return int(buffer.tell())
