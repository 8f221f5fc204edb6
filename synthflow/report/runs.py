"""Run directories side by side: what each is, how far it is, what it took."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from synthflow.errors import SynthflowError
from synthflow.stores.cleaning import size_of
from synthflow.stores.lock import is_stale, read_lock
from synthflow.stores.manifest import Manifest

_DEEPEST = 4
"""Folders below the one that is given in which runs are looked for: our default."""


@dataclass(frozen=True)
class RunLine:
    """One run directory. `tokens` were sampled over all attempts, as these said themselves; `cost` is at the price that
    the latest spec names, null without one.
    """

    run: str
    name: str | None
    state: str
    attempt: int
    problems: int
    rollouts: int
    rows: int
    bytes: int
    policies: tuple[str, ...]
    tokens: int
    cost: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def run_lines(folder: Path) -> list[RunLine]:
    """Every run directory in a folder and below, or the folder itself if it is one; sorted by path."""
    return [run_line(root) for root in run_directories(folder)]


def run_directories(folder: Path) -> Iterator[Path]:
    """Run directories below a folder; none is looked for inside of one."""
    depth = len(folder.parts)
    for here, inside, names in os.walk(folder):
        inside.sort()
        if "manifest.jsonl" in names:
            inside.clear()
            yield Path(here)
        elif len(Path(here).parts) - depth >= _DEEPEST:
            inside.clear()


def state_of(root: Path, manifest: Manifest) -> str:
    """running, not started, incomplete or complete."""
    holder = read_lock(root)
    if holder is not None and not is_stale(holder, root):
        return "running"
    if not manifest.attempt:
        return "not started"
    return "incomplete" if manifest.owed() else "complete"


def run_line(root: Path) -> RunLine:
    try:
        manifest = Manifest(root)
    except (SynthflowError, OSError, KeyError, TypeError):
        return RunLine(str(root), None, "damaged", 0, 0, 0, 0, size_of(root), (), 0, None)
    shards = [shard for commit in manifest.active() for shard in commit.shards]

    def rows(*tables: str) -> int:
        return sum(s.rows for s in shards if s.table in tables)

    spec = manifest.latest_attempt.get("spec", {})
    price = spec.get("execution", {}).get("price_per_million_tokens")
    tokens = _tokens(root, manifest.attempt)
    return RunLine(
        run=str(root),
        name=manifest.latest_attempt.get("name"),
        state=state_of(root, manifest),
        attempt=manifest.attempt,
        problems=rows("problems"),
        rollouts=rows("rollouts"),
        rows=sum(s.rows for s in shards if s.table != "telemetry"),
        bytes=size_of(root),
        policies=tuple(dict.fromkeys(str(p["model"]) for p in spec.get("policies", {}).values())),
        tokens=tokens,
        cost=None if price is None else tokens / 1e6 * price,
    )


def _tokens(root: Path, attempts: int) -> int:
    total = 0.0
    for number in range(1, attempts + 1):
        try:
            said = json.loads((root / "logs" / f"attempt-{number}" / "progress.json").read_bytes())
            total += said["total"]["tokens"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return int(total)
