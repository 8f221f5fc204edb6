"""The statistics of benchmarks/step_truth.py."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow import demo

SPEC = importlib.util.spec_from_file_location("step_truth", Path(__file__).parents[2] / "benchmarks" / "step_truth.py")
truth = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(truth)


def test_hand_worked_cluster_mean():
    """Clusters (1, 1) and (0): mean 2/3, residuals 2 - 4/3 and 0 - 2/3, variance 2 · (4/9 + 4/9) / 9."""
    got = truth.cluster_mean(np.array([1.0, 1.0, 0.0]), np.array(["a", "a", "b"]))
    half = truth.Z95 * math.sqrt(2 * (8 / 9) / 9)
    assert got == pytest.approx((2 / 3, 2 / 3 - half, 2 / 3 + half, 3, 2))
    assert truth.cluster_mean(np.array([1.0]), np.array(["a"]))[1:3] == (-math.inf, math.inf)
    assert math.isnan(truth.cluster_mean(np.array([]), np.array([])).mean)


def test_singleton_clusters_give_the_usual_error():
    x = np.random.default_rng(0).normal(size=50)
    got = truth.cluster_mean(x, np.arange(50))
    assert got.high - got.mean == pytest.approx(truth.Z95 * x.std(ddof=1) / math.sqrt(50))


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), max_size=30))
def test_auroc_counts_pairs(rows):
    scores, positive = np.array([s for s, _ in rows], float), np.array([p for _, p in rows], bool)
    pairs = [(a > b) + (a == b) / 2 for a in scores[positive] for b in scores[~positive]]
    got = truth.auroc(scores, positive)
    assert math.isnan(got) if not pairs else got == pytest.approx(sum(pairs) / len(pairs))


def test_auroc_interval_holds_the_value_and_narrows():
    rng = np.random.default_rng(1)
    widths = []
    for n in (40, 640):
        positive = rng.random(n) < 0.5
        scores = rng.normal(size=n) + positive
        low, high = truth.auroc_interval(scores, positive, np.arange(n) // 2, draws=200)
        assert low < truth.auroc(scores, positive) < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
    assert all(map(math.isnan, truth.auroc_interval(scores, np.ones(n, bool), np.arange(n), draws=20)))


@pytest.mark.parametrize(
    ("verdict", "error_kind", "kind"),
    [
        ("right", None, "right"), ("unjudgeable", "no_equation", "unjudgeable"), ("wrong", "inherited", "inherited"),
        ("wrong", "arithmetic_slip", "newly_wrong"),
    ],
)  # fmt: skip
def test_kinds(verdict, error_kind, kind):
    assert truth.kind_of(SimpleNamespace(verdict=verdict, error_kind=error_kind)) == kind


def test_a_run_directory_from_end_to_end(tmp_path, capsys):
    """Solutions of the demo world, half of them with a spoilt number, and advantages that know it."""
    problems, rollouts, steps, values = [], [], [], []
    for i, problem in enumerate(demo.generate_problems(12, seed=3, split="train")):
        row = problem.to_row()
        problems.append({"problem_id": f"p{i}", "metadata": json.dumps(row["metadata"])})
        lines = [line + "\n" for line in demo.reference_solutions(problem, k=1, seed=0)[0]]
        equation = next(k for k, line in enumerate(lines) if "=" in line)
        if i % 2:
            head, _, tail = lines[equation].rpartition("=")
            digits = "".join(c for c in tail if c.isdigit())
            lines[equation] = head + "=" + tail.replace(digits, str(int(digits) + 1), 1)
        text, at = "".join(lines), 0
        rollouts.append({"rollout_id": f"r{i}", "problem_id": f"p{i}", "completion": text})
        for k, line in enumerate(lines):
            steps.append({"step_id": f"s{i}-{k}", "rollout_id": f"r{i}", "char_start": at, "char_end": at + len(line)})
            at += len(line)
            spoilt = bool(i % 2) and k == equation
            values.append({
                "step_id": f"s{i}-{k}", "labeler": "monte_carlo", "config_hash": "c", "index": k,
                "advantage": -0.8 if spoilt else 0.1, "advantage_se": 0.2, "n": 8 if k < len(lines) - 1 else 0,
                "is_first_error": spoilt,
            })  # fmt: skip
    for name, rows in (("problems", problems), ("rollouts", rollouts), ("steps", steps), ("step_values", values)):
        folder = tmp_path / "tables" / name / "stage-abc"
        folder.mkdir(parents=True)
        pl.DataFrame(rows).write_parquet(folder / "part-0.parquet")
    assert truth.main([str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["rollouts"] == 12 and result["undecided"] == 0
    assert result["advantage"]["newly_wrong"]["mean"] < 0 < result["advantage"]["right"]["mean"]
    assert (
        result["auroc"]["first_wrong_all"]["value"] > 0.9
        and result["first_error"]["named"] == 6 == result["first_error"]["exact"]
    )
    assert "AUROC" in err and len(out.splitlines()) == 1


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(SystemExit, match="no table 'step_values'"):
        truth.main([str(tmp_path)])
    assert truth.main([]) == 2
