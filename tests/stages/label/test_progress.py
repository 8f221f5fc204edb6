"""`label.progress`: contributions that add up, planted ones recovered, and no model that saw what it labels."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import numpy as np
import polars as pl
import pytest

from support.toy_world import ToyServices, inputs_of, problem_row, rollout_row, rows, score_row, world
from synthflow.contracts import MemoryInputs
from synthflow.execute.coverage import check_coverage, check_keys
from synthflow.schema import TABLES
from synthflow.stages.label.progress import Progress
from synthflow.stages.label.progress_features import FACTS, Steps, features
from synthflow.stages.label.progress_model import ProgressModel, Sums, conserved, fold_of


def stage(**fields):
    given = {"use": "label.progress", "of": "keep", "buckets": 64, **fields}
    return Progress("progress", Progress.Config.model_validate(given))


def label(inputs, **fields):
    made = stage(**fields)
    tables = made.run(inputs, ToyServices())
    for name, table in tables.items():
        TABLES[name].conform(table)
    check_keys("progress", tables)
    check_coverage("progress", made.covers, inputs, tables)
    return tables


def by_rollout(tables):
    found = defaultdict(list)
    for value in rows(tables, "step_values"):
        found[value["rollout_id"]].append(value)
    return found


class Cut(MemoryInputs):
    """Inputs in partitions of so many problems, in any order."""

    def __init__(self, whole, size, seed=0):
        super().__init__(whole.ancestors, whole.parents, whole._tables)
        self.size, self.seed = size, seed

    def partitions(self):
        problems = sorted(self.frame("problems", ["problem_id"])["problem_id"].to_list())
        random.Random(self.seed).shuffle(problems)
        for start in range(0, len(problems), self.size):
            chosen = pl.Series(problems[start : start + self.size]).implode()
            parts = {
                stage: {
                    name: pl.from_arrow(table).filter(pl.col("problem_id").is_in(chosen)).to_arrow()
                    for name, table in tables.items()
                }
                for stage, tables in self._tables.items()
            }
            yield MemoryInputs(self.ancestors, self.parents, parts)


def toy(n_problems=20, n=8):
    return inputs_of(*world(n_problems, n))


def test_contributions_add_up_to_the_outcome():
    problems, rollouts, scores = world(20, 8)
    verdicts = {s["target_id"]: s["value"] for s in scores}
    found = by_rollout(label(inputs_of(problems, rollouts, scores)))
    assert len(found) > 40
    for rollout, values in found.items():
        assert values[0]["value_before"] == 0 and values[-1]["value"] == verdicts[rollout]
        assert [v["value_before"] for v in values[1:]] == [v["value"] for v in values[:-1]]
        assert sum(v["advantage"] for v in values) == pytest.approx(verdicts[rollout], abs=1e-5)
        assert {(v["scale"], v["n"], v["tokens_spent"], v["is_first_error"]) for v in values} == {
            ("reward", 0, 0, None)
        }


def test_steps_that_doom_a_solution_lose_most():
    problems, rollouts, scores = world(60, 8)
    text_of = {r["rollout_id"]: r["completion"] for r in rollouts}
    tables = label(inputs_of(problems, rollouts, scores))
    span = {s["step_id"]: slice(s["char_start"], s["char_end"]) for s in rows(tables, "steps")}
    told = defaultdict(list)
    for v in rows(tables, "step_values"):
        told[text_of[v["rollout_id"]][span[v["step_id"]]][:2]].append(v["advantage"])
    assert np.mean(told["ba"]) < np.mean(told["ok"]) - 0.3


def test_planted_contributions_are_recovered():
    """Every step adds what its word says, and the outcome is their sum: 1 or 0."""
    worth = {"apple": 1.0, "stone": 0.0, "thorn": -1.0, "seed": 0.0}
    rng = random.Random(5)
    problems, made, judged = [], [], []
    for name in range(40):
        problem = problem_row(f"plant{name}")
        problems.append(problem)
        index = 0
        while index < 8:
            words = [rng.choice(list(worth)) for _ in range(4)]
            total = sum(worth[w] for w in words)
            if total not in (0, 1):
                continue
            row = rollout_row(problem, index, "".join(f"{w}\n" for w in words))
            made.append(row)
            judged.append(score_row(row, "correct" if total else "wrong"))
            index += 1
    tables = label(inputs_of(problems, made, judged), ridge=0.5, buckets=256)
    text_of = {r["rollout_id"]: r["completion"].split() for r in made}
    told = defaultdict(list)
    for rollout, values in by_rollout(tables).items():
        for word, value in zip(text_of[rollout], values, strict=True):
            told[word].append(value["advantage"])
    means = {word: float(np.mean(found)) for word, found in told.items()}
    spread = {word: float(np.std(found)) for word, found in told.items()}
    assert means == pytest.approx(worth, abs=0.1) and max(spread.values()) < 0.25


def test_rows_do_not_depend_on_the_partitions():
    inputs = toy()
    whole = label(inputs)
    for size, seed in ((1, 1), (3, 2), (7, 3)):
        parts = label(Cut(inputs, size, seed))
        for name in whole:
            key = list(TABLES[name].key)
            assert pl.from_arrow(whole[name]).sort(key).equals(pl.from_arrow(parts[name]).sort(key)), name


def test_a_problem_is_labelled_by_a_model_that_never_saw_it():
    """Turning the verdicts of one problem around changes the labels of the others' folds, and not its own."""
    problems, rollouts, scores = world(12, 8)
    chosen = problems[0]["problem_id"]
    other = {"correct": "wrong", "wrong": "correct"}
    turned = [
        s | {"verdict": other[s["verdict"]], "value": 1 - s["value"]} if s["problem_id"] == chosen else s
        for s in scores
    ]
    before, after = (
        {v["step_id"]: v for v in rows(label(inputs_of(problems, rollouts, s), conserve=False), "step_values")}
        for s in (scores, turned)
    )
    same = fold_of(chosen, 5)
    own = [k for k, v in before.items() if fold_of(v["problem_id"], 5) == same]
    rest = [k for k, v in before.items() if fold_of(v["problem_id"], 5) != same]
    assert own and all(before[k]["value"] == after[k]["value"] for k in own)
    assert any(before[k]["value"] != after[k]["value"] for k in rest)


