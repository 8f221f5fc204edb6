"""Process scores beside the outcome: worked out by hand, and conserved whatever the scores are."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.stages import stage_info
from support.step_judges import JudgedServices, between, shown_steps, stage
from support.toy_world import ANCESTORS, ToyServices, problem_row, rollout_row, score_row, world
from synthflow.contracts import MemoryInputs
from synthflow.schema import PROBLEMS, ROLLOUTS, SCORES, STEP_VALUES
from synthflow.stages.label.calibrated import Calibrated, calibrate
from synthflow.stages.label.judge import JudgeSteps

LABELS = stage_info("labels", "label.judge", ("steps", "step_values", "scores", "artifacts"), ("verdicts",))


def value_row(rollout, index, value, **changed):
    return {
        "step_id": f"s_{rollout}_{index}", "problem_id": "p", "rollout_id": rollout, "index": index, "labeler": "judge",
        "labeler_version": "1", "config_hash": "c", "policy_id": "m_judge", "scale": "score", "value": value,
        "n": 0, "successes": 0, "n_unknown": 0, "tokens_spent": 3, "stage_id": "h", "is_first_error": False,
    } | changed  # fmt: skip


def outcomes_of(verdicts, n_correct, n_wrong, **changed):
    return pl.DataFrame(
        [
            {"rollout_id": r, "problem_id": "p", "policy_id": "m", "round": 0, "sampling_id": "g", "verdict": v,
             "n_correct": n_correct, "n_wrong": n_wrong} | changed
            for r, v in verdicts.items()
        ]
    )  # fmt: skip


def frame(rows):
    return pl.from_arrow(STEP_VALUES.from_rows(rows))


def column(made, rollout, name):
    return made.filter(pl.col("rollout_id") == rollout).sort("index")[name].to_list()


def test_hand_worked_values():
    """Pass rate 1/4. Scores .9 .5 | .2 of a, .1 | .7 of b (after | the last one, which the outcome replaces): their
    mean is .5, so V(a) = .25, .65, .25, 1 and V(b) = .25, -.15, 0."""
    scores = {"a": [0.9, 0.5, 0.2], "b": [0.1, 0.7]}
    rows = [value_row(r, k, v) for r, values in scores.items() for k, v in enumerate(values)]
    made = calibrate(frame(rows), outcomes_of({"a": "correct", "b": "wrong"}, 1, 3), 1.0)
    assert column(made, "a", "value_before") == pytest.approx([0.25, 0.65, 0.25])
    assert column(made, "a", "value") == pytest.approx([0.65, 0.25, 1.0])
    assert column(made, "a", "advantage") == pytest.approx([0.4, -0.4, 0.75])
    assert column(made, "b", "value") == pytest.approx([-0.15, 0.0])
    assert column(made, "b", "advantage") == pytest.approx([-0.4, 0.15])
    assert sum(column(made, "a", "advantage")) == pytest.approx(1 - 0.25)
    assert set(made["tokens_spent"]) == {0} and made["value_low"].null_count() == made.height
    halved = calibrate(frame(rows), outcomes_of({"a": "correct", "b": "wrong"}, 1, 3), 0.5)
    assert column(halved, "a", "value") == pytest.approx([0.45, 0.25, 1.0])
    plain = calibrate(frame(rows), outcomes_of({"a": "correct", "b": "wrong"}, 1, 3), 0.0)
    assert column(plain, "a", "advantage") == pytest.approx([0.0, 0.0, 0.75]), "the outcome alone, at the end"


def test_groups_are_centred_apart():
    rows = [value_row("a", k, v) for k, v in enumerate([0.9, 0.0])] + [
        value_row("b", k, v) for k, v in enumerate([0.1, 0])
    ]
    one, other = outcomes_of({"a": "correct"}, 1, 1), outcomes_of({"b": "wrong"}, 1, 1, sampling_id="other")
    made = calibrate(frame(rows), pl.concat([one, other]), 1.0)
    assert column(made, "a", "value") == pytest.approx([0.5, 1.0]) and column(made, "b", "value") == pytest.approx(
        [0.5, 0]
    )


SCORES_OF = st.lists(st.one_of(st.floats(0, 1, width=32), st.none(), st.just(math.nan)), min_size=1, max_size=6)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcd"), st.tuples(SCORES_OF, st.sampled_from(["correct", "wrong", "unknown"]))),
    st.floats(0, 3),
)
def test_advantages_add_up_to_the_outcome_whatever_the_scores(made_up, weight):
    rows = [value_row(r, k, v) for r, (values, _) in made_up.items() for k, v in enumerate(values)]
    verdicts = {r: verdict for r, (_, verdict) in made_up.items()}
    n_correct, n_wrong = (list(verdicts.values()).count(v) for v in ("correct", "wrong"))
    if not rows:
        return
    made = calibrate(frame(rows), outcomes_of(verdicts, n_correct, n_wrong), weight)
    assert made.height == len(rows)
    assert not made["value"].is_nan().any() and not made["advantage"].is_nan().any()
    for name, (values, verdict) in made_up.items():
        value, before, advantage = (column(made, name, c) for c in ("value", "value_before", "advantage"))
        assert before[1:] == value[:-1]
        assert all((a is None) == (v is None or b is None) for v, b, a in zip(value, before, advantage, strict=True))
        known = all(v is not None and not math.isnan(v) for v in values[:-1])
        if known and verdict != "unknown":
            outcome = {"correct": 1.0, "wrong": 0.0}[verdict] - n_correct / (n_correct + n_wrong)
            assert sum(advantage) == pytest.approx(outcome, abs=1e-4)
        if verdict == "unknown":
            assert value[-1] is None and advantage[-1] is None


def chain(problems, rollouts, scores, labels):
    """Inputs of a stage that reads a label stage which reads the verdicts."""
    return MemoryInputs(
        [*ANCESTORS, stage_info("keep", "filter.toy", ("scores",), ("verdicts",)), LABELS],
        ["labels"],
        {
            "problems": {"problems": PROBLEMS.from_rows(problems)},
            "rollouts": {"rollouts": ROLLOUTS.from_rows(rollouts)},
            "verdicts": {"scores": SCORES.from_rows(scores)},
            "labels": labels,
        },
    )


def calibrated(inputs, **fields):
    made = Calibrated("calibrated", Calibrated.Config(use=Calibrated.use, of="labels", **fields))
    assert not list(made.check(inputs.ancestors))
    return {name: table.to_pylist() for name, table in made.run(inputs, ToyServices()).items()}


def grade(prompt, seed):
    """Bad lines score low; of the last problem nothing can be read."""
    if between(prompt, "question") == "Q2>":
        return "rubbish"
    return "\n".join(f"Score of step {k}: {3 if 'bad' in s else 9}" for k, s in enumerate(shown_steps(prompt)))


def test_a_judge_s_scores_are_calibrated():
    problems, rollouts, scores = world(3, 6)
    services = JudgedServices(grade)
    base = chain(problems, rollouts, scores, {})
    labels = stage(groups="mixed", mode="scores").run(base, services)
    inputs = chain(problems, rollouts, scores, dict(labels))
    out = calibrated(inputs)
    labelled = {row["rollout_id"] for row in labels["step_values"].to_pylist()}
    assert labelled and {row["rollout_id"] for row in out["step_values"]} == labelled
    assert {r["target_id"] for r in out["rejects"]} == {r["rollout_id"] for r in rollouts} - labelled
    assert {r["reason"] for r in out["rejects"]} <= {"no_step_values"}
    assert {r["step_id"] for r in out["steps"]} == {r["step_id"] for r in labels["steps"].to_pylist()}
    verdict = {r["target_id"]: r["verdict"] for r in scores}
    by_rollout = {}
    for row in sorted(out["step_values"], key=lambda r: r["index"]):
        by_rollout.setdefault(row["rollout_id"], []).append(row)
    rate = {}
    for row in rollouts:
        rate.setdefault(row["problem_id"], []).append(verdict[row["rollout_id"]] == "correct")
    seen = set()
    for name, values in by_rollout.items():
        rubbish = values[0]["problem_id"] == problems[2]["problem_id"]
        seen.add(rubbish)
        group = rate[values[0]["problem_id"]]
        outcome = float(verdict[name] == "correct")
        assert values[-1]["value"] == outcome
        assert values[0]["value_before"] == pytest.approx(sum(group) / len(group))
        if rubbish:
            assert values[0]["value"] is None and values[0]["advantage"] is None
        else:
            assert sum(v["advantage"] for v in values) == pytest.approx(outcome - sum(group) / len(group), abs=1e-5)
    assert seen == {True, False}
    assert {(r["labeler"], r["scale"], r["policy_id"]) for r in out["step_values"]} == {
        ("calibrated", "reward", "m_judge")
    }
    weighed = calibrated(inputs, weight=0.5)
    assert {r["config_hash"] for r in weighed["step_values"]}.isdisjoint(r["config_hash"] for r in out["step_values"])


def test_values_that_are_no_numbers_are_unknown():
    problem = problem_row("0")
    made = [rollout_row(problem, k, "ok1\nok2\n= 1") for k in range(2)]
    scores = [score_row(made[0], "correct"), score_row(made[1], "unknown")]
    values = [
        value_row(r["rollout_id"], k, v, problem_id=problem["problem_id"])
        for r, found in zip(made, ([math.nan, math.inf, 1.0], [0.5, 0.5, 0.5]), strict=True)
        for k, v in enumerate(found)
    ]
    out = calibrated(chain([problem], made, scores, {"step_values": STEP_VALUES.from_rows(values)}))
    by = {r["rollout_id"]: [] for r in made}
    for row in out["step_values"]:
        by[row["rollout_id"]].append((row["value"], row["advantage"]))
    assert by[made[0]["rollout_id"]] == [(None, None), (None, None), (1.0, None)]
    assert by[made[1]["rollout_id"]] == [(1.0, 0.0), (1.0, 0.0), (None, None)], "the group's pass rate is 1"


def test_mistakes_are_told_before_anything_runs():
    def told(ancestors, **fields):
        made = Calibrated("c", Calibrated.Config(use=Calibrated.use, of="labels", **fields))
        return {field: what for field, what, _ in made.check(ancestors)}

    assert told([*ANCESTORS, LABELS]) == {}
    assert "no label stage above" in told(ANCESTORS)["of"]
    assert "several label stages" in told([*ANCESTORS, LABELS, stage_info("b", "x", ("step_values",))])["values"]
    assert "no label stage above" in told([*ANCESTORS, LABELS], values="rollouts")["values"]
    assert JudgeSteps.use == "label.judge"
