"""Hashes of large files, remembered.

Invariant: the digest is that of the file's bytes, and the memo is only ever a shortcut. Its key holds the real
path, the size and the modification time in nanoseconds; a memo that cannot be read or written costs time and
nothing else.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from synthflow.stores.files import sha256_of

MEMO_SIZE = 4096


def memo_path() -> Path:
    """Where digests are remembered: `$XDG_CACHE_HOME/synthflow`, or `~/.cache/synthflow`."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "synthflow" / "file-hashes.json"


def _read_memo(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RuntimeError):  # no memo, a torn one, no home: hash again
        return {}
    if not isinstance(found, dict):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, str) and len(v) == 64}


def _write_memo(path: Path, memo: dict[str, str]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
            json.dump(dict(list(memo.items())[-MEMO_SIZE:]), file)
        Path(file.name).replace(path)
    except (OSError, RuntimeError):  # a read-only home must not stop a run
        return


def hash_files(paths: Iterable[Path]) -> list[str]:
    """SHA-256 of each file in hex, from the memo where size and time have not changed.

    Raises:
        OSError: if a file cannot be read.
    """
    try:
        where = memo_path()
    except RuntimeError:  # a user without a home
        where = Path(os.devnull)
    memo, fresh, found = _read_memo(where), {}, []
    for path in paths:
        state = path.stat()
        key = f"{os.path.realpath(path)}|{state.st_size}|{state.st_mtime_ns}"
        digest = memo.get(key)
        if digest is None:
            digest = fresh[key] = sha256_of(path)
        found.append(digest)
    if fresh and where != Path(os.devnull):
        _write_memo(where, {**_read_memo(where), **fresh})
    return found
