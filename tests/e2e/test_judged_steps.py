"""A judge of steps that is the reference checker, behind a server: its labels are the truth, and are paid for once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.judge_server import Judging, between
from support.runs import run_ok, synthflow, tables, with_changes, write_spec
from synthflow import demo
from synthflow.stores.catalog.build import open_catalog

pytestmark = [pytest.mark.slow, pytest.mark.extended]


def shown_steps(prompt: str) -> list[str]:
    return re.split(r"(?:^|\n)\[step \d+, [0-9a-f]{8}\]\n", between(prompt, "solution"))[1:]


@pytest.fixture
def checker() -> Iterator[Judging]:
    """It knows the facts of the problems, and sees nothing else that the judge is not shown."""
    lines = demo.heldout_path().read_text(encoding="utf-8").splitlines()
    facts = {row["prompt"]: row["metadata"] for row in map(json.loads, lines)}

    def write(prompt: str, number: int) -> str:
        steps = shown_steps(prompt)
        judged = demo.check_steps(facts[between(prompt, "question")], steps)
        if "<principles" in prompt:
            return "\n".join(f"Score of step {j.index}: {1 if j.verdict == 'wrong' else 9}" for j in judged)
        first = demo.first_error(judged)
        return f"I checked {len(steps)} steps.\nEarliest: {-1 if first is None else first}"

    server = Judging(write)
    yield server
    server.stop()


def _spec(url: str, recorded: Path) -> dict[str, Any]:
    """The first rollouts of the small run, whose steps are judged."""
    judge = {"use": "label.judge", "of": "verdicts", "policy": "judge", "groups": "all", "max_steps": 512}
    return {
        "name": "judged-steps",
        "seed": 3,
        "policies": {
            "default": {"backend": "replay", "model": str(recorded), "tokenizer": "demo"},
            "judge": {"backend": "openai", "model": "org/judge", "base_url": url},
        },
        "stages": {
            "problems": {"use": "source.demo", "limit": 10},
            "rollouts": {"use": "sample", "of": "problems", "n": 4, "max_tokens": 200},
            "verdicts": {"use": "verify.math", "of": "rollouts"},
            "errors": {**judge, "only": "correct", "reference": "answer"},
            "scored": {**judge, "mode": "scores", "temperature": 1.0},
            "credit": {"use": "label.calibrated", "of": ["errors", "scored"], "values": "scored"},
            "stepwise": {"use": "export.stepwise", "of": ["scored"]},
        },
        "execution": {"partition_size": 5, "cpu_workers": 1, "engines": 1},
    }


def _rows(run: Path, sql: str) -> list[tuple[Any, ...]]:
    with open_catalog(run) as con:
        return list(con.execute(sql).fetchall())


def _truth(run: Path) -> dict[str, int]:
    """The checker's first error of every labelled rollout; -1 for none."""
    found = tables(run)
    facts = dict(found["problems"].select("problem_id", "metadata").iter_rows())
    texts = {row["rollout_id"]: row for row in found["rollouts"].to_dicts()}
    truth = {}
    cut = found["steps"].unique("step_id").sort("index").group_by("rollout_id", maintain_order=True)
    for (rollout,), steps in cut:
        row = texts[str(rollout)]
        spans = zip(steps["char_start"], steps["char_end"], strict=True)
        lines = [row["completion"][a:b] for a, b in spans]
        first = demo.first_error(demo.check_steps(json.loads(facts[row["problem_id"]]), lines))
        truth[str(rollout)] = -1 if first is None else first
    return truth


@pytest.mark.timeout(600)  # three runs and as many checks: a minute on an idle machine
def test_its_labels_are_the_truth_and_nothing_is_asked_twice(checker: Judging, small_run: Path, tmp_path: Path) -> None:
    spec, run = _spec(checker.url, small_run), tmp_path / "run"
    run_ok(write_spec(tmp_path / "spec.yaml", spec), run)
    checked = synthflow("check", run)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    truth = _truth(run)
    verdict = dict(_rows(run, "SELECT rollout_id, verdict FROM verdicts WHERE stage = 'verdicts'"))
    named = dict(
        _rows(
            run,
            """SELECT rollout_id, coalesce(max("index") FILTER (is_first_error), -1) FROM step_values
               JOIN stages USING (stage_id) WHERE name = 'errors' GROUP BY rollout_id""",
        )
    )
    assert named == {r: first for r, first in truth.items() if verdict[r] == "correct"} and len(named) > 5
    flawed = dict(_rows(run, "SELECT s.target_id, s.value FROM scores s JOIN stages USING (stage_id) "
                             "WHERE s.scorer = 'flawed_positive' AND name = 'errors'"))  # fmt: skip
    assert flawed == {rollout: float(first >= 0) for rollout, first in named.items()}
    scored = dict(
        _rows(
            run,
            """SELECT rollout_id, coalesce(min("index") FILTER (is_first_error), -1) FROM step_values
               JOIN stages USING (stage_id) WHERE name = 'scored' GROUP BY rollout_id""",
        )
    )
    assert scored == truth and {-1} < set(truth.values()), "both questions have one answer"
    (worst,) = _rows(
        run,
        """SELECT max(abs(total - outcome)) FROM (
             SELECT sum(advantage) AS total, arg_max(value, "index") - arg_min(value_before, "index") AS outcome
             FROM step_values WHERE labeler = 'calibrated' GROUP BY rollout_id HAVING count(*) = count(advantage))""",
    )
    assert worst[0] is not None and worst[0] < 1e-4
    assert tables(run)["steps"]["token_end"].null_count() == 0, "the policy's tokenizer tells the tokens of every step"
    asked = len(checker.seen)
    assert asked == tables(run)["artifacts"]["sample_id"].n_unique()

    # Another threshold, another weight: derived anew, and nobody is asked.
    changed = with_changes(spec, stages={"scored": {"error_below": 0.05}, "credit": {"weight": 0.5}})
    run_ok(write_spec(tmp_path / "spec.yaml", changed), run)
    assert len(checker.seen) == asked

    # Two samples more of each, and another partitioning: two more are asked for.
    scored_once = sum("<principles" in prompt for prompt in checker.seen)
    more = with_changes(changed, stages={"scored": {"k": 3}}, execution={"partition_size": 10})
    run_ok(write_spec(tmp_path / "spec.yaml", more), run)
    assert len(checker.seen) == asked + 2 * scored_once
