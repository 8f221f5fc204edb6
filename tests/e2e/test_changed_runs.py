"""A run whose spec, directory or means change: what is set aside, refused, capped, listed and cleaned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.edits import Edited, write_recording
from support.kills import journaled
from support.quick_runs import Ran, run_in_child
from synthflow.check import check_run
from synthflow.cli.main import main
from synthflow.demo import DemoProblem
from synthflow.errors import CapReached, ExitCode
from synthflow.stores.remote import Remote

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[DemoProblem]]:
    path = tmp_path_factory.mktemp("recorded") / "rollouts.parquet"
    return path, write_recording(path)


@pytest.fixture
def edited(recorded: tuple[Path, list[DemoProblem]], tmp_path: Path) -> Edited:
    return Edited(tmp_path, *recorded, seed=0)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


def ran(edited: Edited, out: Path, **options: Any) -> Ran:
    edited.write()
    done = run_in_child(edited.spec, out, **options)
    assert done.error is None, done.error
    return done


def call(*args: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(arg) for arg in args])
    return int(left.value.code or 0)


@pytest.mark.extended
def test_the_release_of_a_stage_that_is_gone_is_set_aside_and_comes_back(
    edited: Edited, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran(edited, out)
    sft = edited.stages.pop("sft")
    released = sorted(p.name for p in (out / "exports/sft").rglob("*"))
    done = ran(edited, out)
    assert [g["stage"] for g in done.plan["change"]["gone"]] == ["sft"] and done.plan["change"]["gone"][0][
        "has_release"
    ]
    assert not (out / "exports/sft").exists()
    assert sorted(p.name for p in (out / "set-aside/sft-1").rglob("*")) == released
    assert call("stats", out) == ExitCode.OK
    assert "set-aside/sft-1: " in (told := capsys.readouterr().out) and "export sft" not in told
    assert [(f.kind, f.where) for f in check_run(out).findings] == [("set_aside", "set-aside/sft-1")]
    edited.stages["sft"] = sft
    done = ran(edited, out)
    assert [s["why"] for s in done.plan["change"]["stages"] if s["stage"] == "sft"] == ["new"]
    assert (out / "exports/sft/README.md").is_file() and check_run(out).ok
    edited.stages["answers"] = edited.stages.pop("sft")
    ran(edited, out)
    assert {p.name for p in (out / "set-aside").iterdir()} == {"sft-1", "sft-2"}
    assert {p.name for p in (out / "exports").iterdir()} == {"answers"}


def test_another_pipeline_takes_a_run_over_only_when_told(
    edited: Edited, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran(edited, out)
    manifest = (out / "manifest.jsonl").read_bytes()
    edited.whole["name"] = "another"
    edited.write()
    assert call("run", edited.spec, "--out", out) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "holds the run of 'edited' (attempt 1, 6 stages, " in said and "--replace" in said and said.count("\n") == 1
    assert call("plan", edited.spec, "--out", out) == ExitCode.OK
    assert "--replace" in capsys.readouterr().out
    assert (out / "manifest.jsonl").read_bytes() == manifest
    done = ran(edited, out, replace=True)
    assert done.plan["change"]["total"]["requests"] == 0
    assert check_run(out).ok


@pytest.mark.parametrize("where", ["/proc/nowhere/run", "taken", "x" * 300, "nosuch://bucket/run", "s3://bucket/run"])
def test_an_impossible_place_is_one_line(
    where: str, edited: Edited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file")
    assert call("run", edited.spec, "--out", where) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and where[:20] in said


def test_a_cap_stops_a_run_and_a_higher_one_resumes_it(edited: Edited, out: Path) -> None:
    edited.whole["policy"] |= {"delay_s": 0.15, "concurrency": 1}
    edited.whole["execution"] |= {"max_tokens": 200, "requests_in_flight": 1}
    edited.write()
    stopped = run_in_child(edited.spec, out)
    assert stopped.error is not None and stopped.error.startswith("CapReached: ")
    assert "of the 200 tokens" in stopped.error and CapReached.exit_code == ExitCode.SPENT
    spent = journaled(out)
    assert 0 < len(spent) < 21, "some of 7 problems x 3"
    again = run_in_child(edited.spec, out)
    assert again.error is not None and again.error.startswith("CapReached: ") and journaled(out) == spent
    edited.whole["execution"] |= {"max_tokens": 100_000}
    done = ran(edited, out)
    assert done.plan["change"]["total"]["requests"] == 21 - len(spent)
    assert len(journaled(out)) == 21 and set(journaled(out).values()) == {1} and check_run(out).ok


def test_a_cap_lets_finish_what_asks_for_nothing(edited: Edited, out: Path) -> None:
    ran(edited, out)
    edited.whole["execution"] |= {"price_per_million_tokens": 1e6, "max_cost": 10}
    edited.stages["rollouts"]["n"] = 2
    done = ran(edited, out)
    assert done.plan["change"]["total"]["owed"] > 0 and len(journaled(out)) == 21


@pytest.mark.extended
def test_clean_removes_what_nobody_needs_and_says_so(
    edited: Edited, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran(edited, out)
    sft = edited.stages.pop("sft")
    edited.stages["rollouts"]["n"] = 2
    ran(edited, out)
    (out / "tables" / "rollouts" / "stray.parquet").touch()
    sampled = journaled(out)
    assert call("clean", out, "--dry-run", "--json") == ExitCode.OK
    kinds = {one["what"]: one["files"] for one in json.loads(capsys.readouterr().out)}
    assert set(kinds) >= {"shards of earlier specs", "files that no commit names", "releases that were set aside"}
    assert (out / "set-aside/sft-1").exists()
    assert call("clean", out, "--yes") == ExitCode.OK
    assert "shards of earlier specs" in capsys.readouterr().out
    assert check_run(out).findings == () and journaled(out) == sampled
    assert call("clean", out) == ExitCode.OK and "nothing to remove" in capsys.readouterr().out
    assert ran(edited, out).attempt is None, "nothing is owed"
    edited.stages["rollouts"]["n"] = 3
    edited.stages["sft"] = sft
    assert ran(edited, out).plan["change"]["total"]["requests"] == 0, "what was cleaned is made again from the journal"
    assert check_run(out).ok


def test_runs_lists_runs(edited: Edited, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited.whole["execution"]["price_per_million_tokens"] = 2.0
    ran(edited, out)
    assert call("runs", out.parent, "--json") == ExitCode.OK
    [line] = json.loads(capsys.readouterr().out)
    assert (line["name"], line["state"], line["attempt"]) == ("edited", "complete", 1)
    assert (line["problems"], line["rollouts"]) == (7, 21)
    assert line["policies"] == [edited.whole["policy"]["model"]]
    assert line["cost"] == pytest.approx(line["tokens"] * 2e-6) and line["tokens"] > 0 and line["bytes"] > 10_000
    (out / "manifest.jsonl").write_text("{\n\n")
    assert call("runs", out.parent) == ExitCode.OK
    assert "damaged" in capsys.readouterr().out


@pytest.mark.extended
def test_a_copy_at_a_url_follows_the_run(edited: Edited, out: Path, tmp_path: Path) -> None:
    remote = Remote(f"file://{tmp_path}/bucket/run")
    remote.check()
    ran(edited, out)
    remote.send(out)
    copy = tmp_path / "bucket" / "run"
    assert (copy / "exports/sft/README.md").is_file() and not (copy / "journal").exists()
    shards = {p.relative_to(copy) for p in copy.rglob("*.parquet")}
    assert shards == {p.relative_to(out) for p in out.rglob("*.parquet")}
    before = {p: p.stat().st_mtime_ns for p in copy.rglob("part-*.parquet")}
    edited.stages["rollouts"]["n"] = 4
    edited.stages.pop("sft")
    ran(edited, out)
    remote.send(out)
    assert not (copy / "exports/sft/README.md").exists()
    same = [p for p in before if "problems" in p.parts and p.exists()]
    assert same and all(p.stat().st_mtime_ns == before[p] for p in same), "what is there is not sent again"
    assert call("stats", copy) == ExitCode.OK
    named = json.loads((copy / "manifest.json").read_bytes())
    assert all((copy / s["path"]).is_file() for c in named["commits"] for s in c["shards"])
