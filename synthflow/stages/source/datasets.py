"""Rows of a data set of the `datasets` library: a hub name that is reachable or cached, or a local folder.

Invariants: nothing is read before the run starts (planning does not wait for a network), and rows are streamed or
memory-mapped, never held as a whole; whatever a reader stumbles over is one line, with the file where one is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from synthflow.contracts import StageInfo
from synthflow.errors import UserError
from synthflow.io.files import content_of
from synthflow.io.json_lines import json_rows
from synthflow.io.parquet import parquet_rows
from synthflow.io.paths import anchored, label
from synthflow.io.rows import Row
from synthflow.stages.source.base import Source, TableSourceConfig
from synthflow.stages.source.dataset_files import SplitFiles, split_files


class DatasetsConfig(TableSourceConfig):
    path: str = Field(description="name on the hub, or a local folder", min_length=1)
    config: str | None = Field(None, description="configuration (subset) of the data set")
    split: str = Field("train", description="split to read")


class DatasetsSource(Source):
    """Problems from a Hugging Face data set: a name on the hub, a folder of data files, or one that was saved."""

    use = "source.datasets"
    summary = "Problems from a Hugging Face data set, on the hub or in a folder."
    Config = DatasetsConfig
    identity_excludes: ClassVar[tuple[str, ...]] = ("path",)

    @classmethod
    def resolve_paths(cls, given: Mapping[str, Any], base_dir: Path) -> dict[str, Any]:
        """A path that starts with a dot, or is a folder beside the spec, is local; anything else a hub name."""
        path = given.get("path")
        if not isinstance(path, str) or not path or "\0" in path or "://" in path:
            return dict(given)
        local = Path(anchored(path, base_dir))
        try:
            is_local = path.startswith((".", "~", "/")) or local.is_dir()
        except OSError:  # a name too long for any folder
            is_local = False
        return {**given, "path": str(local)} if is_local else dict(given)

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        """A local folder must exist; what a hub name holds is only known when it is read."""
        path = Path(self.config.path)
        if path.is_absolute() and not path.is_dir():
            return [("path", f"{path} is not a folder", "a file is read by source.jsonl or source.parquet")]
        return []

    def content(self) -> str | None:
        """H(the files of a local folder); None of a name on the hub."""
        folder = Path(self.config.path)
        if not folder.is_absolute():
            return None
        return content_of([str(path) for path in sorted(folder.rglob("*")) if path.is_file()])

    def rows(self) -> Iterator[Row]:
        name = Path(self.config.path).name if Path(self.config.path).is_absolute() else self.config.path
        where = f"{name} [{self.config.split}]"
        with self._one_line(where):
            datasets = _library()
            saved = self._saved(datasets)
            builder = None if saved is not None else self._builder(datasets)
            files = None if builder is None else split_files(builder, self.config.split)
        if files is not None and files.ours:
            for path in files.paths:
                yield from parquet_rows(path) if path.endswith(".parquet") else json_rows(path, not_numbers=True)
            return
        with self._one_line(where):
            rows = saved if saved is not None else self._streamed(datasets, builder)
            parts = _parts(rows, files)
        for part, held in parts:
            with self._one_line(part or where):
                for number, values in enumerate(held, start=1):
                    yield Row(part or where, number, values, "row")

    @contextmanager
    def _one_line(self, where: str) -> Iterator[None]:
        """Readers of data sets have errors of every class, and some draw whole schemas."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            what = " ".join(str(error).split())[:300] or type(error).__name__
            raise UserError(f"{self.name} (source.datasets): {where} cannot be read: {what}") from error

    def _saved(self, datasets: Any) -> Iterable[Mapping[str, Any]] | None:
        path, split = self.config.path, self.config.split
        if (Path(path) / "state.json").is_file():
            saved: Iterable[Mapping[str, Any]] = datasets.load_from_disk(path)
            return saved
        if (Path(path) / "dataset_dict.json").is_file():
            parts = datasets.load_from_disk(path)
            if split not in parts:
                raise UserError(f"{path} has no split {split!r}; it has {', '.join(parts)}")
            part: Iterable[Mapping[str, Any]] = parts[split]
            return part
        return None

    def _builder(self, datasets: Any) -> Any:
        """None where the hub is out of reach."""
        try:
            return datasets.load_dataset_builder(self.config.path, self.config.config)
        except ConnectionError:
            return None

    def _streamed(self, datasets: Any, builder: Any) -> Iterable[Mapping[str, Any]]:
        split = self.config.split
        if builder is None:
            return self._cached(datasets)
        streamed: Iterable[Mapping[str, Any]] = builder.as_streaming_dataset(split=split)
        return streamed

    def _cached(self, datasets: Any) -> Iterable[Mapping[str, Any]]:
        """The hub is out of reach: what an earlier download left in the cache, memory-mapped."""
        try:
            cached: Iterable[Mapping[str, Any]] = datasets.load_dataset(
                self.config.path,
                self.config.config,
                split=self.config.split,
                download_config=datasets.DownloadConfig(local_files_only=True),
            )
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.name} (source.datasets): {self.config.path!r} is no local folder, is not in the cache, and the "
                "hub cannot be reached; download it first, or use source.jsonl or source.parquet"
            ) from error
        return cached


def _library() -> Any:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise UserError("source.datasets needs the package 'datasets': pip install 'synthflow[datasets]'") from error
    return datasets


def _parts(rows: Any, files: SplitFiles | None) -> Iterator[tuple[str, Iterable[Mapping[str, Any]]]]:
    """The rows by file where a stream has one shard a file, so that each is read on its own; else all together."""
    paths = () if files is None else files.paths
    if len(paths) > 1 and getattr(rows, "num_shards", 0) == len(paths):
        for index, path in enumerate(paths):
            yield label(path), rows.shard(num_shards=len(paths), index=index)
    else:
        yield label(paths[0]) if len(paths) == 1 else "", rows
