"""A summary that was kept is used for the commits that it was made of, and for no others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from support.made_up_run import made_up_world
from support.written_run import written
from synthflow.errors import UserError
from synthflow.report import summary as asked
from synthflow.report.saved import SAVED, summary_of
from synthflow.report.summary import run_summary
from synthflow.stores.catalog.build import CATALOG, open_catalog
from synthflow.stores.graph import StageRecord
from synthflow.stores.manifest import Commit, Manifest

RECORD = StageRecord("problems", "source.x", "1", "f_1", "source", (), ("problems",), {})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    written(tmp_path, made_up_world())
    manifest = Manifest(tmp_path)
    manifest.open_attempt([RECORD], {})
    manifest.set_partitions("problems", ["q_1"], None)
    manifest.commit(commit(manifest))
    return tmp_path


def commit(manifest: Manifest) -> Commit:
    key = manifest.graph.key("problems", "q_1")
    return Commit("problems", "f_1", RECORD.stage_id, "q_1", key, manifest.attempt, (), {})


def made_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = Manifest(run)
    manifest.commit(replace(commit(manifest), attempt=2))


def asked_otherwise(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(asked._QUERIES, "pairs", "SELECT 1 AS one")


def torn(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / SAVED).write_bytes((run / SAVED).read_bytes()[:-9])


def test_what_was_kept_is_what_was_asked_and_needs_no_row(run: Path) -> None:
    with open_catalog(run) as con:
        expected = run_summary(con, run)
    assert summary_of(run) == expected and not (run / SAVED).exists(), "who only reads writes nothing"
    assert summary_of(run, keep=True) == expected
    shutil.rmtree(run / "tables")
    assert summary_of(run) == expected
    (run / "exports" / "sft").mkdir(parents=True)
    assert [release["export"] for release in summary_of(run)["exports"]] == ["sft"], "releases are looked at anew"


@pytest.mark.parametrize("change", [made_again, asked_otherwise, torn])
def test_it_is_made_anew_where_it_may_say_something_else(
    change: Callable[[Path, pytest.MonkeyPatch], Any], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary_of(run, keep=True)
    change(run, monkeypatch)
    assert summary_of(run)["rollouts"]
    shutil.rmtree(run / "tables")
    with pytest.raises(duckdb.Error):
        summary_of(run)


def test_without_a_catalog_there_is_no_summary(run: Path) -> None:
    summary_of(run, keep=True)
    (run / CATALOG).unlink()
    with pytest.raises(UserError, match=r"no stats\.duckdb here"):
        summary_of(run)


def test_what_does_not_fit_is_asked_once_more_with_more_and_then_told(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = summary_of(run)
    monkeypatch.setattr("synthflow.report.saved.LIMITS_MB", (1, 128))
    assert summary_of(run) == expected
    monkeypatch.setattr("synthflow.report.saved.LIMITS_MB", (1, 1))
    with pytest.raises(UserError, match="no row is lost by that; ask for single views with `synthflow sql"):
        summary_of(run)
