"""How far a pair's order is to be trusted: each column by hand, and over rounds."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.stages import stage_info
from support.toy_world import ANCESTORS, ToyServices, problem_row, rollout_row, rows, score_row
from synthflow import ids
from synthflow.contracts import MemoryInputs
from synthflow.schema import PROBLEMS, ROLLOUTS, SCORES, STEP_VALUES, STEPS
from synthflow.stages.mine.choose import Candidate, Side
from synthflow.stages.mine.pairs import MinePairs
from synthflow.stages.mine.reliability import interval_overlap, p_better, round_consistency

C, W, U = "correct", "wrong", "unknown"


def candidate(one, other, rule="sibling"):
    sides = [Side(f"r{i}", "t", 1, sum(ends) / 2, *ends) for i, ends in enumerate((one, other))]
    return Candidate(rule, "x", "", sides[0], sides[1], 0.1, True)


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ((0.6, 0.9), (0.1, 0.5), 0.0),
        ((0.5, 0.9), (0.1, 0.5), 0.0),  # they touch
        ((0.4, 0.8), (0.2, 0.6), 0.5),  # .2 of .4
        ((0.3, 0.9), (0.4, 0.5), 1.0),  # one holds the other
        ((0.2, 0.6), (0.5, 0.7), 0.5),  # .1 of the shorter one, .2
        ((1.0, 1.0), (0.0, 0.0), 0.0),  # verdicts
        ((1.0, 1.0), (0.5, 1.0), 1.0),  # a verdict within an interval
    ],
)
def test_overlap_by_hand(one, other, share):
    assert interval_overlap(candidate(one, other)) == pytest.approx(share)
    assert interval_overlap(candidate(other, one)) == pytest.approx(share)


def test_a_side_without_an_interval_of_its_own():
    assert interval_overlap(candidate((0.5, 0.5), (0.1, 0.3), "continuation")) is None


def test_p_better_by_hand():
    # Phi(1.959964) = .975, Phi(1) = .841345.
    assert p_better(1.959964 * 0.2, 0.2) == pytest.approx(0.975, abs=1e-6)
    assert p_better(0.25, 0.25) == pytest.approx(0.841345, abs=1e-6)
    assert p_better(0.0, 0.3) == 0.5 and p_better(1.0, 0.0) == 1.0 and p_better(1.0, None) is None


@given(st.floats(-1, 1), st.floats(0, 1))
def test_p_better_is_a_probability_that_grows_with_the_margin(margin, error):
    assert 0 <= p_better(margin, error) <= 1
    assert p_better(margin + 0.1, error) >= p_better(margin, error)


def run(inputs, **fields):
    config = {"use": MinePairs.use, "of": [inputs.ancestors[-1].name], "max_length_ratio": None, **fields}
    stage = MinePairs("pairs", MinePairs.Config.model_validate(config))
    return rows(stage.run(inputs, ToyServices()), "pairs")


def test_agreement_of_the_verifiers_that_judged_both():
    """A pair that `verdicts` puts in order: `b` agrees, `c` finds both correct, `d` cannot say of one: 2 of 3."""
    problem = problem_row("a")
    made = [rollout_row(problem, i, text) for i, text in enumerate("xy")]
    said = {"verdicts": (C, W), "b": (C, W), "c": (C, C), "d": (C, U)}
    stages = [stage_info(name, "verify.toy", ("scores",), ("rollouts",)) for name in ("b", "c", "d")]
    inputs = MemoryInputs(
        [*ANCESTORS, *stages],
        ["verdicts", "b", "c", "d"],
        {"problems": {"problems": PROBLEMS.from_rows([problem])}, "rollouts": {"rollouts": ROLLOUTS.from_rows(made)}}
        | {
            name: {"scores": SCORES.from_rows([score_row(r, v) for r, v in zip(made, both, strict=True)])}
            for name, both in said.items()
        },
    )
    (pair,) = run(inputs, verdicts="verdicts")
    assert pair["scorer_agreement"] == pytest.approx(2 / 3)
    assert (pair["interval_overlap"], pair["p_better"], pair["round_consistency"]) == (0, 1, None)


def test_earlier_rounds_by_hand():
    """Chosen `a`, rejected `b` in round 3. Held in round 0 (mean .75 over .5), not in 1; 2 knows one text only."""
    pair = {
        "pair_id": "d", "problem_id": "p", "round": 3, "prefix": "x", "chosen": "a", "rejected": "b",
        "chosen_step_id": "s", "level": "step",
    }  # fmt: skip
    continued = pair | {"pair_id": "e", "chosen_step_id": None}
    told = [
        (0, "a", 0.5, 0.0), (0, "a", 1.0, 0.0), (0, "b", 0.5, -0.2), (1, "a", 0.3, 0.0), (1, "b", 0.3, -0.1),
        (2, "b", 0.9, 0.4), (3, "a", 1.0, 0.0), (3, "b", 0.0, -1.0),
    ]  # fmt: skip
    history = pl.DataFrame(
        [{"problem_id": "p", "round": r, "prefix": "x", "text": t, "value": v, "advantage": a} for r, t, v, a in told]
    )
    pairs = pl.DataFrame([pair, continued, pair | {"pair_id": "f", "round": 0}, pair | {"pair_id": "g", "prefix": "y"}])
    found = dict(round_consistency(pairs, history).iter_rows())
    # Of the continuation pair the rejected step alone is looked at: it lost in rounds 0 and 1, and gained in 2.
    assert found == {"d": 0.5, "e": pytest.approx(2 / 3)}
    assert round_consistency(pairs, history.filter(pl.col("round") == 3)).is_empty()


LABELS = [stage_info(name, "label.toy", ("steps", "step_values"), ("verdicts",)) for name in ("one", "two")]


def test_step_pairs_ask_the_other_labelers_and_the_other_rounds():
    """`b` over `c` after `a`: the second labeler says the opposite; in round 0 the order was the same."""
    problem, tables = problem_row("a"), {}
    made, scores = [], []
    for round_ in (0, 1):
        for i, text in enumerate(["a\nb\n", "a\nc\n"]):
            name = ids.rollout_id(problem["problem_id"], "m_toy", round_, "g_first", ids.NO_PREFIX, i, 7)
            made.append(rollout_row(problem, i, text) | {"rollout_id": name, "round": round_})
            scores.append(score_row(made[-1], C if i == 0 else W))
    for labeler, better in (("one", 0), ("two", 1)):
        steps, values = [], []
        for row in made:
            before = 0.5
            for k in range(2):
                value = 0.5 if k == 0 else (0.8 + row["round"] / 10 if row["index"] == better else 0.2)
                common = {
                    "step_id": ids.step_id(row["rollout_id"], "lines", k), "problem_id": row["problem_id"],
                    "rollout_id": row["rollout_id"], "index": k, "stage_id": "h",
                }  # fmt: skip
                steps.append(common | {"segmenter": "lines", "char_start": 2 * k, "char_end": 2 * k + 2,
                                       "token_start": 2 * k, "token_end": 2 * k + 2 + k})  # fmt: skip
                values.append(common | {
                    "labeler": labeler, "labeler_version": "1", "config_hash": "c", "policy_id": "m_toy",
                    "scale": "score", "value_before": before, "value": value, "n": 0, "successes": 0, "n_unknown": 0,
                    "value_low": value - 0.2, "value_high": value + 0.2, "advantage": value - before,
                    "advantage_se": 0.1, "tokens_spent": 0,
                })  # fmt: skip
                before = value
        tables[labeler] = {"steps": STEPS.from_rows(steps), "step_values": STEP_VALUES.from_rows(values)}
    inputs = MemoryInputs(
        [*ANCESTORS, *LABELS],
        ["one", "two"],
        {
            "problems": {"problems": PROBLEMS.from_rows([problem])},
            "rollouts": {"rollouts": ROLLOUTS.from_rows(made)},
            "verdicts": {"scores": SCORES.from_rows(scores)},
        }
        | tables,
    )
    pairs = run(inputs, level="step", labels="one", rules=["sibling"])
    (pair,) = pairs  # the texts are those of both rounds, and the wider margin is round 1's
    assert (pair["chosen"], pair["rejected"], pair["margin"]) == ("b\n", "c\n", pytest.approx(0.7))
    assert (pair["scorer_agreement"], pair["round_consistency"], pair["interval_overlap"]) == (0.5, 1.0, 0.0)
    # Half widths of .2 are errors of .2/1.96, .1443 together: Phi(.7/.1443) is all but 1.
    assert pair["p_better"] == pytest.approx(1.0, abs=1e-5)
