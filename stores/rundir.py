"""The run directory: where everything of a run stands. Nothing in it is an absolute path, so it can be moved.

`spec.yaml`, `resolved.yaml`, `manifest.jsonl`, `manifest.json`, `journal/`, `tables/<table>/<stage>-<fingerprint>/`,
`exports/<stage>/`, `set-aside/<stage>-<n>/` (releases of stages that are gone), `stats.duckdb`, `summary.json`,
`logs/attempt-N/`, `lock`; `inputs/` where a pipeline in Python was given its problems as rows.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from synthflow.errors import UserError
from synthflow.stores.files import no_space_is_clear
from synthflow.stores.manifest import Commit, Manifest


class RunDirectory:
    """Paths of a run, and what its manifest says."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    @classmethod
    def existing(cls, root: str | Path) -> RunDirectory:
        """A run directory that is one.

        Raises:
            UserError: if there is nothing, or something else, at that path.
        """
        run = cls(root)
        if not run.root.exists():
            raise UserError(f"{root}: no such run directory; `synthflow run SPEC --out {root}` makes one")
        if not run.manifest_path.is_file():
            raise UserError(
                f"{root}: not a run directory (it has no manifest.jsonl); give the folder that `synthflow run` wrote"
            )
        return run

    @classmethod
    def create(cls, root: str | Path) -> RunDirectory:
        """A new or existing run directory; a folder that holds something else is refused.

        Raises:
            UserError: if the path is a file, a folder with other things in it, or none that can be made or written.
        """
        try:
            with no_space_is_clear(Path(root)):
                run = cls._made(root)
            writable = os.access(run.root, os.W_OK | os.X_OK)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise UserError(f"{root}: cannot be made a run directory ({why}); give another --out") from error
        if not writable:
            raise UserError(f"{root}: cannot be written to; give another --out")
        return run

    @classmethod
    def _made(cls, root: str | Path) -> RunDirectory:
        run = cls(root)
        if run.root.exists() and not run.root.is_dir():
            raise UserError(f"{root}: is a file; give a folder for the run")
        if run.root.is_dir() and not run.manifest_path.exists():
            strange = [p.name for p in run.root.iterdir() if p.name not in _OWN and not p.name.startswith(".")]
            if strange:
                raise UserError(
                    f"{root}: not a run directory and not empty (it holds {strange[0]!r}); give a new folder with --out"
                )
        run.root.mkdir(parents=True, exist_ok=True)
        return run

    @property
    def manifest_path(self) -> Path:
        return self.root / "manifest.jsonl"

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    @property
    def exports(self) -> Path:
        return self.root / "exports"

    @property
    def catalog(self) -> Path:
        return self.root / "stats.duckdb"

    def logs(self, attempt: int) -> Path:
        folder = self.root / "logs" / f"attempt-{attempt}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def sweep(self) -> None:
        """Remove what a killed attempt left half-written. Only for whoever holds the lock."""
        for pattern in (".source-*", "exports/.*.tmp", "exports/.*.old", "tables/*/*/.*.tmp", "churn/.*.tmp", ".*.tmp"):
            for path in self.root.glob(pattern):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    def manifest(self) -> Manifest:
        return Manifest(self.root)

    def active_commits(self) -> list[Commit]:
        """Commits that belong to the latest plan."""
        return self.manifest().active()


_OWN = {
    "spec.yaml",
    "resolved.yaml",
    "manifest.json",
    "inputs",
    "journal",
    "tables",
    "exports",
    "set-aside",
    "logs",
    "lock",
    "stats.duckdb",
    "summary.json",
}