def test_pair_sums_by_hand():
    """One group of three rollouts with one column: F = 1, 2, 4, y = 0, 1, 1. Pairs: (1,1), (3,1), (2,0)."""
    sums = Sums.zero(1)
    sums.add(np.array([[1.0], [2.0], [4.0]]), np.array([0.0, 1.0, 1.0]), np.array([0, 0, 0]))
    assert sums.square.tolist() == [[1 + 9 + 4]] and sums.product.tolist() == [1 * 1 + 3 * 1 + 2 * 0]
    assert (sums.rollouts, sums.contrasts) == (3, 2)
    model = ProgressModel(1, 2, ridge=3.0)
    model.sums[0].add(np.array([[1.0], [2.0], [4.0]]), np.array([0.0, 1.0, 1.0]), np.array([0, 0, 0]))
    # Penalty 3 / 3 · 14: w = 4 / 28.
    nothing, weights = model.weights()
    assert weights == pytest.approx([4 / 28]) and nothing is None
    # Over the pairs: (1 - w)² + (1 - 3w)² + (2w)², less the 2 of no weights.
    w = 4 / 28
    assert model.sums[0].error(np.array([w])) == pytest.approx((1 - w) ** 2 + (1 - 3 * w) ** 2 + (2 * w) ** 2 - 2)


def test_the_penalty_is_chosen_from_the_other_folds():
    """Nothing but noise wants the largest penalty; a clean signal a small one, and the fold itself has no say."""
    rng = np.random.default_rng(0)

    def model(signal, spoilt=None):
        made = ProgressModel(30, 4, None)
        for fold in range(4):
            for _ in range(10):
                summed = np.floor(rng.normal(size=(6, 30)) * 16) / 16
                right = summed[:, 0] > 0 if signal and fold != spoilt else rng.random(6) < 0.5
                made.sums[fold].add(summed, right.astype(np.float64), np.zeros(6, np.int64))
        return made

    sizes = [np.abs(w).max() for w in model(False).weights()]
    clean = model(True).weights()
    assert max(sizes) < 0.1 < min(abs(w[0]) for w in clean)
    assert all(np.abs(w[1:]).max() < abs(w[0]) / 2 for w in clean)
    spoilt = model(True, spoilt=2).weights()[2]
    assert abs(spoilt[0]) > 0.1


