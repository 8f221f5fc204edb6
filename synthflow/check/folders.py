"""Releases, and files that nobody names.

Invariants: the releases in `exports/` are those that were published last, byte for byte. Whatever else lies in
`tables/`, `exports/` or aside is harmless to the run (only the manifest makes a file part of it), but takes room,
and in a release a trainer that reads folders would read it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from synthflow.check.record import CheckedManifest
from synthflow.check.report import Findings
from synthflow.check.shards import file_finding, severity_of

_REFERENCE = re.compile(r"tables/(policies|samplings|stages|runs)/run/part-(\d+)\.parquet")
"""Reference tables are written anew by every attempt; those of earlier ones are not orphans."""


def check_releases(
    root: Path, manifest: CheckedManifest, deep: bool, found: Findings
) -> tuple[set[str], list[tuple[str, str]]]:
    """Compare the files of every published release with their recorded hashes.

    Returns:
        The paths that releases name; and (stage, path) of the files of active releases that are as they were written.
    """
    active = {(c.stage, c.fingerprint, c.key) for c in manifest.active()}
    named: set[str] = set()
    released: list[tuple[str, str]] = []
    for commit in manifest.published():
        is_active = (commit.stage, commit.fingerprint, commit.key) in active
        named.update(commit.files)
        if commit.stage not in manifest.graph.stages:
            what, fix = "a release of a stage that the spec has no more", "run again: it is set aside"
            found.warning("stale_release", f"exports/{commit.stage}", what, fix)
        for relative, sha256 in commit.files.items():
            found.counts["files"] += 1
            found.checked["hash"] += deep
            wrong = file_finding(root, relative, sha256 if deep else None, severity_of(is_active))
            if wrong is not None:
                found.add(wrong)
            elif is_active:
                released.append((commit.stage, relative))
    return named, released


def check_set_aside(root: Path, manifest: CheckedManifest, found: Findings) -> None:
    """Tell of the releases of stages that are gone."""
    for stage, to in manifest.set_aside:
        if (root / to).exists():
            what = f"the release of stage {stage!r}, which the spec had no more when it was set aside"
            found.warning("set_aside", to, what, "`synthflow clean` removes it")


def check_orphans(root: Path, named: Collection[str], attempt: int, found: Findings) -> None:
    """Warn of files in `tables/` and `exports/` that nothing names, and of folders a killed run left."""
    for path in sorted(root.glob(".source-*")):
        what = "a folder that a killed run left"
        found.warning("orphan", path.name, what, "remove it when no run is going on")
    for relative in _files(root):
        found.checked["orphan"] += 1
        reference = _REFERENCE.fullmatch(relative)
        if relative in named or (reference and int(reference[2]) <= attempt):
            continue
        what, fix = "no commit names this file: it is no part of the run", "remove it to save room; it does no harm"
        if relative.startswith("exports/") and "/." not in relative:
            what, fix = "no commit names this file, but a trainer that reads this folder reads it", "remove it"
        found.warning("orphan", relative, what, fix)


def _files(root: Path) -> Iterator[str]:
    for folder in ("tables", "exports"):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() or path.is_symlink():
                yield path.relative_to(root).as_posix()
