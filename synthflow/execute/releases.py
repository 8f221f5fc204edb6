"""Publishing an export: written aside, hashed, and moved into `exports/<stage>/` as a whole."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from synthflow.contracts import ExportStage, Inputs, Services
from synthflow.stores.files import fsync_dir, no_space_is_clear, sha256_of


def publish(stage: ExportStage, inputs: Inputs, services: Services, root: Path) -> tuple[pa.Table, dict[str, str]]:
    """Write a release into `exports/<stage>/`, replacing an earlier one.

    Returns:
        The rejects, and sha256 by path relative to the run directory.
    """
    exports = root / "exports"
    exports.mkdir(parents=True, exist_ok=True)
    aside = exports / f".{stage.name}.{uuid4().hex[:8]}.tmp"
    aside.mkdir()
    target = exports / stage.name
    try:
        with no_space_is_clear(target):
            rejects = stage.release(inputs, aside, services)
            hashes = {
                f"exports/{stage.name}/{p.relative_to(aside).as_posix()}": sha256_of(p)
                for p in sorted(aside.rglob("*"))
                if p.is_file()
            }
            old = exports / f".{stage.name}.{uuid4().hex[:8]}.old"
            if target.exists():
                target.rename(old)
            aside.rename(target)
            fsync_dir(exports)
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return rejects, hashes
