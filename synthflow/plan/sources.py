"""What the sources of a pipeline hold now, and the partitions that follow from it. Nothing is written here.

Problems are sorted by id before they are cut, so a partition does not depend on the order of the input. A partition of
the latest attempt stays as it is while all its problems are still there unchanged; what else there is (new and changed
problems, and those whose partition lost one) makes new partitions. A partition's id is H(content hashes of its
problems). A source whose files hold what they held in some attempt is not read again, and has the partitions of then.

Invariant: `plan` and `run` cut by this module alone, so that the units of the one are those of the other. Memory holds
the ids and content hashes of the problems, about a hundred bytes each, and no text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl
import pyarrow as pa

from synthflow import __version__
from synthflow.contracts.foreign import told_in_one_line
from synthflow.errors import UserError
from synthflow.ids import content_id
from synthflow.plan.partition_size import LEAST, partition_size
from synthflow.plan.planned import PlannedRun, SourceUnits
from synthflow.stages.source.base import Source
from synthflow.stores.graph import StageRecord
from synthflow.stores.manifest import Manifest
from synthflow.stores.shards import Shard, read_shard, read_shards

_PROBLEM = {"problem_id": pl.String, "content_hash": pl.String}

Each = Callable[[pa.Table], None]


@dataclass(frozen=True)
class SourceNow:
    """A source as it is now.

    Attributes:
        kept: partitions of the latest attempt that stay.
        fresh: problem_id and content_hash of the problems of the new partitions, in their order; `size` a partition.
        was_read: whether its rows were read; if not, its files hold what they held in some attempt.
    """

    kept: tuple[str, ...]
    fresh: pl.DataFrame
    size: int
    left_out: str | None
    content: str | None
    was_read: bool

    def new_partitions(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Each new partition's id and problems."""
        for part in self.fresh.iter_slices(self.size):
            yield content_id("q", part["content_hash"].sort().to_list()), part

    @cached_property
    def units(self) -> SourceUnits:
        return SourceUnits((*self.kept, *(pid for pid, _ in self.new_partitions())), self.left_out, self.content)


def read_sources(
    planned: PlannedRun, root: Path, each: Callable[[str], Each] = lambda name: lambda batch: None
) -> dict[str, SourceNow]:
    """Every source of a plan, by stage.

    Args:
        each: what is given the batches of a source, by its name, if it has to be read.

    Raises:
        UserError: if a source cannot be read, holds no problem, or two hold the same.
    """
    names = [node.name for node in planned.pipeline.nodes if isinstance(node.stage, Source)]
    found = {name: read_source(planned, name, root, each(name)) for name in names}
    check_disjoint(planned, found, root)
    return found


def read_source(planned: PlannedRun, name: str, root: Path, each: Each = lambda batch: None) -> SourceNow:
    """A source as it is now.

    Args:
        each: is given every batch of problems, if it has to be read.

    Raises:
        UserError: if it cannot be read, or holds no problem.
    """
    source, record, manifest = planned.pipeline[name].stage, planned.graph.stages[name], planned.manifest
    assert isinstance(source, Source)
    content = _content(source, record)
    known = None if content is None else manifest.units_of(name, content)
    if known is not None and _all_there(planned, SourceUnits(*known, content), name):
        return SourceNow(known[0], pl.DataFrame(schema=_PROBLEM), LEAST, known[1], content, False)
    problems = _problems(source, each)
    old = _shards_of(manifest, record, manifest.graph.partitions.get(name, ()))
    before = _read_shards(root, old)
    lost = before.join(problems, on="content_hash", how="anti")["partition"].unique()
    stays = before.filter(~pl.col("partition").is_in(lost.implode()))
    fresh = problems.join(stays, on="content_hash", how="anti").sort("problem_id")
    gone = set(lost)
    return SourceNow(
        kept=tuple(pid for pid in old if pid not in gone),
        fresh=fresh,
        size=partition_size(planned.pipeline, fresh.height),
        left_out=left_out_unit(source, record),
        content=content,
        was_read=True,
    )


def left_out_unit(source: Source, record: StageRecord) -> str | None:
    """The unit of what a source that was read left out; None if it left nothing out."""
    rejects = source.rejects(record.stage_id)
    if not rejects.num_rows:
        return None
    rows = [[str(v) for v in row.values()] for row in rejects.drop_columns(["stage_id"]).to_pylist()]
    return content_id("q", "rejects", sorted(rows))


