"""The summary of a run: plain data that JSON holds, drawn without surprises."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from support.made_up_run import made_up_world
from support.written_run import written
from synthflow.report.summary import qdc_table, render, run_summary, summary_lines
from synthflow.stores.catalog.build import build_catalog, open_catalog


@pytest.fixture
def run(tmp_path: Path) -> Path:
    written(tmp_path, made_up_world())
    release = tmp_path / "exports" / "dpo" / "preference"
    release.mkdir(parents=True)
    pq.write_table(pa.table({"x": [1, 2, 3]}), release / "train-00000.parquet")
    return tmp_path


def test_the_numbers_are_those_of_the_run(run: Path) -> None:
    with open_catalog(run) as con:
        summary = run_summary(con, run)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert {(r["stage"], r["correct"], r["wrong"], r["unknown"]) for r in summary["verdicts"]} == {
        ("verdicts", 2, 3, 1), ("second", 1, 4, 1),
    }  # fmt: skip
    assert [(r["stage"], r["condition"], r["rollouts"]) for r in summary["rollouts"]] == [
        ("rollouts", "none", 6), ("rollouts", "prefix", 2),
    ]  # fmt: skip
    (steps,) = summary["steps"]
    assert (steps["steps"], steps["rollouts"], steps["tokens_spent"], steps["mean_advantage"]) == (4, 2, 400, 0.0)
    assert [(r["level"], r["pairs"]) for r in summary["pairs"]] == [("response", 1)]
    by_domain = {(r["stage"], r["domain"]): r["pass_rate"] for r in summary["pass_rate_by_domain"]}
    assert by_domain["verdicts", "algebra"] == 0.0 and by_domain["verdicts", "arithmetic"] == pytest.approx(2 / 3)
    assert [(r["export"], r["rows"]) for r in summary["exports"]] == [("dpo", 3)]
    header, rows = qdc_table(summary)
    assert [row[0] for row in rows] and header[:2] == ["stage", "pass_rate"]


def test_it_is_drawn(run: Path) -> None:
    console = Console(file=io.StringIO(), width=200, record=True)
    with open_catalog(run) as con:
        summary = run_summary(con, run)
    render(console, summary)
    text = console.export_text()
    assert "6 rollouts of 2 problems, 2 continuations" in text
    assert "verdicts: 2 correct, 3 wrong, 1 unknown, pass rate 0.400" in text
    assert "what each stage retains" in text


@pytest.mark.parametrize("named", [("algebra",), ()])
def test_problems_without_a_domain_are_a_row_where_others_have_one(tmp_path: Path, named: tuple[str, ...]) -> None:
    world = made_up_world()
    written(tmp_path, world)
    for shard in tmp_path.glob("tables/problems/**/*.parquet"):
        table = pq.read_table(shard)
        kept = [domain if domain in named else None for domain in table["domain"].to_pylist()]
        at = table.column_names.index("domain")
        pq.write_table(table.set_column(at, table.schema.field("domain"), pa.array(kept, pa.string())), shard)
    with open_catalog(tmp_path) as con:
        rows = run_summary(con, tmp_path)["pass_rate_by_domain"]
        [(judged,)] = con.execute("SELECT sum(n_judged) FROM pass_rate_by_difficulty").fetchall()
    assert {row["domain"] for row in rows} == ({"algebra", None} if named else set())
    assert sum(row["n_judged"] for row in rows) == (judged if named else 0)
    console = Console(file=io.StringIO(), width=200, record=True)
    render(console, {**_summary_of(tmp_path), "pass_rate_by_domain": rows})
    assert ("pass rate by domain" in console.export_text()) == bool(named)


def _summary_of(run: Path) -> dict[str, Any]:
    with open_catalog(run) as con:
        return run_summary(con, run)


def test_hostile_names_are_drawn_as_they_are() -> None:
    summary = {name: [] for name in ("rollouts", "verdicts", "groups", "steps", "pairs", "exports", "qdc")}
    summary |= {name: [] for name in ("pass_rate_by_n_ops", "pass_rate_by_domain", "unknown_reasons")}
    summary |= {name: [] for name in ("unanswered", "notes", "without_labels")}
    summary["rejects"] = [{"stage": "[bold]x[/nope]", "reason": "\x1b[2J\n", "rows": 1}]
    console = Console(file=io.StringIO(), width=100, record=True)
    render(console, summary)
    assert "[bold]x[/nope]" in console.export_text() and "\x1b[2J" not in console.export_text()


def test_an_empty_run_says_so(tmp_path: Path) -> None:
    build_catalog(tmp_path, {})
    with open_catalog(tmp_path) as con:
        summary = run_summary(con, tmp_path)
    assert all(rows == [] for rows in summary.values())
    assert summary_lines(summary) == ["nothing was sampled yet"]


def test_what_a_person_should_not_overlook_is_said_last() -> None:
    summary = {name: [] for name in ("rollouts", "verdicts", "groups", "steps", "pairs")}
    counts = {"rollouts": 40, "refused": 2, "failed": 1, "poison": 0}
    lines = summary_lines(
        {
            **summary,
            "exports": [{"export": "sft", "rows": 0}, {"export": "rl", "rows": 3}],
            "rejects": [{"stage": "sft", "reason": "unknown: refused", "rows": 40}],
            "unanswered": [{"stage": "rollouts", **counts, "words": "refused: no\x1b[2J"}],
            "notes": [{"stage": "rollouts", "note": "seed was not sent", "rollouts": 37}],
            "without_labels": [{"stage": "steps", "rollouts": 12}],
        }
    )
    assert lines == [
        "export rl: 3 rows",
        "export sft is EMPTY; left out: 40 unknown: refused",
        r"rollouts: 2 refused, 1 failed of 40 requests, such as refused: no\x1b[2J",
        "rollouts: seed was not sent (37 rollouts)",
        "steps: 12 rollouts have no token ids, so that no step of theirs is labelled; name the model's tokenizer with "
        "weights: PATH, and a server that tells token ids (docs/servers.md)",
    ]


def test_what_releases_left_out_is_said_where_it_is_more_than_they_hold() -> None:
    summary = {name: [] for name in ("rollouts", "verdicts", "groups", "steps", "pairs", "unanswered", "notes")}
    lines = summary_lines(
        {
            **summary,
            "without_labels": [],
            "exports": [
                {"export": "sft", "rows": 30, "configs": {"sft": 30}},
                {"export": "pairs", "rows": 9, "configs": {"preference": 4, "unpaired": 5}},
            ],
            "rejects": [
                {"stage": "sft", "reason": "not correct", "rows": 50},
                {"stage": "sft", "reason": "over max_per_problem 4", "rows": 20},
                {"stage": "pairs", "reason": "no margin", "rows": 8},
            ],
        }
    )
    assert lines == [
        "export sft: 30 rows",
        "export pairs: 9 rows (preference 4, unpaired 5)",
        "left out of releases: sft 70 (50 not correct, 20 over max_per_problem 4)",
    ]


def test_verdicts_of_a_run_with_continuations_say_whose_they_are() -> None:
    summary: dict[str, Any] = {name: [] for name in ("groups", "steps", "pairs", "exports", "rejects", "unanswered")}
    rollouts = [{"condition": condition, "rollouts": 4, "problems": 2, "tokens": 9} for condition in ("none", "prefix")]
    verdicts = [{"stage": "verdicts", "correct": 1, "wrong": 3, "unknown": 0}]
    summary |= {"notes": [], "without_labels": [], "rollouts": rollouts, "verdicts": verdicts}
    assert summary_lines(summary)[1].endswith("pass rate 0.250 (first rollouts)")
    assert summary_lines(summary | {"rollouts": rollouts[:1]})[1].endswith("pass rate 0.250")
