"""A release: one folder a config, a card that says how to load it, and the hash of every file.

    README.md                              the card; its YAML head lists configs and splits
    <config>/train-00000-of-00004.parquet  and validation-…; nothing else stands in these folders
    dataset_info.json                      LLaMA-Factory's descriptor, where a config suits it
    .synthflow/manifest.json               sha256, bytes and rows of every file above
    .synthflow/parts.json                  of a large release: what it needs to grow (see `growth`)

A config without rows has no folder and no entry in the card's head, and the card says so. Nothing in a release is
a time, a path or a host, so that the same rows give the same bytes. Other rows give another head: `datasets` names its
cache of a local folder by the folder's name and the head, and would read the rows of another release otherwise.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from synthflow.ids import content_id
from synthflow.stages.export.about import About
from synthflow.stages.export.card import render_card
from synthflow.stages.export.columns import ConfigSpec
from synthflow.stages.export.growth import Growth
from synthflow.stages.export.shards import ShardLimits, Spool, Written
from synthflow.stores.files import sha256_of

MANIFEST_FORMAT = 1


class Release:
    """Writes a release into an empty directory; a context manager that leaves no scratch files behind."""

    def __init__(
        self,
        directory: Path,
        specs: Sequence[ConfigSpec],
        limits: ShardLimits,
        *,
        ranked: bool = True,
        growth: Growth | None = None,
    ) -> None:
        self.directory, self._limits, self._ranked, self._growth = directory, limits, ranked, growth
        self._specs = {spec.name: spec for spec in specs}
        self._hidden = directory / ".synthflow"
        self._scratch = self._hidden / "tmp"
        self._scratch.mkdir(parents=True)
        self._open: dict[str, Spool] = {}
        self._written: dict[str, Written] = {}

    def __enter__(self) -> Release:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)

    def add(self, config: str, rows: pa.Table) -> None:
        """Take rows of one config: see `Spool.add`."""
        if config not in self._open:
            self._open[config] = self._spool(config)
        self._open[config].add(rows)

    def advance(self, before: str | None) -> None:
        """Write what can be written now: see `Spool.advance`."""
        for spool in self._open.values():
            spool.advance(before)

    def _spool(self, config: str) -> Spool:
        before = None if self._growth is None else self._growth.configs.get(config)
        spec, scratch = self._specs[config], self._scratch
        return Spool(spec, self.directory, scratch, self._limits, ranked=self._ranked, before=before)

    def end_pass(self) -> None:
        """No more rows come of the configs that had some.

        Raises:
            ColumnsDiffer: if a release cannot grow by them.
        """
        self._written |= {name: spool.finish() for name, spool in self._open.items()}
        self._open = {}

    def finish(self, about: About) -> dict[str, Written]:
        """Write shards, card, descriptors and manifest; what was written, by config."""
        self.end_pass()
        written = {name: self._written.get(name) or self._spool(name).finish() for name in self._specs}
        descriptor = llama_factory_info(written)
        if descriptor:
            (self.directory / "dataset_info.json").write_text(json.dumps(descriptor, indent=2) + "\n")
        shutil.rmtree(self._scratch)
        hashes = {name: sha256 for each in written.values() for name, sha256 in each.hashes.items()}
        for name in (name for each in written.values() for name in each.file_rows if name not in hashes):
            hashes[name] = sha256_of(self.directory / name)
        contents = {
            name: content_id("h", sorted((f, hashes[f]) for f in each.file_rows)) for name, each in written.items()
        }
        card = render_card(tuple(self._specs.values()), written, about, sorted(descriptor), contents)
        (self.directory / "README.md").write_text(card, encoding="utf-8")
        manifest = self._manifest(written, about, hashes)
        (self._hidden / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
        return written

    def _name(self, path: Path) -> str:
        return path.relative_to(self.directory).as_posix()

    def _manifest(self, written: Mapping[str, Written], about: About, hashes: Mapping[str, str]) -> dict[str, Any]:
        rows = {name: n for config in written.values() for name, n in config.file_rows.items()}
        files = []
        for path in sorted(p for p in self.directory.rglob("*") if p.is_file()):
            name = self._name(path)
            sha256 = hashes.get(name) or sha256_of(path)
            entry: dict[str, Any] = {"path": name, "sha256": sha256, "bytes": path.stat().st_size}
            files.append(entry | ({"rows": rows[name]} if name in rows else {}))
        return {
            "format": MANIFEST_FORMAT,
            "stage": about.stage,
            "use": about.use,
            "version": about.version,
            "configs": {name: config.rows for name, config in written.items() if config.rows},
            "empty_configs": sorted(name for name, config in written.items() if not config.rows),
            "rejected": dict(sorted(about.rejected.items())),
            "files": files,
        }


def told_hashes(directory: Path) -> dict[str, str]:
    """sha256 of the files of a release, as its own manifest says; nothing where a folder has none."""
    path = directory / ".synthflow" / "manifest.json"
    if not path.is_file():
        return {}
    return {file["path"]: file["sha256"] for file in json.loads(path.read_text(encoding="utf-8"))["files"]}


def llama_factory_info(written: Mapping[str, Written]) -> dict[str, Any]:
    """LLaMA-Factory's `dataset_info.json` for the configs it can read.

    It reads every file of a folder and mixes the splits, so a config with a validation split is described by its
    train file, and left out where it has several.
    """
    info: dict[str, Any] = {}
    for name in ("sft", "preference_text"):
        config = written.get(name, Written())
        train = config.files.get("train", [])
        if not train or ("validation" in config.files and len(train) > 1):
            continue
        file_name = train[0] if "validation" in config.files else name
        info[name] = {"file_name": file_name, **LLAMA_FACTORY[name]}
    return info


LLAMA_FACTORY: Mapping[str, Mapping[str, Any]] = {
    "sft": {
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "observation_tag": "tool",
            "system_tag": "system",
        },
    },
    "preference_text": {
        "ranking": True,
        "columns": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
    },
}
