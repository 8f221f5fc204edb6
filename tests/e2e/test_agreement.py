"""Monte Carlo, progress attribution and the truth on one run of the demo policy, compared and shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.runs import SMALL, run_ok, synthflow, tables, with_changes, write_spec
from synthflow.schema import TABLES

pytestmark = [pytest.mark.slow, pytest.mark.extended]

LABELLED = {
    "progress": {"use": "label.progress", "of": "difficulty", "buckets": 128},
    "truth": {"use": "label.reference", "of": "difficulty"},
    "agreement": {
        "use": "measure.step_agreement", "of": ["steps", "progress", "truth"], "truth": "truth", "bootstrap": 100,
    },
}  # fmt: skip
KEPT = ("problems", "rollouts", "verdicts", "length", "copies", "difficulty", "steps")


@pytest.fixture(scope="module")
def spec(replay_spec: dict[str, Any]) -> dict[str, Any]:
    """The small pipeline up to its labels, and the other labelers beside them; answered from what was recorded."""
    whole = with_changes(replay_spec, stages=LABELLED)
    return {**whole, "stages": {name: whole["stages"][name] for name in (*KEPT, *LABELLED)}}


@pytest.fixture(scope="module")
def labelled(spec: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    run_ok(write_spec(folder / "spec.yaml", spec), folder / "run")
    return folder / "run"


def asked(run: Path, sql: str) -> list[dict[str, Any]]:
    done = synthflow("sql", run, sql, "--format", "json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_run_is_sound_and_every_labeler_is_compared(labelled: Path) -> None:
    checked = synthflow("check", labelled)
    assert checked.returncode == 0, checked.stdout
    rows = asked(labelled, "SELECT * FROM step_agreement WHERE is_truth AND slice_key = 'all'")
    assert {row["labeler"] for row in rows} == {"steps", "progress", "even split"}
    assert len({row["rollouts"] for row in rows}) == 1, "all are compared on the same rollouts"
    for row in rows:
        assert 0 <= row["auroc_first_wrong"] <= 1 and row["rollouts"] > 0
    by_name = {row["labeler"]: row for row in rows}
    assert by_name["steps"]["tokens"] > 0 == by_name["progress"]["tokens"]
    assert by_name["steps"]["auroc_first_wrong"] > 0.5, "continuations know something of what went wrong"
    [sums] = asked(
        labelled,
        """SELECT count(*) AS rollouts, max(abs(total - outcome)) AS off FROM (
            SELECT rollout_id, sum(advantage) AS total FROM step_values WHERE labeler = 'progress' GROUP BY 1)
        JOIN (SELECT rollout_id, (verdict = 'correct')::INT AS outcome FROM verdicts WHERE stage = 'verdicts')
        USING (rollout_id)""",
    )
    assert sums["rollouts"] > 0 and sums["off"] < 1e-5
    [same] = asked(
        labelled,
        """SELECT count(*) AS steps, count(DISTINCT (char_start, char_end, token_start, token_end)) AS cuts
        FROM steps GROUP BY step_id ORDER BY cuts DESC LIMIT 1""",
    )
    assert same["cuts"] == 1, "labelers cut alike, tokens included"


def test_the_command_shows_a_table_and_writes_a_page(labelled: Path, tmp_path: Path) -> None:
    done = synthflow("agreement", labelled)
    assert done.returncode == 0, done.stderr
    assert "steps" in done.stdout and "progress" in done.stdout
    text = (labelled / "agreement.html").read_text()
    assert "<svg" in text and "Against the truth" in text
    assert synthflow("check", labelled).returncode == 0, "a page beside the run is no fault of it"
    elsewhere = tmp_path / "page.html"
    assert synthflow("agreement", labelled, "--html", elsewhere).returncode == 0 and elsewhere.read_text() == text
    told = json.loads(synthflow("agreement", labelled, "--json").stdout)
    assert {row["labeler"] for row in told["agreement"]} == {"steps", "progress", "even split"}


def test_a_run_without_a_comparison_says_what_is_missing(small_run: Path) -> None:
    done = synthflow("agreement", small_run)
    assert done.returncode == 2 and "measure.step_agreement" in done.stderr and "Traceback" not in done.stderr
    assert SMALL["stages"].keys().isdisjoint(LABELLED)


def test_partitions_do_not_change_a_row(spec: dict[str, Any], labelled: Path, tmp_path: Path) -> None:
    other = with_changes(spec, execution={"partition_size": 5})
    run_ok(write_spec(tmp_path / "spec.yaml", other), tmp_path / "run")
    before, after = tables(labelled), tables(tmp_path / "run")
    for name in ("steps", "step_values", "rejects", "agreement"):
        key = [*TABLES[name].key, "stage_id"]  # three stages write the same steps
        assert before[name].sort(key).equals(after[name].sort(key)), name
