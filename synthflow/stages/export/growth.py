"""A release that grows: where problems were added, the files of a large release stay, and what is new follows in files
of its own. A small release is written anew, in one order.

Invariants: a release that grew has the rows of one that was written anew, in other files. It grows only where all
partitions that it is made of are as they were, where no curriculum puts its rows in an order, and until a quarter was
added; then it is written anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from synthflow.stages.export.columns import ConfigSpec
from synthflow.stages.export.shards import Before, Written, is_kept

RECORD = ".synthflow/parts.json"
GROWS_FROM = 100_000
"""Rows, of all configs together, below which a release is written anew: that takes a second."""
_MOST_ADDED = 0.25
_MOST_TIMES = 16


@dataclass(frozen=True)
class Growth:
    """What a release grows from, and by.

    Attributes:
        added: the new partitions.
        configs: what is there, by name.
        rejected: rejects that were told with it, by reason.
        whole: partitions of the release when it was last written as a whole.
        times: how often it has grown since, this time included.
    """

    added: frozenset[str]
    configs: Mapping[str, Before]
    rejected: Mapping[str, int]
    whole: int
    times: int


def growth(folder: Path, parts: Mapping[str, str], specs: Mapping[str, ConfigSpec]) -> Growth | None:
    """How the release in a folder may grow to one of these partitions; None if it has to be written anew.

    Args:
        parts: see `Inputs.parts`.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    known, whole, times = record["parts"], int(record["whole"]), int(record["times"]) + 1
    stays = all(parts.get(part) == made_of for part, made_of in known.items())
    if not stays or times > _MOST_TIMES or len(parts) - whole > _MOST_ADDED * whole:
        return None
    manifest = json.loads((folder / ".synthflow" / "manifest.json").read_text(encoding="utf-8"))
    files = {file["path"]: file for file in manifest["files"] if "rows" in file}
    if any(not (folder / name).is_file() or (folder / name).stat().st_size != f["bytes"] for name, f in files.items()):
        return None
    configs = {}
    for name, spec in specs.items():
        rows, nulls = manifest["configs"].get(name, {}), record["nulls"].get(name, {})
        written = Written(rows=rows, nulls=nulls)
        if rows:
            total = sum(rows.values())
            written.columns = tuple(c for c in spec.columns if is_kept(c.keep, nulls[c.name], total))
        for split in rows:
            written.files[split] = sorted(file for file in files if file.startswith(f"{name}/{split}-"))
            written.file_rows |= {file: files[file]["rows"] for file in written.files[split]}
            written.hashes |= {file: files[file]["sha256"] for file in written.files[split]}
        configs[name] = Before(folder, written)
    added = frozenset(parts) - frozenset(known)
    return Growth(added, configs, manifest["rejected"], whole, times)


def write_record(
    directory: Path, parts: Mapping[str, str], written: Mapping[str, Written], grown: Growth | None
) -> None:
    """Say what a release is made of, if it is large enough to grow."""
    rows = sum(sum(config.rows.values()) for config in written.values())
    if not parts or rows < GROWS_FROM:
        return
    record = {
        "format": 1,
        "whole": len(parts) if grown is None else grown.whole,
        "times": 0 if grown is None else grown.times,
        "nulls": {name: config.nulls for name, config in written.items()},
        "parts": dict(sorted(parts.items())),
    }
    (directory / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
