"""Write the partitions of a source that are new, once, in the process that drives the run.

Which partitions there are is `plan.sources`' to say; here they are written and committed, and what the source left out
as a unit of its own. Memory is bounded: rows are streamed to a temporary Parquet file and sorted by DuckDB, which
spills to disk.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from synthflow.execute.sizing import spill_mb
from synthflow.plan.planned import PlannedRun
from synthflow.plan.sources import SourceNow, check_disjoint, read_source
from synthflow.schema import PROBLEMS
from synthflow.stages.source.base import Source
from synthflow.stores.database import connected
from synthflow.stores.files import no_space_is_clear
from synthflow.stores.graph import Graph, StageRecord
from synthflow.stores.manifest import Commit, Manifest
from synthflow.stores.shards import Shard, write_shard

_BATCH = 4096


def cut_sources(planned: PlannedRun, root: Path) -> dict[str, SourceNow]:
    """Read every source whose files have changed, write and commit its new partitions.

    Raises:
        UserError: if a source holds no problem or bad rows, or two sources hold one problem.
    """
    found = {}
    for node in planned.pipeline.nodes:
        if isinstance(node.stage, Source):
            scratch = root / f".source-{uuid4().hex[:8]}"
            scratch.mkdir()
            try:
                found[node.name] = _cut_source(planned, node.stage, root, scratch)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    check_disjoint(planned, found, root)
    return found


def _cut_source(planned: PlannedRun, source: Source, root: Path, scratch: Path) -> SourceNow:
    memory_mb = spill_mb(planned.pipeline.execution.memory_mb, os.cpu_count() or 1)
    record, raw = planned.graph.stages[source.name], scratch / "raw.parquet"
    with no_space_is_clear(raw), pq.ParquetWriter(raw, PROBLEMS.schema, compression="zstd") as writer:
        now = read_source(planned, source.name, root, lambda batch: writer.write_table(PROBLEMS.conform(batch)))
    out = _Committed(record, root, planned.manifest)
    for (pid, part), rows in zip(now.new_partitions(), _sorted_rows(now, raw, scratch, memory_mb), strict=True):
        assert rows["content_hash"].to_pylist() == part["content_hash"].to_list()
        out.write(Graph([record], {record.name: [pid]}), pid, "problems", rows)
    if now.was_read and now.left_out is not None:
        rejects = source.rejects(record.stage_id)
        out.write(Graph([record], {}, {record.name: now.left_out}), now.left_out, "rejects", rejects)
    return now


class _Committed:
    """Where units of a source are written; those that were committed before are there."""

    def __init__(self, record: StageRecord, root: Path, manifest: Manifest) -> None:
        self._record, self._root, self._manifest = record, root, manifest

    def write(self, graph: Graph, unit: str, table: str, rows: pa.Table) -> None:
        record, manifest = self._record, self._manifest
        if manifest.find(record.name, unit, graph) is None:
            shard: Shard = write_shard(self._root, table, rows, record.folder, f"part-{unit[2:14]}")
            key, attempt = graph.key(record.name, unit), manifest.attempt + 1
            manifest.commit(Commit(record.name, record.fingerprint, record.stage_id, unit, key, attempt, (shard,), {}))


def _sorted_rows(now: SourceNow, raw: Path, scratch: Path, memory_mb: int) -> Iterator[pa.Table]:
    """The rows of each new partition."""
    if not now.fresh.height:
        return
    with connected() as con:
        con.execute(f"SET memory_limit = '{memory_mb}MB'")
        con.execute(f"SET temp_directory = '{scratch / 'spill'}'")
        con.register("fresh", now.fresh.select("content_hash").to_arrow())
        chosen = con.sql(f"FROM read_parquet('{raw}') SEMI JOIN fresh USING (content_hash) ORDER BY problem_id")
        held = PROBLEMS.empty()
        for batch in chosen.to_arrow_reader(_BATCH):
            held = pa.concat_tables([held, PROBLEMS.conform(pa.Table.from_batches([batch]))])
            while held.num_rows >= now.size:
                yield held.slice(0, now.size)
                held = held.slice(now.size)
        if held.num_rows:
            yield held
