"""`measure.calibration`: counts of a made-up run, what it demands, and the same numbers in SQL."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from support.made_up_run import FakeServices, problem, rollout, score
from support.stages import stage_info
from synthflow.contracts import Inputs, MemoryInputs, StageInfo
from synthflow.errors import ExitCode, Mistakes, NotCalibrated, UserError
from synthflow.schema import PROBLEM_STATS, PROBLEMS, ROLLOUTS, SCORES, STAGES
from synthflow.stages.measure.calibration import MeasureCalibration
from synthflow.stages.measure.calibration_config import CalibrationConfig
from synthflow.statistics.scorer_agreement import COUNTED, Clusters, auroc_rate, rate
from synthflow.stores.catalog.build import build_catalog
from synthflow.stores.catalog.sql import query
from synthflow.stores.manifest import Manifest, shards_by_table
from synthflow.stores.shards import write_shard

OLD = Path(__file__).parents[2] / "data" / "run-0.1.0" / "run"

ANCESTORS = (
    stage_info("problems", "source.jsonl", ("problems",)),
    stage_info("rollouts", "sample", ("rollouts",), ("problems",)),
    stage_info("fast", "verify.exact", ("scores",), ("rollouts",)),
    stage_info("slow", "verify.math", ("scores",), ("fast",)),
    stage_info("difficulty", "curriculum.pass_rate", ("problem_stats",), ("slow",)),
)
Value = float | None
Said = Sequence[tuple[str, str, Value, Value]]
"""Rollout, problem, value by `fast`, value by `slow`; None is unknown, a fraction is below or above one half."""

# slow is the truth: correct 3 (fast accepts 2, rejects 1), wrong 3 (fast accepts 1, rejects 1, unknown 1), unknown 1
SAID: Said = [
    ("a1", "a", 1.0, 1.0), ("a2", "a", 0.0, 1.0), ("a3", "a", 1.0, 0.0), ("a4", "a", None, 0.0),
    ("b1", "b", 1.0, 1.0), ("b2", "b", 0.0, 0.0), ("b3", "b", 1.0, None),
]  # fmt: skip


def _score(name: str, of: str, value: Value, scorer: str) -> dict[str, Any]:
    verdict = "unknown" if value is None else "correct" if value >= 0.5 else "wrong"
    return {**score(name, of, "verdict", value, scorer), "verdict": verdict}


class Parts(MemoryInputs):
    """Inputs cut by problem."""

    def __init__(self, said: Said, ancestors: Sequence[StageInfo] = ANCESTORS, whole: bool = True) -> None:
        self.said, self.whole = said, whole
        super().__init__(ancestors, ("difficulty",), tables(said))

    def partitions(self) -> Iterator[Inputs]:
        problems = sorted({of for _, of, _, _ in self.said})
        for name in [None] if self.whole else problems:
            yield Parts([row for row in self.said if name in (None, row[1])], self.ancestors)


def tables(said: Said) -> dict[str, dict[str, pa.Table]]:
    problems = sorted({of for _, of, _, _ in said})
    stats = [
        {"problem_id": f"p_{of}", "policy_id": "m_1", "round": 0, "sampling_id": "g_1", "n": 4, "n_correct": 0,
         "n_wrong": 0, "n_unknown": 4, "n_truncated": 0, "group_state": "mixed", "stage_id": "e_difficulty",
         "difficulty_bin": "easy" if of == "a" else "very/hard"}
        for of in problems
    ]  # fmt: skip
    return {
        "problems": {"problems": PROBLEMS.from_rows([problem(of) for of in problems])},
        "rollouts": {"rollouts": ROLLOUTS.from_rows([rollout(name, of, "text") for name, of, _, _ in said])},
        "fast": {"scores": SCORES.from_rows([_score(name, of, fast, "exact") for name, of, fast, _ in said])},
        "slow": {"scores": SCORES.from_rows([_score(name, of, slow, "math") for name, of, _, slow in said])},
        "difficulty": {"problem_stats": PROBLEM_STATS.from_rows(stats)},
    }


def calibrated(inputs: Inputs, **fields: Any) -> list[dict[str, Any]]:
    config = CalibrationConfig(use="measure.calibration", of=("difficulty",), **fields)
    made = MeasureCalibration("calibration", config).run(inputs, FakeServices("e_calibration"))  # type: ignore[arg-type]
    return list(made["stats"].to_pylist())


def confusions(rows: list[dict[str, Any]], scorer: str, reference: str) -> dict[str, tuple[int, ...]]:
    """By difficulty bin, summed over problems."""
    found: dict[str, tuple[int, ...]] = {}
    for row in rows:
        if (row["metric"], row["stage"], row["slice_key"]) == ("confusion", scorer, f"against {reference}"):
            place = row["slice_value"].partition("g_1/")[2]
            found[place] = tuple(map(sum, zip(found.get(place, (0,) * 9), row["histogram"], strict=True)))
    return found


def test_cells_by_hand_in_each_bin() -> None:
    rows = calibrated(Parts(SAID), truth="slow")
    assert confusions(rows, "fast", "slow") == {
        "easy": (1, 1, 0, 1, 0, 1, 0, 0, 0), "very/hard": (1, 0, 0, 0, 1, 0, 1, 0, 0),
    }  # fmt: skip
    assert confusions(rows, "slow", "fast") == {
        "easy": (1, 1, 0, 1, 0, 0, 0, 1, 0), "very/hard": (1, 0, 1, 0, 1, 0, 0, 0, 0),
    }  # fmt: skip


_FEW = random.Random(7)
MANY: Said = [
    (f"r{i}", f"p{i % 13}", _FEW.choice([None, 0.0, 1.0, 0.25, 0.75, 0.9]), _FEW.choice([None, 0.0, 1.0, 1.0]))
    for i in range(400)
]


def test_rows_do_not_depend_on_the_partitions_or_their_order() -> None:
    whole = calibrated(Parts(MANY), truth="slow")
    assert whole == calibrated(Parts(MANY, whole=False), truth="slow")
    assert whole == calibrated(Parts(list(reversed(MANY)), whole=False), truth="slow")
    key = ("problem_id", "stage", "metric", "slice_key", "slice_value")
    assert len(whole) == len({tuple(row[name] for name in key) for row in whole})


def test_sql_says_what_python_says(tmp_path: Path) -> None:
    inputs = Parts(MANY)
    given: dict[str, dict[str, pa.Table]] = tables(MANY)
    config = CalibrationConfig(use="measure.calibration", of=("difficulty",), truth="slow")
    made = MeasureCalibration("calibration", config).run(inputs, FakeServices("e_calibration"))  # type: ignore[arg-type]
    given["calibration"] = dict(made)
    stage = {"stage_id": "e_calibration", "name": "calibration", "use": "measure.calibration", "version": "1",
             "fingerprint": "f", "parents": ["difficulty"], "config": "{}"}  # fmt: skip
    given["run"] = {"stages": STAGES.from_rows([stage])}
    shards: dict[str, list[str]] = {}
    for name, by_table in given.items():
        for table, rows in by_table.items():
            shards.setdefault(table, []).append(write_shard(tmp_path, table, rows, name, "part").path)
    build_catalog(tmp_path, shards)
    columns, found = query(tmp_path, "SELECT * FROM calibration WHERE scorer = 'fast' AND slice_key = 'all'")
    [row] = [dict(zip(columns, values, strict=True)) for values in found]
    assert (row["calibration"], row["reference"], row["slice_value"]) == ("calibration", "slow", "all")
    stats = [r for r in made["stats"].to_pylist() if (r["stage"], r["slice_key"]) == ("fast", "against slow")]
    summed = {
        metric: [sum(c) for c in zip(*(r["histogram"] for r in stats if r["metric"] == metric), strict=True)]
        for metric in ("value_if_correct", "value_if_wrong")
    }
    clusters = Clusters(np.array([r["histogram"] for r in stats if r["metric"] == "confusion"]))
    assert row["n_problems"] == clusters.problems == 13
    for name in COUNTED:
        expected = clusters.rate(name)
        assert (row[name], row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx(expected[2:], abs=1e-6), name
    assert row["kappa"] == pytest.approx(clusters.confusion.kappa)
    area = auroc_rate(
        summed["value_if_correct"], summed["value_if_wrong"], (clusters.with_truth(0), clusters.with_truth(1))
    )
    assert (row["auroc"], row["auroc_low"], row["auroc_high"]) == pytest.approx(area[2:])
    assert row["n"] + row["n_unknown"] + row["n_reference_unknown"] == 400
    _, bins = query(
        tmp_path, "SELECT slice_value, n FROM calibration WHERE scorer = 'fast' AND slice_key = 'difficulty_bin'"
    )
    assert dict(bins) == {"very/hard": row["n"]}
    _, nans = query(tmp_path, "SELECT count(*) FROM calibration c WHERE to_json(c)::VARCHAR ILIKE '%nan%'")
    assert list(nans) == [(0,)]
    _, other = query(tmp_path, "SELECT count(*) FROM qdc")
    assert list(other) == [(0,)], "a calibration is no row of another view"


def test_a_demand_that_is_met_lets_pass() -> None:
    require = {"n": 5, "false_accept": {"at_most": 0.95}, "recall": {"at_least": 0.1}}
    assert calibrated(Parts(SAID), truth="slow", require=require) == calibrated(Parts(SAID), truth="slow")


def test_a_demand_that_is_not_met_says_by_how_much() -> None:
    require: Mapping[str, Any] = {
        "n": 200, "problems": 30, "false_accept": {"at_most": 0.02}, "coverage": {"at_least": 0.9},
        "auroc": {"at_least": 0.5},
    }  # fmt: skip
    with pytest.raises(NotCalibrated) as caught:
        calibrated(Parts(SAID), truth="slow", require=require)
    assert caught.value.exit_code == ExitCode.CHECK_FAILED
    said = str(caught.value)
    # fast accepts the one wrong rollout of a that it judged and rejects that of b: half of 2, worth 3 / (1 + 2 / 2).
    # It judged 3 of 4 and 2 of 2: 5 of 6, worth 3 / (1 / 6 + 2 / 2).
    for line in (
        "fast: 5 rollouts that both are sure of, at least 200 are required",
        "fast: 2 problems that both are sure of, at least 30 are required",
        "fast: false_accept 0.5000 [0.0760, 0.9240] of 2 rollouts of 2 problems, but its interval must end at 0.02 or",
        "fast: coverage 0.8333 [0.2829, 0.9845] of 6 rollouts of 2 problems, but its interval must begin at 0.9 or",
        "fast: auroc 0.5833 [",
    ):
        assert line in said, said
    with pytest.raises(NotCalibrated, match=r"fast, bin very/hard: 2 rollouts"):
        calibrated(Parts(SAID), truth="slow", require={"n": 3, "per_bin": True})


def test_one_vote_on_many_rollouts_of_a_problem_opens_no_gate() -> None:
    """Eight rollouts of each of two problems, all accepted and all correct: two observations, and not sixteen."""
    said: Said = [(f"{of}{i}", of, 1.0, 1.0) for of in "ab" for i in range(8)]
    with pytest.raises(NotCalibrated, match=r"precision 1.0000 \[0.3424, 1.0000\] of 16 rollouts of 2 problems"):
        calibrated(Parts(said), truth="slow", require={"precision": {"at_least": 0.75}})
    many: Said = [(f"{of}{i}", f"p{of}", 1.0, 1.0) for of in range(16) for i in range(1)]
    assert calibrated(Parts(many), truth="slow", require={"precision": {"at_least": 0.75}})


def test_accumulators_of_before_say_what_they_said(tmp_path: Path) -> None:
    """A run of version 0.1.0 has them without problems: its intervals are over rollouts."""
    run = Path(shutil.copytree(OLD, tmp_path / "run"))
    commits = Manifest(run).active()
    build_catalog(run, {table: [s.path for s in shards] for table, shards in shards_by_table(commits).items()})
    columns, found = query(run, "SELECT * FROM calibration WHERE slice_key = 'all'")
    rows = [dict(zip(columns, values, strict=True)) for values in found]
    assert rows and all(row["n_problems"] is None for row in rows)
    for row in rows:
        for name, k in (("precision", "n_true_accept"), ("coverage", "n")):
            n = {"precision": row["n_true_accept"] + row["n_false_accept"], "coverage": row["n"] + row["n_unknown"]}[
                name
            ]
            told = (row[name], row[f"{name}_low"], row[f"{name}_high"])
            assert told == (pytest.approx(rate(row[k], n)[2:], abs=1e-6) if n else (None, None, None))


def test_human_labels_are_a_truth(tmp_path: Path) -> None:
    lines = [{"rollout_id": "r_a1", "verdict": "correct"}, {"rollout_id": "r_a3", "label": 0}, {"rollout_id": "r_x",
             "label": True}]  # fmt: skip
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = calibrated(Parts(SAID), labels=str(path))
    assert confusions(rows, "fast", "labels") == {"easy": (1, 0, 0, 1, 0, 0, 0, 0, 0)}
    assert confusions(rows, "slow", "labels") == {"easy": (1, 0, 0, 0, 1, 0, 0, 0, 0)}
    assert not any(row["stage"] == "labels" for row in rows)
    given = MeasureCalibration.resolve_paths({"use": "measure.calibration", "labels": "labels.jsonl"}, tmp_path)
    config = CalibrationConfig.model_validate({**given, "of": "difficulty"})
    path.write_text('{"rollout_id": "r_x", "verdict": "wrong"}\n')
    with pytest.raises(UserError, match="sha256"):
        MeasureCalibration("c", config).run(Parts(SAID), FakeServices())  # type: ignore[arg-type]
    with pytest.raises(UserError, match="none of the 1 labels belongs"):
        calibrated(Parts(SAID), labels=str(path))
    path.write_text('{"verdict": "wrong"}\n{"rollout_id": "r_a", "verdict": "fine"}\n'
                    '{"rollout_id": "r_b", "verdict": 1}\n{"rollout_id": "r_b", "verdict": 0}\n')  # fmt: skip
    with pytest.raises(Mistakes, match=r"3 mistakes") as caught:
        calibrated(Parts(SAID), labels=str(path))
    assert [m.where.rpartition(":")[2] for m in caught.value.found] == ["1", "2", "4"]


def test_scorers_can_be_chosen() -> None:
    assert {row["stage"] for row in calibrated(Parts(SAID), truth="slow", scorers=("fast",))} == {"fast", "slow"}


@pytest.mark.parametrize(
    ("fields", "field", "text"),
    [
        ({"truth": "slo"}, "truth", "did you mean 'slow'?"),
        ({"truth": "slow", "scorers": ("slow",)}, "scorers", "the truth as well"),
        ({"labels": "/nowhere/labels.jsonl"}, "labels", "no such file"),
    ],
)
def test_mistakes_that_the_graph_shows(fields: dict[str, Any], field: str, text: str) -> None:
    config = CalibrationConfig(use="measure.calibration", of=("difficulty",), **fields)
    [found] = list(MeasureCalibration("c", config).check(ANCESTORS))
    assert found[0] == field and text in " ".join(found)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"truth": "slow", "labels": "x"}, "one truth"),
        ({"require": {"n": 3}}, "nothing to compare with"),
        ({"truth": "slow", "require": {"recall": {}}}, "at_most or at_least"),
    ],
)
def test_mistakes_in_the_fields(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        CalibrationConfig.model_validate({"use": "measure.calibration", "of": "x", **fields})


def test_one_scorer_alone_is_not_calibrated() -> None:
    config = CalibrationConfig(use="measure.calibration", of=("fast",))
    [found] = list(MeasureCalibration("c", config).check(ANCESTORS[:3]))
    assert "nothing to compare" in found[1]
