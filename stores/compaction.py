"""Small files of committed units, put together into large ones.

Invariants: a unit's rows stay together, in one row group where they were in one, so that all rollouts of a problem are
read at once; a file holds one table of one stage under one fingerprint. The new file is complete and has its name
before the manifest says that it counts; until then the old files count, and afterwards they may go at any time: a kill
leaves files that nobody counts, which the next run removes. A file whose content has changed since it was written is
left as it is, for `check` to find. When a run ends, no file holds rows that its catalog should not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from synthflow.ids import digest
from synthflow.schema import TABLES
from synthflow.stores.commits import Commit, Compacted
from synthflow.stores.files import sha256_of, written_aside
from synthflow.stores.manifest import Manifest
from synthflow.stores.shards import KEPT, Shard, read_pieces

FILE_BYTES = 64 << 20
"""A file is closed at this size; one of half of it is never put together with others."""

FEW = 8
"""Fewer small files of one kind stay as they are."""

_GROUP_ROWS = 1 << 12
_GROUP_BYTES = 8 << 20
_MADE = re.compile(r"part-([0-9a-f]{12}|[0-9a-f]{10}-[0-9a-f]{4}(-[0-9]+)?)\.parquet")
"""Names of the files that units (an export numbers its own) and compactions write; reference tables are called
otherwise."""


@dataclass(frozen=True, slots=True)
class Part:
    """A shard and the key of its commit."""

    key: str
    shard: Shard


@dataclass(frozen=True, slots=True)
class Merge:
    """Shards of one kind that are to stand in one file, in this order."""

    stage: str
    fingerprint: str
    parts: tuple[Part, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part.shard.path for part in self.parts))


def merged(root: Path, merge: Merge) -> Compacted | None:
    """Write the one file; None if one of the files that it is to be made of is not as it was written."""
    first = merge.parts[0].shard
    if not _are_whole(root, merge):
        return None
    folder = first.path.rpartition("/")[0]
    made_of = digest("".join(part.key for part in merge.parts))
    name = f"part-{made_of[:10]}-{uuid4().hex[:4]}.parquet"
    path = root / folder / name
    with written_aside(path) as aside, pq.ParquetWriter(aside, TABLES[first.table].schema, **KEPT) as writer:
        for group in _groups(read_pieces(root, [part.shard for part in merge.parts])):
            writer.write_table(group, row_group_size=group.num_rows)
    number = {source: at for at, source in enumerate(merge.sources)}
    return Compacted(
        stage=merge.stage,
        fingerprint=merge.fingerprint,
        table=first.table,
        path=f"{folder}/{name}",
        bytes=path.stat().st_size,
        sha256=sha256_of(path),
        sources=merge.sources,
        parts=tuple((part.key, number[part.shard.path], part.shard.rows) for part in merge.parts),
    )


def _are_whole(root: Path, merge: Merge) -> bool:
    wanted = {part.shard.path: part.shard.sha256 for part in merge.parts}
    try:
        return all(sha256_of(root / path) == sha256 for path, sha256 in wanted.items())
    except FileNotFoundError:
        return False


def _groups(pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Pieces put together until they are a row group; none is cut."""
    held: list[pa.Table] = []
    rows = size = 0
    for piece in pieces:
        held.append(piece)
        rows, size = rows + piece.num_rows, size + piece.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.concat_tables(held)
            held, rows, size = [], 0, 0
    if held:
        yield pa.concat_tables(held)


def small_shards(commit: Commit) -> list[Part]:
    """Shards of a commit that are files of their own, and small."""
    return [Part(commit.key, s) for s in commit.shards if s.start is None and s.bytes < FILE_BYTES // 2]


def pending_merges(manifest: Manifest, few: int = FEW) -> list[Merge]:
    """What is to be put together, or apart: small files of the latest plan, if there are `few` of a kind or more, and
    files in which rows stand that it does not count, or that nobody counts any more.
    """
    active = {(c.stage, c.fingerprint, c.key) for c in (*manifest.active(), *manifest.published())}
    order = {
        (name, manifest.graph.key(name, unit)): at
        for name in manifest.graph.stages
        for at, unit in enumerate(manifest.graph.units(name))
    }
    kinds: dict[tuple[str, str, str, bool], dict[str, list[Part]]] = {}
    counted: dict[str, dict[bool, int]] = {}
    for commit in manifest.all_commits():
        is_active = (commit.stage, commit.fingerprint, commit.key) in active
        for shard in commit.shards:
            files = kinds.setdefault((commit.stage, commit.fingerprint, shard.table, is_active), {})
            files.setdefault(shard.path, []).append(Part(commit.key, shard))
            rows = counted.setdefault(shard.path, {True: 0, False: 0})
            rows[is_active] += shard.rows
    found = []
    for (stage, fingerprint, _, is_active), files in kinds.items():
        mixed = {path for path in files if manifest.rows_of(path) not in (None, counted[path][is_active])}
        chosen = {path: parts for path, parts in files.items() if path in mixed or (is_active and _is_small(parts))}
        if len(chosen) - len(mixed) < few:
            chosen = {path: files[path] for path in mixed}
        parts = sorted(
            (part for parts in chosen.values() for part in parts),
            key=lambda part: (order.get((stage, part.key), 0), part.key, part.shard.start or 0, part.shard.path),
        )
        found += [
            merge
            for merge in _packed(stage, fingerprint, parts, manifest)
            if len(merge.sources) > 1 or not mixed.isdisjoint(merge.sources)
        ]
    return found


def _is_small(parts: Sequence[Part]) -> bool:
    return parts[0].shard.bytes < FILE_BYTES // 2


def _packed(stage: str, fingerprint: str, parts: Sequence[Part], manifest: Manifest) -> Iterator[Merge]:
    """The parts in files of about `FILE_BYTES`."""
    held: list[Part] = []
    size = 0.0
    for part in parts:
        held.append(part)
        size += part.shard.bytes * part.shard.rows / (manifest.rows_of(part.shard.path) or part.shard.rows)
        if size >= FILE_BYTES:
            yield Merge(stage, fingerprint, tuple(held))
            held, size = [], 0.0
    if held:
        yield Merge(stage, fingerprint, tuple(held))


def compact(root: Path, manifest: Manifest, few: int = FEW) -> None:
    """Do what is pending, one file after the other, in this process. Only for whoever holds the lock."""
    for merge in pending_merges(manifest, few):
        file = merged(root, merge)
        if file is not None:
            manifest.compacted(file)


def remove_uncounted(root: Path, manifest: Manifest) -> list[str]:
    """Remove files of units and compactions that no commit names, and no catalog; returns what was removed.

    Only for whoever holds the lock, while no unit of work is being done.
    """
    commits = (*manifest.all_commits(), *manifest.published())
    named = {shard.path for commit in commits for shard in commit.shards} | manifest.replaced
    removed = []
    for path in sorted((root / "tables").glob("*/*/part-*.parquet")):
        relative = path.relative_to(root).as_posix()
        if relative not in named and _MADE.fullmatch(path.name):
            path.unlink(missing_ok=True)
            removed.append(relative)
    return removed
