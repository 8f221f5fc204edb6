"""Cut a source into partitions of problems, once, in the process that drives the run.

Problems are sorted by id before they are cut, so a partition does not depend on the order of the input. A partition
of an earlier attempt stays as it is while all its problems are still there unchanged; only new and changed problems
make new partitions. A partition's id is H(content hashes of its problems). What the source left out is a unit of its
own. Memory is bounded: rows are streamed to a
temporary Parquet file and sorted by DuckDB, which spills to disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from synthflow.errors import UserError
from synthflow.ids import content_id
from synthflow.plan.planned import PlannedRun, SourceUnits
from synthflow.schema import PROBLEMS
from synthflow.stages.source.base import Source
from synthflow.stores.files import no_space_is_clear
from synthflow.stores.manifest import Commit, Graph, Manifest, StageRecord
from synthflow.stores.shards import Shard, write_shard

if TYPE_CHECKING:
    import duckdb

_BATCH = 4096


def cut_sources(planned: PlannedRun, root: Path) -> dict[str, SourceUnits]:
    """Read every source, write and commit its partitions.

    Raises:
        UserError: if a source holds no problem or bad rows, or two sources hold one problem.
    """
    pipeline, manifest = planned.pipeline, planned.manifest
    size, attempt = pipeline.execution.partition_size, manifest.attempt + 1
    units = {
        node.name: cut_source(node.stage, planned.graph.stages[node.name], root, manifest, size, attempt)
        for node in pipeline.nodes
        if isinstance(node.stage, Source)
    }
    check_disjoint(root, manifest, planned.records, units)
    return units


def cut_source(
    source: Source, record: StageRecord, root: Path, manifest: Manifest, size: int, attempt: int
) -> SourceUnits:
    """Read a source, write and commit its partitions, and return its units.

    Raises:
        UserError: if the source holds no problem, or bad rows.
    """
    scratch = root / f".source-{uuid4().hex[:8]}"
    scratch.mkdir()
    try:
        raw = scratch / "raw.parquet"
        if _stream(source, raw) == 0:
            raise UserError(f"stage {record.name!r}: the source holds no problem; nothing to do")
        with _database(scratch) as con:
            con.execute(f"CREATE VIEW raw AS SELECT * FROM read_parquet('{raw}')")
            kept = _kept_partitions(con, record, root, manifest)
            fresh = _write_new(con, record, root, manifest, size, attempt)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return SourceUnits((*kept, *fresh), _write_rejects(source, record, root, manifest, attempt))


def check_disjoint(
    root: Path, manifest: Manifest, records: list[StageRecord], units: Mapping[str, SourceUnits]
) -> None:
    """A problem comes from one source, or its rollouts would be counted twice.

    Raises:
        UserError: naming two sources and a problem that both hold.
    """
    import polars as pl

    owner: dict[str, str] = {}
    for record in records if len(units) > 1 else []:
        graph = Graph([record], {record.name: units[record.name].partitions}) if record.name in units else None
        for unit in graph.units(record.name) if graph else []:
            commit = manifest.find(record.name, unit, graph)
            shard = _problems_shard(commit) if commit else None
            if shard is None:
                continue
            for problem in pl.read_parquet(root / shard.path, columns=["problem_id"]).to_series():
                if owner.setdefault(problem, record.name) != record.name:
                    both = f"sources {owner[problem]!r} and {record.name!r}"
                    raise UserError(f"{both} both hold problem {problem}; leave it out of one")


def _write_rejects(source: Source, record: StageRecord, root: Path, manifest: Manifest, attempt: int) -> str | None:
    rejects = source.rejects(record.stage_id)
    if not rejects.num_rows:
        return None
    rows = [[str(v) for v in row.values()] for row in rejects.drop_columns(["stage_id"]).to_pylist()]
    unit = content_id("q", "rejects", sorted(rows))
    graph = Graph([record], {}, {record.name: unit})
    if manifest.find(record.name, unit, graph) is None:
        shard = write_shard(root, "rejects", rejects, record.folder, f"part-{unit[2:14]}")
        key = graph.key(record.name, unit)
        manifest.commit(Commit(record.name, record.fingerprint, record.stage_id, unit, key, attempt, (shard,), {}))
    return unit


def _stream(source: Source, path: Path) -> int:
    rows = 0
    with no_space_is_clear(path), pq.ParquetWriter(path, PROBLEMS.schema, compression="zstd") as writer:
        for batch in source.batches():
            rows += batch.num_rows
            writer.write_table(PROBLEMS.conform(batch))
    return rows


def _database(scratch: Path) -> duckdb.DuckDBPyConnection:
    import duckdb

    con = duckdb.connect()
    con.execute("SET memory_limit = '1GB'")
    con.execute(f"SET temp_directory = '{scratch / 'spill'}'")
    return con


def _kept_partitions(con: duckdb.DuckDBPyConnection, record: StageRecord, root: Path, manifest: Manifest) -> list[str]:
    """Partitions of the last attempt whose problems are all still there; their rows leave `raw` for `fresh`."""
    con.execute("CREATE TABLE kept (content_hash VARCHAR)")
    kept = []
    earlier = {c.unit: c for c in manifest.earlier(record.name, record.fingerprint)}
    for pid in manifest.graph.partitions.get(record.name, ()):
        commit = earlier.get(pid)
        shard = _problems_shard(commit) if commit else None
        if shard is None or not (root / shard.path).exists():
            continue
        con.execute(f"CREATE OR REPLACE TEMP VIEW old AS SELECT content_hash FROM read_parquet('{root / shard.path}')")
        missing = con.execute("SELECT count(*) FROM old ANTI JOIN raw USING (content_hash)").fetchone()
        if missing == (0,):
            con.execute("INSERT INTO kept SELECT content_hash FROM old")
            kept.append(pid)
    return kept


def _problems_shard(commit: Commit) -> Shard | None:
    return next((s for s in commit.shards if s.table == "problems"), None)


def _chunks(con: duckdb.DuckDBPyConnection, size: int) -> Iterator[pa.Table]:
    fresh = con.sql("SELECT raw.* FROM raw ANTI JOIN kept USING (content_hash) ORDER BY problem_id")
    reader = fresh.to_arrow_reader(_BATCH)
    held = PROBLEMS.empty()
    for batch in reader:
        held = pa.concat_tables([held, PROBLEMS.conform(pa.Table.from_batches([batch]))])
        while held.num_rows >= size:
            yield held.slice(0, size)
            held = held.slice(size)
    if held.num_rows:
        yield held


def _write_new(
    con: duckdb.DuckDBPyConnection,
    record: StageRecord,
    root: Path,
    manifest: Manifest,
    size: int,
    attempt: int,
) -> list[str]:
    pids = []
    for chunk in _chunks(con, size):
        pid = content_id("q", sorted(chunk["content_hash"].to_pylist()))
        pids.append(pid)
        graph = Graph([record], {record.name: [pid]})
        if manifest.find(record.name, pid, graph) is not None:
            continue
        shard = write_shard(root, "problems", chunk, record.folder, f"part-{pid[2:14]}")
        key = graph.key(record.name, pid)
        manifest.commit(Commit(record.name, record.fingerprint, record.stage_id, pid, key, attempt, (shard,), {}))
    return pids
