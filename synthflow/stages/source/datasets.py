"""Rows of a data set of the `datasets` library: a hub name that is reachable or cached, or a local folder.

Invariant: nothing is read before the run starts (planning does not wait for a network), and rows are streamed or
memory-mapped, never held as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from synthflow.contracts import StageInfo
from synthflow.errors import UserError
from synthflow.io import files
from synthflow.io.paths import anchored
from synthflow.io.rows import Row
from synthflow.stages.source.base import Source, TableSourceConfig


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
        return files.content_of([str(path) for path in sorted(folder.rglob("*")) if path.is_file()])

    def rows(self) -> Iterator[Row]:
        name = Path(self.config.path).name if Path(self.config.path).is_absolute() else self.config.path
        where = f"{name} [{self.config.split}]"
        try:
            for number, values in enumerate(self._open(), start=1):
                yield Row(where, number, values, "row")
        except UserError:
            raise
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            first_line = str(error).strip().partition("\n")[0][:300]
            raise UserError(f"{self.name} (source.datasets): {where} cannot be read: {first_line}") from error

    def _open(self) -> Iterable[Mapping[str, Any]]:
        try:
            import datasets
        except ModuleNotFoundError as error:
            raise UserError(
                "source.datasets needs the package 'datasets': pip install 'synthflow[datasets]'"
            ) from error
        path, config, split = self.config.path, self.config.config, self.config.split
        if (Path(path) / "state.json").is_file():
            saved: Iterable[Mapping[str, Any]] = datasets.load_from_disk(path)
            return saved
        if (Path(path) / "dataset_dict.json").is_file():
            parts = datasets.load_from_disk(path)
            if split not in parts:
                raise UserError(f"{path} has no split {split!r}; it has {', '.join(parts)}")
            part: Iterable[Mapping[str, Any]] = parts[split]
            return part
        try:
            streamed: Iterable[Mapping[str, Any]] = datasets.load_dataset(path, config, split=split, streaming=True)
            return streamed
        except ConnectionError as unreachable:
            return self._cached(datasets, unreachable)

    def _cached(self, datasets: Any, unreachable: ConnectionError) -> Iterable[Mapping[str, Any]]:
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
                f"hub cannot be reached ({unreachable}); download it first, or use source.jsonl or source.parquet"
            ) from error
        return cached
