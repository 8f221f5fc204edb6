"""A copy of a run at a URL: shards, releases and what reads them; journal, lock and logs stay where the run is.

Invariants: `manifest.json` is copied last, so that it names nothing that is not there; a file whose hash the copy's
`manifest.json` names is not sent again; what it named and names no more is removed after it was replaced. Any file
system that fsspec knows will do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from synthflow.errors import InfrastructureError, UserError

_SUMMARY = "manifest.json"
_BESIDE = ("spec.yaml", "resolved.yaml", "manifest.jsonl", "stats.duckdb", "summary.json", "report.html")
"""What has no recorded hash and is small, or made anew by every attempt: sent whenever it is there."""


def is_url(out: str) -> bool:
    return "://" in out


class Remote:
    """The place of the copy.

    Raises:
        UserError: if no file system is known for the URL.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url.rstrip("/")
        try:
            self._system, self._root = fsspec.core.url_to_fs(self.url)
        except Exception as error:  # every file system has errors of its own
            raise UserError(f"--out {url}: {_reason(error)}") from error

    def check(self) -> None:
        """Write a small file and remove it: better now than when the run is done.

        Raises:
            UserError: if that fails.
        """
        probe = f"{self._root}/.synthflow-{uuid4().hex[:8]}"
        try:
            self._system.makedirs(self._root, exist_ok=True)
            self._system.pipe_file(probe, b"")
            self._system.rm_file(probe)
        except Exception as error:  # every file system has errors of its own
            raise UserError(f"--out {self.url}: cannot be written to: {_reason(error)}") from error

    def send(self, root: Path) -> int:
        """Make the copy that of a finished run; returns how many files were sent.

        Raises:
            InfrastructureError: if the file system fails; the next call goes on.
        """
        summary = json.loads((root / _SUMMARY).read_bytes())
        here = dict(_files(summary))
        try:
            there = self._named()
            wanted = [path for path, sha in here.items() if there.get(path) != sha]
            wanted += [path for path in _BESIDE if (root / path).exists()]
            for path in [*wanted, _SUMMARY]:
                target = f"{self._root}/{path}"
                self._system.makedirs(target.rpartition("/")[0], exist_ok=True)
                self._system.put_file(str(root / path), target)
            for path in there.keys() - here.keys():
                if self._system.exists(f"{self._root}/{path}"):
                    self._system.rm_file(f"{self._root}/{path}")
        except Exception as error:
            raise InfrastructureError(f"{self.url}: the copy is not whole: {_reason(error)}; run again") from error
        return len(wanted) + 1

    def _named(self) -> dict[str, str]:
        path = f"{self._root}/{_SUMMARY}"
        if not self._system.exists(path):
            return {}
        return dict(_files(json.loads(self._system.cat_file(path))))


def _files(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(path, sha256) of every file that a summary names."""
    for shard in summary["reference"]:
        yield shard["path"], shard["sha256"]
    for commit in summary["commits"]:
        yield from ((shard["path"], shard["sha256"]) for shard in commit["shards"])
        yield from commit["files"].items()


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:300]
