"""Compaction while a run goes on: small files of committed units become large ones, on the workers, beside the units.

The driver alone swaps files, in the manifest. What was replaced is removed once every unit that was in flight at the
swap has ended, since those may read it; but what the catalog of an earlier attempt may name stays until this attempt
has its own (`stores.compaction.remove_uncounted`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from synthflow.errors import InfrastructureError, NoSpace
from synthflow.execute.tasks import CPU, RunContext
from synthflow.stores.compaction import FILE_BYTES, Merge, Part, merged, pending_merges, small_shards
from synthflow.stores.manifest import Commit, Manifest

if TYPE_CHECKING:
    from distributed import Client, Future

_MANY = 1 << 10
"""So many small files are put together though they are not yet large."""

Unit = tuple[str, str]
Kind = tuple[str, str, str]


class Compactor:
    """Compacts what one attempt commits."""

    def __init__(self, client: Client, manifest: Manifest, context: RunContext) -> None:
        self._client, self._manifest, self._context = client, manifest, context
        self._waiting: dict[Kind, list[Part]] = defaultdict(list)
        self._bytes: dict[Kind, int] = defaultdict(int)
        self._merging: dict[Future, Merge] = {}
        self._running: set[Unit] = set()
        self._old: list[tuple[set[Unit], tuple[str, ...]]] = []
        self._own: set[str] = set()
        self._submitted = 0

    def started(self, units: Collection[Unit]) -> None:
        """These units may read the files that count now."""
        self._running.update(units)

    def ended(self, unit: Unit) -> None:
        self._running.discard(unit)
        for readers, _ in self._old:
            readers.discard(unit)
        self._remove()

    def committed(self, commit: Commit) -> None:
        """Take note of a unit's files, and put together what is enough for a large one."""
        self._own.update(shard.path for shard in commit.shards)
        for part in small_shards(commit):
            kind = (commit.stage, commit.fingerprint, part.shard.table)
            self._waiting[kind].append(part)
            self._bytes[kind] += part.shard.bytes
            if len(self._waiting[kind]) >= _MANY or self._bytes[kind] >= FILE_BYTES:
                del self._bytes[kind]
                self._submit(Merge(*kind[:2], self._in_order(commit.stage, self._waiting.pop(kind))))
        self._swap([future for future in self._merging if future.done()])

    def finish(self) -> None:
        """Put together what is left. Nothing is owed any more, and no unit runs."""
        self._swap_all()
        for merge in pending_merges(self._manifest):
            self._submit(merge)
        self._swap_all()

    def _swap_all(self) -> None:
        from distributed import as_completed

        for future in as_completed(list(self._merging), loop=self._client.loop):
            self._swap([future])

    def _in_order(self, stage: str, parts: list[Part]) -> tuple[Part, ...]:
        graph = self._manifest.graph
        order = {graph.key(stage, unit): at for at, unit in enumerate(graph.units(stage))}
        return tuple(sorted(parts, key=lambda part: order.get(part.key, 0)))

    def _submit(self, merge: Merge) -> None:
        self._submitted += 1
        key = f"compact-{merge.stage}-{self._submitted}-{self._context.attempt}-{self._context.token}"
        future = self._client.submit(merged, self._context.root, merge, key=key, resources={CPU: 1}, pure=False)
        self._merging[future] = merge

    def _swap(self, futures: Collection[Future]) -> None:
        for future in futures:
            merge = self._merging.pop(future)
            if future.status == "finished":
                file = future.result()
                if file is not None:
                    self._manifest.compacted(file)
                    self._own.add(file.path)
                    self._old.append((set(self._running), tuple(p for p in merge.sources if p in self._own)))
            else:
                _raise_but_for_the_machine(future)
            future.release()
        self._remove()

    def _remove(self) -> None:
        root = Path(self._context.root)
        for readers, paths in self._old:
            if not readers:
                for path in paths:
                    (root / path).unlink(missing_ok=True)
        self._old = [(readers, paths) for readers, paths in self._old if readers]


def _raise_but_for_the_machine(future: Future) -> None:
    """A compaction that failed for want of room, or with its worker, is made by the next run, if at all."""
    from distributed import KilledWorker

    error = future.exception() if future.status == "error" else None
    if error is not None and not isinstance(error, InfrastructureError | NoSpace | KilledWorker):
        raise error
