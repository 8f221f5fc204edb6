"""The pure parts of benchmarks/step_labels.py: rules, playing against a pool, what a labeler needs, coverage."""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from synthflow.schema import STEP_VALUES

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def bench():
    """The benchmark's modules, which import each other by their plain names."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        names = ("step_case", "step_pool", "step_rules", "labeler_output", "step_coverage", "step_labels")
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(BENCHMARKS))


def counts(*pairs):
    return np.array([k for k, _ in pairs]), np.array([n for _, n in pairs])


def test_thresholds_and_drops(bench):
    rules = bench.step_rules
    # Prompt 10 of 20; after the steps 3/4, 1/4, 0/4, 1/4; the fifth ends the wrong rollout.
    c = counts((10, 20), (3, 4), (1, 4), (0, 4), (1, 4), (0, 0))
    assert rules.values(c).tolist() == [0.5, 0.75, 0.25, 0.0, 0.25, 0.0]
    assert rules.below(c) == 2
    assert rules.below(c, threshold=0.3) == 1
    assert rules.below(c, share=0.5) == 2 and rules.below(c, share=0.6) == 1
    assert rules.largest_drop(c) == 1
    # Nothing is known of the middle: the drop is where it is seen, and the end is wrong for sure.
    unknown = counts((1, 2), (2, 2), (0, 0), (0, 0))
    assert rules.below(unknown) == 2 and rules.largest_drop(unknown) == 2


def test_hand_worked_change_point(bench):
    """Shares 4/4, 4/4 before and 0/4, 1/4 after: only the split behind the second prefix explains all but one."""
    rules = bench.step_rules
    c = counts((4, 4), (4, 4), (0, 4), (1, 4), (0, 0))
    assert rules.change_point(c) == 1
    assert rules.change_point(counts((2, 4), (2, 4), (2, 4), (0, 0))) == 2  # no fall before the last step
    # log likelihood of 3 of 4: 3 log .75 + log .25
    got = rules._log_likelihood(np.array([3.0, 0.0]), np.array([4.0, 0.0]))
    assert got == pytest.approx([3 * math.log(0.75) + math.log(0.25), 0.0])


def test_hand_worked_recovery(bench):
    """Two continuations each, 2 then 0 correct, recovery .1: places have .01 · .81, 1/3 · .81 and 1/3 · 1/3."""
    c = counts((1, 2), (2, 2), (0, 2), (0, 0))
    assert bench.step_rules.recovery(c, 0.1) == 1
    # With both at 2 of 2 the middle place has 1/3 · .01: the last step it is.
    assert bench.step_rules.recovery(counts((1, 2), (2, 2), (2, 2), (0, 0)), 0.1) == 2


def test_every_rule_finds_a_clear_error_and_survives_no_data(bench):
    clear = counts((12, 15), *[(16, 16)] * 4, *[(0, 16)] * 5, (0, 0))
    nothing = counts((0, 0), (0, 0), (0, 0), (0, 0))
    for name, rule in bench.step_rules.RULES.items():
        assert rule(clear) == 4, name
        assert rule(nothing) in (None, 0, 1, 2), name


def case_of(bench, verdicts, truth=1, prompt=(8, 15)):
    """A rollout whose prefixes 1.. have these verdicts; continuation k of prefix j costs 10 j + k tokens."""
    steps, k = len(verdicts) + 1, len(verdicts[0])
    full = np.full((steps + 1, k), -1, np.int8)
    full[1:steps] = verdicts
    tokens = 10 * np.arange(steps + 1)[:, None] + np.arange(k)
    kinds = tuple("right" if i < truth else "newly_wrong" if i == truth else "inherited" for i in range(steps))
    remaining = tuple(20 * (steps - j) for j in range(steps + 1))
    return bench.step_case.Case(
        "p", "till", "arithmetic_slip", truth, kinds, remaining, prompt, full, tokens.astype(np.int32)
    )


class Scripted:
    """Asks what it is told to ask, and notes what it hears."""

    def __init__(self, *asks):
        self.asks, self.heard = list(asks), []

    def ask(self):
        return self.asks.pop(0) if self.asks else {}

    def tell(self, *told):
        self.heard.append(told)

    def first_error(self):
        return SimpleNamespace(index=1, chances=None)


def test_a_pool_is_drawn_in_order_and_paid_for(bench):
    case = case_of(bench, [[1, 1, -1, 0], [0, 0, 0, 1]])
    searcher = Scripted({1: 2}, {2: 1, 1: 2})
    played = bench.step_rules.play(searcher, case, bench.step_rules.orders(case, 0))
    # prefix, successes, judged, unknown, tokens
    assert searcher.heard == [(1, 2, 2, 0, 10 + 11), (2, 0, 1, 0, 20), (1, 0, 1, 1, 12 + 13)]
    assert played.spent == 66 and played.asked == 5 and played.index == 1
    assert [c.tolist() for c in played.counts] == [[8, 2, 0, 0], [15, 3, 1, 0]]
    assert bench.step_rules.scores_of(played, "said").tolist() == [0, 1, 0]
    assert bench.step_rules.scores_of(played, "advantage") == pytest.approx([8 / 15 - 2 / 3, 2 / 3, 0])
    with pytest.raises(IndexError, match="the pool holds fewer"):
        bench.step_rules.play(Scripted({1: 5}), case, bench.step_rules.orders(case, 0))


def test_other_orders_draw_the_same_pool(bench):
    case = case_of(bench, [[1, 1, 0, 0], [0, 0, 0, 1]])
    shuffled = bench.step_rules.orders(case, 3)
    assert (np.sort(shuffled, axis=1) == np.arange(4)).all() and (shuffled != np.arange(4)).any()
    whole = [bench.step_rules.play(Scripted({1: 4, 2: 4}), case, bench.step_rules.orders(case, s)) for s in (0, 3)]
    assert whole[0].spent == whole[1].spent
    assert all((a == b).all() for a, b in zip(whole[0].counts, whole[1].counts, strict=True))


def test_tokens_for_an_accuracy(bench):
    tokens_for = bench.step_rules.tokens_for
    points = {1: (100.0, 0.4), 2: (200.0, 0.6), 4: (400.0, 0.5), 8: (800.0, 0.9)}
    assert tokens_for(0.7, points) == pytest.approx(600.0)  # half way from .5 to .9
    assert tokens_for(0.55, points) == pytest.approx(450.0)  # 200 tokens had it by luck, 400 had not
    assert tokens_for(0.3, points) == 100.0
    assert math.isnan(tokens_for(0.95, points))


def test_labelers_play_and_are_compared(bench):
    """Rollouts with a clear error: all find it, and a search pays less."""
    rng = np.random.default_rng(0)
    cases = []
    for i in range(12):
        truth = i % 8
        alive = rng.random((9, 16)) < 0.7
        cases.append(case_of(bench, (alive & (np.arange(1, 10) <= truth)[:, None]).astype(np.int8), truth))
    result = bench.step_labels.report("test", cases, 16, 1)
    assert result["accuracy"] > 0.9
    assert result["tokens_share"]["exhaustive"]["value"] <= 1.0
    assert result["tokens_share"]["bisection"]["value"] < 0.5
    assert result["curves"]["posterior"][-1]["accuracy"] > 0.9
    assert all(row["auroc"] > 0.9 for row in result["curves"]["exhaustive"] if row["setting"] == 16)
    assert json.loads(json.dumps(result["tokens_share"]))["posterior"]["reached"] > 0.5


def test_labelers_at_one_setting_are_taken_by_their_word(bench):
    """Three rollouts with the error at step 1. Tree: named right; lowest advantage right; nothing said."""
    value = {
        "problem_id": "p", "labeler_version": "1", "config_hash": "c", "policy_id": "m", "scale": "value", "n": 0,
        "successes": 0, "n_unknown": 0, "tokens_spent": 3, "stage_id": "h",
    }  # fmt: skip
    words = (("a", 1, (0, -0.5, -0.9)), ("b", None, (0.1, -0.5, None)), ("c", None, (None,) * 3))
    rows = [
        value | {"rollout_id": r, "step_id": f"{r}{j}", "index": j, "labeler": "tree", "advantage": a,
                 "is_first_error": named if named is None else j == named}
        for r, named, advantages in words
        for j, a in enumerate(advantages)
    ]  # fmt: skip
    told = bench.labeler_output.read_said(pl.from_arrow(STEP_VALUES.from_rows(rows)).lazy())
    assert [told["tree", r].first() for r in "abc"] == [1, 1, None]
    case = case_of(bench, [[1, 1], [0, 0]])
    cases = [replace(case, said={"tree": told["tree", r]}) for r in "abc"]
    found = bench.labeler_output.figures(cases)["tree"]
    # Of a the steps right and first have 0 and .5, of b -.1 and .5; the inherited step counts for nothing.
    assert found == pytest.approx({"says": 2 / 3, "accuracy": 2 / 3, "auroc": 1.0, "tokens": 9.0, "tokens_read": 0})
    assert bench.labeler_output.figures(cases)["judge"]["auroc"] is None


def test_what_coverage_should_be(bench):
    """Of 8 at one half, Wilson's interval contains it for 2 to 6 successes: 238 of 256."""
    assert bench.step_coverage._expected(np.array([0.5]), 8) == pytest.approx(238 / 256)
    lines = [
        {"problem_id": str(i), "world": "short", "wanted": 100, "tokens": 5, "screen": (4 * k, 32), "n8": (k, 8),
         "n16": (2 * k, 16), "reference": (r, 100)}
        for i, (k, r) in enumerate([(4, 50), (1, 50), (8, 99), (0, 40)])
    ]  # fmt: skip
    screened = {"world": "short", "tokens": 2, "screen": (0, 32), "left_out": "screened"}
    got = bench.step_coverage.summarise([*lines, {"left_out": "length"}, screened])
    assert got["steps"] == 4 and got["left_out"] == {"length": 1, "screened": 1} and got["tokens"] == 22
    assert got["of_one_mind_in_the_screen"] == {"measured": 2, "left_out": 1}
    assert got["n8_inside"]["steps"] == 3 and got["n8_inside"]["coverage"] == pytest.approx(1 / 3)
    assert got["n8_outside"]["coverage"] == 1.0
    assert sum(got["reference_values"].values()) == 4


