"""The summary of a run, kept beside it, so that who asks again reads no row.

Invariant: what was kept counts only for the very commits whose rows it was made of, and for the queries that this
version asks; else it is made again. Releases are looked at anew: they lie in folders that a user may touch.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from synthflow.errors import SynthflowError, UserError
from synthflow.ids import content_id
from synthflow.report.summary import Summary, queries, releases, run_summary
from synthflow.stores.catalog.build import CATALOG, open_catalog
from synthflow.stores.files import write_text
from synthflow.stores.manifest import Manifest

SAVED = "summary.json"
LIMITS_MB = (128, 1024)
"""What DuckDB may hold before it goes to disk; where it finds no way there, the second: our defaults."""


def summary_of(run: Path, manifest: Manifest | None = None, *, keep: bool = False) -> Summary:
    """What a run holds: `run_summary`, as it was kept or made anew.

    Args:
        manifest: of the run, where it was read already.
        keep: write down what was made anew. Only for who writes into the run anyway.

    Raises:
        UserError: if there is no catalog, or more in it than these limits can sum up.
    """
    of = _made_of(Manifest(run) if manifest is None else manifest)
    kept = _kept(run / SAVED, of) if (run / CATALOG).is_file() else None
    if kept is not None:
        return kept | releases(run)
    summary = _made(run)
    if keep:
        with suppress(OSError, SynthflowError):  # it saves time and nothing else
            write_text(run / SAVED, json.dumps({"of": of, "summary": summary}, ensure_ascii=False))
    return summary | releases(run)


def _made(run: Path) -> Summary:
    import duckdb

    for memory_mb in LIMITS_MB:
        with open_catalog(run, memory_mb=memory_mb) as con, suppress(duckdb.OutOfMemoryException):
            return run_summary(con)
    raise UserError(
        f"{run / CATALOG}: what it holds cannot be summed up in {LIMITS_MB[-1]} MB, and no row is lost by that; "
        f"ask for single views with `synthflow sql {run}`"
    )


def _made_of(manifest: Manifest) -> str:
    """H(the commits that count, and what is asked of their rows). A unit that was made again has another attempt."""
    commits = sorted((c.stage, c.fingerprint, c.key, c.attempt) for c in manifest.active())
    return content_id("v", queries(), [list(commit) for commit in commits])


def _kept(path: Path, of: str) -> Summary | None:
    try:
        saved: dict[str, Any] = json.loads(path.read_bytes())
        return Summary(saved["summary"]) if saved["of"] == of else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
