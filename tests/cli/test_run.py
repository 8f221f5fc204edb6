"""What `synthflow run` asks before it takes over the run of another pipeline, and what it says at its end."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from support.made_up_run import made_up_world
from support.paper_runs import POLICY, PaperRun, write_problems
from support.written_run import written
from synthflow.cli.run import _may_replace, _print, _summary
from synthflow.spec import Pipeline
from synthflow.stores.manifest import Manifest


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "may"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_a_person_is_asked(
    typed: str, may: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_problems(tmp_path / "problems.jsonl", {"1 + 1?": "2"})
    stages = {"problems": {"use": "source.jsonl", "path": str(path)}}
    PaperRun(tmp_path / "run").finish(stages)
    same, other = (Pipeline.build(name, stages, POLICY) for name in ("paper", "other"))
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert _may_replace(same, tmp_path / "run") is False and capsys.readouterr().out == ""
    assert _may_replace(other, tmp_path / "run") is may
    assert "holds the run of 'paper'" in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert _may_replace(other, tmp_path / "run") is False, "nobody is there to answer"
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert _may_replace(other, tmp_path / ("x" * 300)) is False


def test_a_run_that_cannot_be_summed_up_is_done_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, made_up_world())
    monkeypatch.setattr("synthflow.report.saved.LIMITS_MB", (1, 1))
    summary = _summary(tmp_path, Manifest(tmp_path))
    assert "cannot be summed up in 1 MB" in capsys.readouterr().err
    _print(tmp_path, summary)
    assert f"Next:  synthflow stats {tmp_path}" in capsys.readouterr().out.replace("\n", "")