def test_a_step_is_chosen_before_the_first_wrong_one(bench):
    def judged(*verdicts):
        return [SimpleNamespace(index=i, verdict=v) for i, v in enumerate(verdicts)]

    choose = bench.step_coverage.choose_step
    assert {choose(judged("right", "right", "wrong", "right"), str(i)) for i in range(40)} == {0, 1}
    assert {choose(judged("right", "right", "right"), str(i)) for i in range(40)} == {0, 1}
    assert choose(judged("wrong", "right"), "x") is None and choose(judged("right"), "x") is None


def test_a_line_that_was_cut_short_is_measured_again(bench, tmp_path):
    file = tmp_path / "coverage.jsonl"
    assert bench.step_coverage._lines(file) == {}
    file.write_text('{"prompt": "a", "wanted": 8}\n{"prompt": "b", "wan')
    assert list(bench.step_coverage._lines(file)) == [("a", 8)]


def test_steps_are_measured_several_at_once_in_order_and_once(bench, tmp_path, monkeypatch):
    begun: list[str] = []

    class Fake:
        def __init__(self, *_):
            pass

        def measure(self, problem):
            begun.append(problem.prompt)
            time.sleep(0.02 * (len(begun) % 3))
            return {"left_out": "length"} if problem.n_ops % 2 else {"tokens": 1}

        def close(self):
            begun.append("closed")

    monkeypatch.setattr(bench.step_coverage, "Steps", Fake)
    file = tmp_path / "coverage.jsonl"
    first = bench.step_coverage.collect(file, ["short"], 10, 8, {"backend": "replay"})
    assert sum("left_out" not in line for line in first) == 10 and begun.count("closed") == 1
    assert [line["prompt"] for line in first] == begun[:-1], "none is begun that is not kept"
    assert bench.step_coverage.collect(file, ["short"], 10, 8, {"backend": "replay"}) == first
    assert begun.count("closed") == 1 and len(file.read_text().splitlines()) == len(first)


