"""`source.jsonl`, `source.parquet`: problems from files, here or at a URL.

Invariant: `path` is resolved against the folder of the spec and is no part of the identity; a malformed row is named by
its file and line.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from synthflow.contracts import OneOrMore, StageInfo
from synthflow.errors import UserError
from synthflow.io import files
from synthflow.io.json_lines import json_rows
from synthflow.io.parquet import parquet_columns, parquet_rows
from synthflow.io.paths import anchored, expand, label
from synthflow.io.rows import Row, RowError, columns_of, first_rows
from synthflow.stages.source.base import Source, TableSourceConfig

_COUNTED_BYTES = 64 * 1024 * 1024


class FileSourceConfig(TableSourceConfig):
    path: OneOrMore = Field(description="a file, a pattern or a list; relative to the pipeline file", min_length=1)


class FileSource(Source):
    """A source of files: what the formats share."""

    Config = FileSourceConfig
    identity_excludes: ClassVar[tuple[str, ...]] = ("path",)

    @classmethod
    def resolve_paths(cls, given: Mapping[str, Any], base_dir: Path) -> dict[str, Any]:
        return {key: anchored(value, base_dir) if key == "path" else value for key, value in given.items()}

    @abstractmethod
    def read(self, path: str) -> Iterator[Row]:
        """Rows of one file."""

    @abstractmethod
    def peek(self, path: str) -> tuple[list[str], bool]:
        """Columns of one file, and whether any of the first rows has an answer."""

    def rows(self) -> Iterator[Row]:
        for path in expand(self.config.path):
            yield from self.read(path)

    def content(self) -> str | None:
        """H(names and bytes of its files), since a row that is left out is told by its file's name; None of a URL."""
        return files.content_of(expand(self.config.path))

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        try:
            found = expand(self.config.path)
            columns, answered = self.peek(found[0])
        except UserError as error:
            return [("path", str(error), "")]
        if columns:
            return list(self.check_columns(columns, answered))
        first = next(self.read(found[0]), None)
        if first is not None and isinstance(first.values, RowError):
            return [("path", f"{first.where}: {first.values.what}", first.values.fix)]
        return [("path", f"{label(found[0])} is empty", "")] if len(found) == 1 else []


class JsonlSource(FileSource):
    """Problems from JSON Lines: one object a line, plain or compressed (.gz, .bz2, .zst, .lz4)."""

    use = "source.jsonl"
    summary = "Problems from JSON Lines, one object a line, also compressed."

    def read(self, path: str) -> Iterator[Row]:
        return json_rows(path, not_numbers=True)

    def peek(self, path: str) -> tuple[list[str], bool]:
        # One good row is enough to see columns; a malformed first line is reported with its number by `batches`.
        rows = first_rows(self.read(path))
        return columns_of(rows), any(row.get(self.config.answer_column) not in (None, "") for row in rows)

    def count_rows(self) -> tuple[float, str]:
        """Lines; estimated from the first ones for large or compressed files."""
        total, note = 0.0, ""
        for path in expand(self.config.path):
            local = "://" not in path
            plain = Path(path).suffix in (".jsonl", ".json", ".ndjson", ".txt", "")
            if local and plain and Path(path).stat().st_size > _COUNTED_BYTES:
                with files.opened(path) as stream:
                    head = [stream.readline(files.MAX_LINE_BYTES) for _ in range(1000)]
                total += Path(path).stat().st_size / (sum(map(len, head)) / len(head))
                note = "problems estimated from the size of the file"
            else:
                total += sum(1 for _ in islice(self.read(path), self.config.limit))
        return total, note


class ParquetSource(FileSource):
    """Problems from Parquet files."""

    use = "source.parquet"
    summary = "Problems from Parquet files."

    def read(self, path: str) -> Iterator[Row]:
        return parquet_rows(path)

    def peek(self, path: str) -> tuple[list[str], bool]:
        columns, rows = parquet_columns(path)
        if not rows:
            return [], False
        head = first_rows(parquet_rows(path))
        return columns, any(row.get(self.config.answer_column) not in (None, "") for row in head)

    def count_rows(self) -> tuple[float, str]:
        """Rows, from the footers."""
        return float(sum(parquet_columns(path)[1] for path in expand(self.config.path))), ""
