"""A copy at a URL: what is sent, in which order, and what a file system that fails leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fsspec
import pytest

from synthflow.errors import InfrastructureError, UserError
from synthflow.stores.remote import Remote, is_url


def summary(*paths: str, sha: str = "a") -> str:
    shards = [{"path": path, "sha256": sha} for path in paths]
    return json.dumps({"reference": [], "commits": [{"shards": shards, "files": {"exports/sft/README.md": sha}}]})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for name in ("tables/a.parquet", "tables/b.parquet", "exports/sft/README.md", "spec.yaml", "journal/x.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "manifest.json").write_text(summary("tables/a.parquet", "tables/b.parquet"))
    return tmp_path


@pytest.fixture
def url() -> Any:
    yield "memory://bucket/run"
    fsspec.filesystem("memory").store.clear()


def held() -> set[str]:
    return {path.removeprefix("/bucket/run/") for path in fsspec.filesystem("memory").find("/bucket/run")}


def test_what_the_manifest_names_is_sent_and_what_it_names_no_more_is_removed(run: Path, url: str) -> None:
    remote = Remote(url)
    remote.check()
    assert held() == set()
    assert remote.send(run) == 5
    assert held() == {"tables/a.parquet", "tables/b.parquet", "exports/sft/README.md", "spec.yaml", "manifest.json"}
    (run / "manifest.json").write_text(summary("tables/a.parquet"))
    assert remote.send(run) == 2, "the spec and the manifest: what has a hash is there"
    assert "tables/b.parquet" not in held()
    (run / "manifest.json").write_text(summary("tables/a.parquet", sha="b"))
    assert remote.send(run) == 4


def test_a_copy_that_breaks_off_has_no_new_manifest_and_is_made_whole_by_the_next(
    run: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote, system = Remote(url), type(fsspec.filesystem("memory"))
    put = system.put_file

    def broken(self: Any, here: str, there: str, **how: Any) -> None:
        if there.endswith("b.parquet"):
            raise OSError("the line is down")
        put(self, here, there, **how)

    monkeypatch.setattr(system, "put_file", broken)
    with pytest.raises(InfrastructureError, match=r"memory://bucket/run: .*the line is down; run again"):
        remote.send(run)
    assert "manifest.json" not in held()
    monkeypatch.undo()
    remote.send(run)
    assert "manifest.json" in held() and "tables/b.parquet" in held()


def test_a_place_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written to"):
        Remote(f"file://{tmp_path}/file/run").check()
    with pytest.raises(UserError, match="nosuch"):
        Remote("nosuch://bucket/run")
    assert is_url("s3://x") and not is_url("runs/x")
