"""What `synthflow run` asks before it takes over the run of another pipeline."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from support.paper_runs import POLICY, PaperRun, write_problems
from synthflow.cli.run import _may_replace
from synthflow.spec import Pipeline


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
