"""Which wrong response a pair rejects: by consensus, by order, by a scorer it fools, by nearness."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from support.stages import stage_info
from support.toy_world import ANCESTORS, ToyServices, problem_row, rollout_row, rows, score_row
from synthflow.contracts import MemoryInputs
from synthflow.execute.coverage import check_coverage, check_keys
from synthflow.schema import PROBLEMS, ROLLOUTS, SCORES
from synthflow.stages.mine.negatives import ranks
from synthflow.stages.mine.pairs import MinePairs

SECOND = stage_info("second", "verify.math", ("scores",), ("rollouts",))
RANKED = stage_info("ranked", "measure.self_certainty", ("scores",), ("rollouts",))
JUDGED = stage_info("judged", "label.judge", ("steps", "step_values", "scores"), ("verdicts",))
C, W, U = "correct", "wrong", "unknown"


def world(texts, verdicts, second=None, numbers=None, flawed=(), **changed):
    """One problem's rollouts, with what further stages say of each."""
    problem = problem_row("a")
    made = [rollout_row(problem, i, text, **changed) for i, text in enumerate(texts)]
    tables = {"verdicts": [score_row(r, v) for r, v in zip(made, verdicts, strict=True)]}
    more = []
    if second is not None:
        more.append(SECOND)
        tables["second"] = [score_row(r, v, scorer="math") for r, v in zip(made, second, strict=True)]
    if numbers is not None:
        more.append(RANKED)
        tables["ranked"] = [
            score_row(r, "wrong", kind="measure", scorer="rm", verdict=None, value=n)
            for r, n in zip(made, numbers, strict=True)
        ]
    if flawed:
        more.append(JUDGED)
        tables["judged"] = [
            score_row(made[i], "wrong", kind="measure", scorer="flawed_positive", verdict=None, value=1.0)
            for i in flawed
        ]
    inputs = MemoryInputs(
        [*ANCESTORS, *more],
        ["verdicts", *(a.name for a in more)],
        {"problems": {"problems": PROBLEMS.from_rows([problem])}, "rollouts": {"rollouts": ROLLOUTS.from_rows(made)}}
        | {name: {"scores": SCORES.from_rows(said)} for name, said in tables.items()},
    )
    return inputs, made


def mine(inputs, **fields):
    fields = {"max_length_ratio": None, **fields}
    stage = MinePairs("pairs", MinePairs.Config.model_validate({"use": MinePairs.use, "of": "verdicts", **fields}))
    assert not list(stage.check(inputs.ancestors))
    tables = stage.run(inputs, ToyServices())
    check_keys("pairs", tables)
    check_coverage("pairs", stage.covers, inputs, tables)
    return rows(tables, "pairs"), [r["reason"] for r in rows(tables, "rejects")]


def texts_of(pairs):
    return {(p["chosen"], p["rejected"]) for p in pairs}


def test_a_consensus_chooses_what_all_accept():
    inputs, _ = world("abcd", [C, C, W, C], second=[C, W, C, U])
    pairs, _ = mine(inputs, consensus=["verdicts", "second"])
    assert texts_of(pairs) == {("a", "b"), ("a", "c")} and {p["rule"] for p in pairs} == {"consensus"}
    assert {(p["chosen_value"], p["rejected_value"], p["margin"]) for p in pairs} == {(1, 0, 1)}
    pairs, _ = mine(inputs, consensus=["verdicts", "second"], unknown="wrong")
    assert texts_of(pairs) == {("a", "b"), ("a", "c"), ("a", "d")}
    assert texts_of(mine(inputs, verdicts="second")[0]) == {("a", "b"), ("c", "b")}


def test_unknown_is_rejected_only_where_the_recipe_says_so():
    inputs, _ = world("ab", [C, U])
    assert mine(inputs) == ([], ["no_mixed_group"])
    assert texts_of(mine(inputs, unknown="wrong")[0]) == {("a", "b")}


def test_flawed_positives_are_not_chosen():
    inputs, _ = world("abc", [C, C, W], flawed=[0])
    assert texts_of(mine(inputs)[0]) == {("a", "c"), ("b", "c")}
    assert texts_of(mine(inputs, flawed="drop")[0]) == {("b", "c")}


