"""Which files a split of a data set is made of, and which of them we read ourselves.

Invariants: a split's files are those that `datasets` would find, but all of them: `datasets` keeps the most common
format and drops the others without a word. JSON Lines and Parquet are read row by row, as `source.jsonl` and
`source.parquet` read them, so that no file has to have the columns and types of the first. Any other format is left to
`datasets`; a split of several formats, one of which is left to it, is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from synthflow.errors import UserError
from synthflow.io import files
from synthflow.io.json_lines import parse_json
from synthflow.io.rows import RowError

_KINDS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".arrow": "arrow",
}
_PACKED = (*files.COMPRESSIONS, ".xz", ".zip")
_SETTINGS = ("field", "columns", "filters")
"""Settings of a data set's card by which `datasets` takes a part of a file: with one of them, it reads."""


@dataclass(frozen=True, slots=True)
class SplitFiles:
    """Files of a split, in order. `ours` says that we read them."""

    paths: tuple[str, ...]
    ours: bool


def split_files(builder: Any, split: str) -> SplitFiles | None:
    """Files of a split of the data set behind one of `datasets`' builders; None where they are not known.

    Raises:
        UserError: for a split that is not there, or one of several formats that cannot be read as one.
    """
    known = builder.config.data_files
    if not known:
        return None
    if split not in known:
        raise UserError(f"{builder.dataset_name} has no split {split!r}; it has {', '.join(map(str, known))}")
    kept = [str(path) for path in known[split]]
    found = kept if _names_files(builder.base_path) else _by_name(builder.base_path, split) or kept
    tables = tuple(path for path in found if _kind(path))
    plain = not any(getattr(builder.config, name, None) for name in _SETTINGS)
    if plain and tables and set(kept) <= set(tables) and all(map(_is_ours, tables)):
        return SplitFiles(tables, True)
    formats = sorted({str(_kind(path)) for path in tables})
    if set(tables) - set(kept) or (set(kept) <= set(tables) and len(formats) > 1):
        shown = ", ".join(PurePosixPath(path).name for path in found[:6]) + (", ..." if len(found) > 6 else "")
        raise UserError(
            f"split {split!r} has files of several formats: {shown}; only JSON Lines and Parquet can be mixed: keep "
            "one format, or read the files with source.jsonl and source.parquet"
        )
    return SplitFiles(tuple(kept), False)


def _names_files(base: str) -> bool:
    """Whether the data set's card says which files it has, rather than their names."""
    import fsspec
    import yaml

    try:
        with fsspec.open(f"{base}/README.md", "r", encoding="utf-8") as stream:
            head = stream.read(1 << 20)
    except OSError:
        return False
    if not head.startswith("---"):
        return False
    try:
        card = yaml.safe_load(head.split("\n---", 1)[0].removeprefix("---"))
    except yaml.YAMLError:
        return True
    return isinstance(card, dict) and bool(card.get("configs"))


def _by_name(base: str, split: str) -> list[str]:
    """All files whose names say that they belong to a split, of whatever format."""
    from datasets.data_files import DataFilesDict, get_data_patterns

    base = base if "://" in base else str(Path(base).resolve())
    patterns = get_data_patterns(base)
    if split not in patterns:
        return []
    found = DataFilesDict.from_patterns({split: patterns[split]}, base_path=base)[split]
    return [str(path) for path in found]


def _kind(path: str) -> str | None:
    suffixes = [suffix.lower() for suffix in PurePosixPath(path).suffixes]
    while suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    return _KINDS.get(suffixes[-1]) if suffixes else None


def _is_ours(path: str) -> bool:
    kind, ending = _kind(path), PurePosixPath(path).suffix.lower()
    if kind == "parquet":
        return ending == ".parquet"
    can_open = ending in files.COMPRESSIONS or ending not in _PACKED
    return can_open and (kind == "jsonl" or (kind == "json" and _holds_lines(path)))


def _holds_lines(path: str) -> bool:
    """Whether a `.json` file is JSON Lines, by its first line: many are one array, or one object."""
    with files.opened(path) as stream:
        first = next((line for line in files.lines(stream) if line.strip()), b"")
    try:
        parse_json(first, not_numbers=True)
    except RowError:
        return False
    return True
