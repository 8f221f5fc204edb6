"""What of a run neither a release nor a resume needs, and its removal.

Invariants: the journal, the shards and releases that the latest plan counts, and the reference tables are never
touched, so that the run is as sound afterwards as before, and the next run of its spec owes what it owed. What is
removed is work of earlier specs (made again from the journal, should one come back), files that nobody names, releases
that were set aside, what earlier attempts printed, and the pilot's own tables. The manifest is told before files go.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthflow.stores.manifest import Commit, Manifest
from synthflow.stores.rundir import RunDirectory

_LOGS = re.compile(r"attempt-(\d+)")


@dataclass(frozen=True)
class Removable:
    """Files and folders of one kind, relative to the run directory, and the room that they take."""

    what: str
    paths: tuple[str, ...]
    bytes: int


def removable(run: RunDirectory, manifest: Manifest) -> list[Removable]:
    """What can be removed, by kind; kinds of which there is nothing are left out."""
    stale = stale_commits(manifest)
    kept = _needed(manifest)
    old = sorted({s.path for c in stale for s in c.shards} - kept)
    named = {s.path for c in manifest.all_commits() for s in c.shards} | kept
    kinds = [
        ("shards of earlier specs", old),
        ("files that no commit names", sorted(_unnamed(run.root, manifest, named))),
        (
            "releases that were set aside",
            sorted(f"set-aside/{path.name}" for path in (run.root / "set-aside").glob("*")),
        ),
        ("what earlier attempts printed", sorted(_old_logs(run.root, manifest.attempt))),
        ("notes of requests in flight", sorted(p.relative_to(run.root).as_posix() for p in run.journal.glob("*.open"))),
        ("tables of the pilot", [".pilot"] if (run.root / ".pilot").exists() else []),
    ]
    found = (Removable(what, tuple(paths), _size(run.root, paths)) for what, paths in kinds)
    return [one for one in found if one.paths]


def clean(run: RunDirectory, manifest: Manifest, found: Iterable[Removable]) -> None:
    """Remove it. Only for whoever holds the lock."""
    manifest.forget(stale_commits(manifest))
    for relative in (path for one in found for path in one.paths):
        path = run.root / relative
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for folder in sorted((run.root / "tables").glob("*/*"), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def stale_commits(manifest: Manifest) -> list[Commit]:
    """Commits that the latest plan does not count, releases that lie in `exports/` apart."""
    counted = {_key(c) for c in [*manifest.active(), *manifest.published()]}
    return [c for c in manifest.all_commits() if _key(c) not in counted]


def _key(commit: Commit) -> tuple[str, str, str]:
    return commit.stage, commit.fingerprint, commit.key


def _needed(manifest: Manifest) -> set[str]:
    return {s.path for c in [*manifest.active(), *manifest.published()] for s in c.shards}


def _unnamed(root: Path, manifest: Manifest, named: set[str]) -> Iterator[str]:
    released = {path for commit in manifest.published() for path in commit.files}
    for path in _inside(root, "tables"):
        if path not in named and not _is_reference(path, manifest.done_attempt):
            yield path
    yield from (path for path in _inside(root, "exports") if path not in released)


def _is_reference(path: str, attempt: int) -> bool:
    """Whether a file is a reference table in use: that of the last attempt that was finished."""
    return bool(re.fullmatch(rf"tables/[a-z_]+/run/part-0*{attempt}\.parquet", path))


def _inside(root: Path, folder: str) -> Iterator[str]:
    for path in (root / folder).rglob("*"):
        if path.is_file() or path.is_symlink():
            yield path.relative_to(root).as_posix()


def _old_logs(root: Path, attempt: int) -> Iterator[str]:
    """Of earlier attempts all but their progress, which tells what they spent and how fast they were."""
    for folder in (root / "logs").glob("attempt-*"):
        number = _LOGS.fullmatch(folder.name)
        if number and int(number[1]) < attempt:
            yield from (p.relative_to(root).as_posix() for p in folder.iterdir() if p.name != "progress.json")


def _size(root: Path, paths: Sequence[str]) -> int:
    return sum(size_of(root / path) for path in paths)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links are not followed."""
    if path.is_symlink():
        return 0
    if path.is_dir():
        return sum(p.lstat().st_size for p in path.rglob("*") if not p.is_dir() and not p.is_symlink())
    return path.lstat().st_size if path.exists() else 0