@pytest.mark.long
@pytest.mark.slow
def test_a_pool_from_a_real_run(bench, tmp_path):
    pytest.importorskip("transformers")
    options = ["--worlds", "short", "--problems", "21", "--k", "16", "--shuffles", "1", "--keep", str(tmp_path)]
    command = [sys.executable, str(BENCHMARKS / "step_labels.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    part = json.loads(done.stdout)["shorter"]
    assert 3 <= part["rollouts"] <= 21
    assert part["curves"]["exhaustive"][-1]["tokens"] > part["curves"]["exhaustive"][0]["tokens"] > 0
    others = part["one_setting"]
    assert set(others) == {"tree", "progress", "implicit", "judge"} and others["judge"]["tokens"] > 0
    assert all(others[name]["says"] == 1 and others[name]["tokens"] == 0 for name in ("tree", "progress", "implicit"))
    for case in bench.step_pool.read_pool(tmp_path / "pool-short").cases:
        assert case.kinds[case.truth] not in ("right", "unjudgeable")
        assert set(case.kinds[: case.truth]) <= {"right", "unjudgeable"}
        assert case.verdicts.shape == (case.steps + 1, 16) and (case.tokens[1:-1] > 0).all()
        assert case.remaining[0] > case.remaining[-1] == 0


@pytest.mark.long
@pytest.mark.slow
def test_coverage_of_real_steps_goes_on_where_it_was(bench, tmp_path):
    pytest.importorskip("transformers")
    options = ["--coverage", "--worlds", "short", "--reference", "16", "--keep", str(tmp_path)]
    command = [sys.executable, str(BENCHMARKS / "step_labels.py"), *options]
    found = []
    for steps in ("2", "4"):
        done = subprocess.run([*command, "--steps", steps], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found.append(((tmp_path / "coverage.jsonl").read_text(), json.loads(done.stdout)))
    assert found[1][0].startswith(found[0][0]) and [f["steps"] for _, f in found] == [2, 4]
    lines = [json.loads(line) for line in found[1][0].splitlines()]
    assert all(line["reference"][1] + line["n16"][1] == 32 for line in lines if "left_out" not in line)