def check_disjoint(planned: PlannedRun, found: Mapping[str, SourceNow], root: Path) -> None:
    """A problem comes from one source, or its rollouts would be counted twice.

    Raises:
        UserError: naming two sources and a problem that both hold.
    """
    if len(found) < 2 or not any(is_changed(planned, name, now) for name, now in found.items()):
        return
    owners = [problems_of(planned, name, now, root).with_columns(source=pl.lit(name)) for name, now in found.items()]
    held = pl.concat(owners)
    twice = held.filter(pl.col("problem_id").is_duplicated()).sort("problem_id", maintain_order=True)
    if twice.height:
        first, second = twice["source"][:2]
        both = f"sources {first!r} and {second!r}"
        raise UserError(f"{both} both hold problem {twice['problem_id'][0]}; leave it out of one")


def is_changed(planned: PlannedRun, name: str, now: SourceNow) -> bool:
    """Whether a source has other problems than in the latest attempt."""
    return now.units.partitions != planned.manifest.graph.partitions.get(name)


def problems_of(planned: PlannedRun, name: str, now: SourceNow, root: Path) -> pl.DataFrame:
    """problem_id and content_hash of all problems of a source."""
    kept = recorded_problems(root, planned.manifest, planned.graph.stages[name], now.kept)
    return pl.concat([kept.select(*_PROBLEM), now.fresh.select(*_PROBLEM)])


def recorded_batches(planned: PlannedRun, name: str, now: SourceNow, root: Path) -> Iterator[pa.Table]:
    """The committed problems of a source that was not read."""
    for shard in _shards_of(planned.manifest, planned.graph.stages[name], now.kept).values():
        yield read_shard(root, shard)


def recorded_problems(root: Path, manifest: Manifest, record: StageRecord, partitions: tuple[str, ...]) -> pl.DataFrame:
    """partition, problem_id and content_hash of committed partitions of a source; those that are not, are left out."""
    return _read_shards(root, _shards_of(manifest, record, partitions))


def partition_sizes(planned: PlannedRun, name: str, now: SourceNow) -> dict[str, int]:
    """Problems of every partition of a source."""
    sizes = {pid: part.height for pid, part in now.new_partitions()}
    for pid in now.kept:
        commit = planned.manifest.find(name, pid, planned.graph)
        sizes[pid] = sum(s.rows for s in commit.shards if s.table == "problems") if commit is not None else 0
    return {pid: sizes[pid] for pid in now.units.partitions}


def _content(source: Source, record: StageRecord) -> str | None:
    """H(what its files hold, and all that decides what is made of them)."""
    with told_in_one_line(f"{source.name} ({source.use}), asked for a hash of what it reads,", source):
        held = source.content()
    return None if held is None else content_id("z", record.fingerprint, __version__, held)


def _all_there(planned: PlannedRun, units: SourceUnits, name: str) -> bool:
    """Whether some units of a source are committed under this plan."""
    graph = planned.with_sources({name: units}).graph
    return all(planned.manifest.find(name, unit, graph) is not None for unit in graph.units(name))


def _problems(source: Source, each: Each) -> pl.DataFrame:
    batches = [pl.DataFrame(schema=_PROBLEM)]
    for batch in source.batches():
        each(batch)
        part = pl.from_arrow(batch.select(list(_PROBLEM)))
        assert isinstance(part, pl.DataFrame)
        batches.append(part)
    found = pl.concat(batches)
    if not found.height:
        raise UserError(f"stage {source.name!r}: the source holds no problem; nothing to do")
    return found


def _shards_of(manifest: Manifest, record: StageRecord, partitions: tuple[str, ...]) -> dict[str, Shard]:
    """The problems of those partitions that are committed under a record."""
    commits = {c.unit: c for c in manifest.earlier(record.name, record.fingerprint)}
    shards = ((pid, shard) for pid in partitions if pid in commits for shard in commits[pid].shards)
    return {pid: shard for pid, shard in shards if shard.table == "problems"}


def _read_shards(root: Path, shards: Mapping[str, Shard]) -> pl.DataFrame:
    if not shards:
        return pl.DataFrame(schema={**_PROBLEM, "partition": pl.String})
    found = pl.from_arrow(read_shards(root, list(shards.values()), list(_PROBLEM)))
    assert isinstance(found, pl.DataFrame)
    of = pl.DataFrame({"partition": list(shards), "rows": [shard.rows for shard in shards.values()]})
    return found.with_columns(of.select(pl.col("partition").repeat_by("rows").explode()).to_series())
