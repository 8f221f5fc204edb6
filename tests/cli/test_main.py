"""How the command line ends: exit codes, one line for a user's mistake, a traceback only for a bug."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click
import pytest

from synthflow.cli.main import COMMANDS, cli, main
from synthflow.errors import ExitCode, NoSpace, UserError


def call(*args: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(args))
    return int(left.value.code or 0)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_what_its_module_holds_and_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, _, attribute = COMMANDS[name][0].partition(":")
    assert isinstance(getattr(import_module(module), attribute), click.Command)
    assert call(name, "--help") == ExitCode.OK
    assert f"synthflow {name}" in capsys.readouterr().out


def test_commands_stand_in_the_order_in_which_they_are_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == ExitCode.OK
    said = capsys.readouterr().out
    places = [said.index(f"  {name} ") for name in COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["chekc"], "no command is called 'chekc'; did you mean 'check'"),
        (["zzz"], "known: run, plan"),
        (["run"], "Missing argument 'SPEC'"),
        (["plan", "quickstart", "--scheduler", "tcp://x"], "give --pilot with it"),
        (["status", "nowhere"], "error: nowhere: no such run directory"),
        (["check", "."], "not a run directory"),
    ],
)
def test_a_mistake_is_one_message(
    args: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*args) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert text in err and out == "" and "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (UserError("bad spec"), ExitCode.USAGE, "error: bad spec"),
        (NoSpace("no space left"), ExitCode.NO_SPACE, "error: no space left"),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "interrupted; what was finished is kept: run again to resume"),
    ],
)
def test_what_a_command_raises_is_told_and_has_its_code(
    error: BaseException,
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(cli, "invoke", fail)
    assert call("doctor") == code
    assert capsys.readouterr().err.strip() == text


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "invoke", fail)
    with pytest.raises(ZeroDivisionError):
        main(["doctor"])


def test_a_first_folder_is_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    assert call("init", str(folder)) == ExitCode.OK
    text = (folder / "pipeline.yaml").read_text()
    (folder / "problems.jsonl").write_text("mine")
    (folder / "pipeline.yaml").unlink()
    assert call("init", str(folder)) == ExitCode.USAGE
    assert "problems.jsonl exists already" in capsys.readouterr().err
    assert (folder / "problems.jsonl").read_text() == "mine" and not (folder / "pipeline.yaml").exists()
    assert "use: sample" in text
