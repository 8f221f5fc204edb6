"""Publishing an export: written aside, hashed, and moved into `exports/<stage>/` as a whole; and setting aside the
release of a stage that is gone, so that nobody trains on it as if it were this run's.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from synthflow.contracts import Earlier, ExportStage, Inputs, Services
from synthflow.stages.export.release import told_hashes
from synthflow.stores.files import fsync_dir, no_space_is_clear, sha256_of
from synthflow.stores.manifest import Commit, Manifest

SET_ASIDE = "set-aside"


def publish(
    stage: ExportStage, inputs: Inputs, services: Services, root: Path, keep: Callable[[pa.Table], None]
) -> dict[str, str]:
    """Write a release into `exports/<stage>/`, replacing an earlier one.

    Args:
        keep: is given the rejects, a table at a time.

    Returns:
        sha256 by path relative to the run directory.
    """
    exports = root / "exports"
    exports.mkdir(parents=True, exist_ok=True)
    aside = exports / f".{stage.name}.{uuid4().hex[:8]}.tmp"
    aside.mkdir()
    target = exports / stage.name
    try:
        with no_space_is_clear(target):
            rejects = stage.release(inputs, aside, services)
            for rows in [rejects] if isinstance(rejects, pa.Table) else rejects:
                keep(rows)
            hashes = _hashes(aside)
            old = exports / f".{stage.name}.{uuid4().hex[:8]}.old"
            if target.exists():
                target.rename(old)
            aside.rename(target)
            fsync_dir(exports)
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return {f"exports/{stage.name}/{name}": sha256 for name, sha256 in hashes.items()}


def _hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file; what the release itself says is not read again."""
    told = told_hashes(folder)
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    return {name: told.get(name) or sha256_of(folder / name) for name in names}


def earlier(root: Path, released: Commit | None, fingerprint: str) -> Earlier | None:
    """The release that lies in the place of one of this fingerprint, if it is of the same and its rejects are there."""
    if released is None or released.fingerprint != fingerprint:
        return None
    folder = root / "exports" / released.stage
    known = {name: sha256 for name, sha256 in released.files.items() if "/.synthflow/" in name}
    if any(not (root / name).is_file() or sha256_of(root / name) != sha256 for name, sha256 in known.items()):
        return None
    if any(not (root / shard.path).is_file() for shard in released.shards):
        return None
    return Earlier(folder)


def set_aside(manifest: Manifest, root: Path, stages: Collection[str]) -> None:
    """Move the releases of stages other than these to `set-aside/<stage>-<n>/`, and say so in the manifest.

    The manifest is told first: a release that it has set aside and that still lies in `exports/`, because the run was
    killed in between, is moved by the next call.
    """
    for stage in [commit.stage for commit in manifest.published() if commit.stage not in stages]:
        number = 1 + sum(name == stage for name, _ in manifest.set_aside)
        manifest.append({"kind": "set_aside", "stage": stage, "to": f"{SET_ASIDE}/{stage}-{number}"})
    published = {commit.stage for commit in manifest.published()}
    latest = dict(manifest.set_aside)
    for stage, to in latest.items():
        release = root / "exports" / stage
        if stage not in {*stages, *published} and release.exists() and not (root / to).exists():
            (root / to).parent.mkdir(exist_ok=True)
            release.rename(root / to)
            fsync_dir(release.parent)