def test_what_is_missing_is_spread_evenly():
    contribution, rollout = np.array([0.25, -0.5, 1.0, 0.5]), np.array([0, 0, 1, 1])
    made = conserved(contribution, rollout, np.array([1.0, 0.0]))
    assert made.tolist() == [0.25 + 0.625, -0.5 + 0.625, 1.0 - 0.75, 0.5 - 0.75]


def test_features_by_hand():
    texts = ["3 + 4 = 7\n", "So 7 * 2 = 15.\n", "3 + 4 = 7\n", "2 + 3 + 4 = 9"]
    lists = [[-0.5, -1.0], [], [-99.0], [float("nan")]]
    found = features(Steps(pl.Series(texts), np.array([0, 0, 0, 0]), lists), 16)
    dense = np.zeros((4, 16 + len(FACTS)))
    dense[found.step, found.column] = found.value
    facts = {name: dense[:, 16 + i].tolist() for i, name in enumerate(FACTS)}
    assert facts["step"] == [1, 1, 1, 1] and facts["is_first"] == [1, 0, 0, 0] and facts["is_last"] == [0, 0, 0, 1]
    assert facts["position"] == [0, 0.25, 0.5, 0.75] and facts["repeats"] == [0, 0, 1, 0]
    assert facts["equation_holds"] == [1, 0, 1, 0] and facts["equation_fails"] == [0, 1, 0, 0], "a chain is not judged"
    assert facts["mean_logprob"] == [-0.75, 0, -4, -4] and facts["lowest_logprob"] == [-1, 0, -16, -16]
    assert facts["logprob_known"] == [1, 0, 1, 1]
    assert (dense * 16 == np.round(dense * 16)).all() and (dense[0, :16] == dense[2, :16]).all()


HOSTILE = [
    "\u2028\r\r\n\n\n", "\n" * 3000 + "= 0", "a\x00b\n🧑\u200d🚀\n= 0", "e\u0301\u0301\n" * 5, "= " * 30_000,
    "٣ = ٣", "9" * 5000 + " + 1 = 2",
]  # fmt: skip


def test_hostile_text_does_not_stop_it():
    problems, rollouts, scores = world(10, 8)
    problem = problem_row("hostile")
    made = [rollout_row(problem, i, text) for i, text in enumerate([*HOSTILE, "ok0\n= 1", ""])]
    judged = [score_row(r, "wrong") for r in made[:-2]] + [score_row(made[-2], "correct"), score_row(made[-1], "wrong")]
    made[0]["logprobs"] = [float("nan")] * len(made[0]["token_ids"])
    made[1]["logprobs"] = [-1.0]
    tables = label(inputs_of([*problems, problem], [*rollouts, *made], [*scores, *judged]))
    found = by_rollout(tables)
    assert all(found[r["rollout_id"]][-1]["value"] in (0, 1) for r in made[:-1])
    assert all(np.isfinite(v["advantage"]) for v in rows(tables, "step_values"))


def test_what_has_no_outcome_or_no_model_is_rejected():
    problem = problem_row("x")
    made = [rollout_row(problem, i, t) for i, t in enumerate(("ok0\n= 1", "bad\n= 0", "ok0\n"))]
    judged = [score_row(r, v) for r, v in zip(made, ("correct", "wrong", "unknown"), strict=True)]
    tables = label(inputs_of([problem], made, judged))
    reasons = Counter(r["reason"] for r in rows(tables, "rejects"))
    assert reasons == {"unknown_verdict": 1, "nothing_to_learn_from": 2} and not rows(tables, "steps")
    empty = label(inputs_of([], [], []))
    assert not rows(empty, "step_values") and not rows(empty, "rejects")


def test_without_conservation_the_sum_is_the_models():
    found = by_rollout(label(toy(), conserve=False))
    last = [values[-1]["value"] for values in found.values()]
    assert len(set(last)) > 2


def test_planning():
    inputs = toy(1, 2)
    assert not list(stage().check(inputs.ancestors))
    assert [m[0] for m in stage(verdicts="nope").check(inputs.ancestors)] == ["verdicts"]
    for wrong in ({"ridge": 0}, {"folds": 1}, {"buckets": 1}, {"ridge": float("inf")}):
        with pytest.raises(ValueError):
            stage(**wrong)