def test_the_first_of_both_kinds():
    inputs, _ = world("abcd", [W, C, C, W])
    pairs, _ = mine(inputs, negatives="first")
    assert texts_of(pairs) == {("b", "a")} and pairs[0]["rule"] == "first"


def test_one_drawn_of_both_kinds():
    inputs, made = world("abcd", [W, C, C, W])
    pairs, _ = mine(inputs, negatives="drawn")
    lowest = [
        min((r["rollout_id"], r["completion"]) for r in made if r["index"] in side)[1] for side in ((1, 2), (0, 3))
    ]
    assert texts_of(pairs) == {tuple(lowest)} and pairs[0]["rule"] == "drawn"


def test_the_hardest_first_and_what_has_no_score_never():
    inputs, _ = world("abcde", [C, C, W, W, W], numbers=[0.9, 0.9, 0.1, 0.8, None])
    (pair,), _ = mine(inputs, negatives="hardest", scored_by="ranked", max_per_problem=1)
    assert pair["rejected"] == "d" and pair["rule"] == "hardest"
    pairs, _ = mine(inputs, negatives="hardest", scored_by="ranked/rm", max_per_problem=2)
    assert sorted(p["rejected"] for p in pairs) == ["c", "d"] and len({p["chosen"] for p in pairs}) == 2
    pairs, _ = mine(inputs, negatives="hardest", scored_by="ranked", max_per_problem=9)
    assert {p["rejected"] for p in pairs} == {"c", "d"} and len(pairs) == 4
    assert mine(inputs, negatives="hardest", scored_by="mean_logprob") == ([], ["no_scored_negative"])


def test_the_nearest_in_length_and_in_text():
    texts = ["aaaa bbbb", "xxxx yyyy zzzz", "aaaa bbbc", "q"]
    inputs, _ = world(texts, [C, W, W, W])
    (pair,), _ = mine(inputs, negatives="nearest_text", max_per_problem=1)
    assert pair["rejected"] == "aaaa bbbc" and pair["rule"] == "nearest_text"
    inputs, _ = world(["aaaa", "aaaaaaaaaa", "zzzzz"], [C, W, W])
    (pair,), _ = mine(inputs, negatives="nearest_length", max_per_problem=1)
    assert pair["rejected"] == "zzzzz"
    inputs, _ = world(["", "🙂", "é", "e"], [C, W, C, W])  # texts shorter than what is compared
    assert len(mine(inputs, negatives="nearest_text")[0]) == 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=8), min_size=1, max_size=5), st.lists(st.text(max_size=8), min_size=1, max_size=5))
def test_ranks_of_text_are_distances(right, wrong):
    rows = pl.DataFrame({"completion": [*right, *wrong]}, schema={"completion": pl.String})
    chosen, rejected = np.indices((len(right), len(wrong))).reshape(2, -1)
    found = ranks("nearest_text", rows, chosen, rejected + len(right))
    for a, b, rank in zip(chosen, rejected, found, strict=True):
        assert 0 <= rank <= 1 and (rank == 0 or right[a] != wrong[b])


def mistakes(ancestors, **fields):
    stage = MinePairs("pairs", MinePairs.Config.model_validate({"use": MinePairs.use, **fields}))
    return [field for field, _, _ in stage.check(ancestors)]


def test_planning():
    two = [*ANCESTORS, SECOND]
    assert mistakes(two) == ["verdicts"] and mistakes(two, consensus=["verdicts", "second"]) == []
    assert mistakes(two, consensus=["verdicts", "nobody"]) == ["consensus.1"]
    assert mistakes(ANCESTORS, negatives="hardest", scored_by="rank") == ["scored_by"]
    assert mistakes(ANCESTORS, flawed="drop") == ["flawed"]
    for bad in (
        {"negatives": "hardest"}, {"scored_by": "verdicts"}, {"consensus": ["a", "b"], "verdicts": "a"},
        {"level": "step", "negatives": "first"}, {"level": "step", "consensus": ["a", "b"]},
        {"level": "step", "unknown": "wrong"}, {"consensus": ["a"]},
    ):  # fmt: skip
        with pytest.raises(ValidationError):
            MinePairs.Config.model_validate({"use": MinePairs.use, **bad})
