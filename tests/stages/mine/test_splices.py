"""Splices: what is joined, what is masked, and what cannot be joined."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from support.stages import stage_info
from support.toy_world import (
    STOP,
    ToyRenderer,
    ToyServices,
    inputs_of,
    problem_row,
    rollout_row,
    rows,
    score_row,
    verdict,
)
from synthflow import ids
from synthflow.contracts import MemoryInputs
from synthflow.execute.coverage import check_coverage, check_keys
from synthflow.schema import TABLES
from synthflow.stages.label.tree import LabelTree
from synthflow.stages.mine.splices import REFLECTIONS, MineSplices

LABELS = stage_info("labels", "label.tree", ("steps", "step_values"), ("keep",))


def labelled(*texts, renderer=None, **changed):
    """One problem's flat group, labelled by whether a correct rollout shares the step: (inputs, rollouts)."""
    problem = problem_row("x")
    made = [rollout_row(problem, i, text, renderer=renderer, **changed) for i, text in enumerate(texts)]
    inputs = inputs_of([problem], made, [score_row(r, verdict(r["completion"]).verdict) for r in made])
    label = LabelTree("labels", LabelTree.Config.model_validate({"use": "label.tree", "of": "keep", "rule": "hard"}))
    found = label.run(inputs, ToyServices(renderer))
    tables = {a.name: {t: inputs.of_stage(a.name, t) for t in a.writes} for a in inputs.ancestors}
    own = {name: found[name] for name in LABELS.writes}
    return MemoryInputs([*inputs.ancestors, LABELS], ["labels"], {**tables, "labels": own}), made


def splice(inputs, services=None, **fields):
    stage = MineSplices(
        "splices", MineSplices.Config.model_validate({"use": MineSplices.use, "of": "labels", **fields})
    )
    assert not list(stage.check(inputs.ancestors))
    tables = stage.run(inputs, services or ToyServices())
    for name, table in tables.items():
        TABLES[name].conform(table)
    check_keys("splices", tables)
    check_coverage("splices", stage.covers, inputs, tables)
    return (
        rows(tables, "rollouts"),
        rows(tables, "artifacts"),
        {r["target_id"]: r["reason"] for r in rows(tables, "rejects")},
    )


RIGHT, WRONG = "ok0\nok1\nok2\n= 1", "ok0\nbad1\nok2\n= 0"


def test_a_splice_worked_out_by_hand():
    inputs, (right, wrong) = labelled(RIGHT, WRONG)
    (made,), (artifact,), rejects = splice(inputs)
    said = artifact["text"]
    assert said in REFLECTIONS and said.endswith("\n")
    assert made["completion"] == "ok0\nbad1\n" + said + "ok1\nok2\n= 1"
    assert made["token_ids"] == [*map(ord, made["completion"]), STOP] and made["n_tokens"] == len(made["token_ids"])
    masked = [i for i, on in enumerate(made["loss_mask"]) if not on]
    assert masked == list(range(4, 9)), "the five tokens of `bad1` and its newline"
    assert [(s["author"], made["completion"][s["start"] : s["end"]]) for s in made["author_spans"]] == [
        ("policy", "ok0\nbad1\n"), ("synthflow", said), ("policy", "ok1\nok2\n= 1"),
    ]  # fmt: skip
    assert made["condition"] == "spliced" and made["on_policy"] is False and made["logprobs"] is None
    assert (made["parent_rollout_id"], made["branch_step"], made["branch_token"]) == (wrong["rollout_id"], 2, 9)
    assert made["prefix_id"] == ids.prefix_id(wrong["problem_id"], wrong["token_ids"][:9])
    assert made["artifact_id"] == artifact["artifact_id"] and artifact["source_rollout_id"] == right["rollout_id"]
    assert artifact["artifact_id"] == ids.artifact_id("reflection", said, wrong["problem_id"], right["rollout_id"])
    assert rejects == {right["rollout_id"]: "not_wrong"}
    again = splice(inputs)
    assert again[0] == [made]


def test_the_prefix_may_be_masked_too():
    (made,), _, _ = splice(labelled(RIGHT, WRONG)[0], train_prefix=False)
    assert made["loss_mask"].index(True) == 9 and all(made["loss_mask"][9:])


def test_an_error_in_the_last_line_gives_up_its_stop_token_and_gets_a_newline():
    inputs, _ = labelled("ok0\nok1\n= 1", "ok0\nok1\n= 0")
    (made,), (artifact,), _ = splice(inputs, reflections=["Wrong.\n"])
    assert made["completion"] == "ok0\nok1\n= 0\nWrong.\n= 1" and artifact["text"] == "\nWrong.\n"
    assert STOP not in made["token_ids"][:-1] and made["token_ids"][-1] == STOP
    assert [made["completion"][i] for i, on in enumerate(made["loss_mask"]) if not on] == list("= 0")


def test_an_error_in_the_first_line():
    (made,), _, _ = splice(labelled("ok0\n= 1", "bad0\n= 0")[0], reflections=["No.\n"])
    assert made["completion"] == "bad0\nNo.\nok0\n= 1" and made["branch_step"] == 1


def test_how_many_are_made():
    texts = [
        "ok0\nok1\n= 1",
        "ok0\nok2\n= 1",
        "ok0\nok2\nok1\n= 1",
        "ok0\nbad1\n= 0",
        "ok0\nbad1\nok2\n= 0",
        "ok0\nbad2\n= 0",
    ]
    inputs, made = labelled(*texts)
    found, artifacts, rejects = splice(inputs)
    # Two distinct first errors: the two rollouts that share one begin one splice between them.
    assert len(found) == 2 and len({r["prefix_id"] for r in found}) == 2 and len(artifacts) == 2
    assert sorted(rejects.values()) == ["not_selected"] + ["not_wrong"] * 3
    more, _, _ = splice(inputs, max_per_error=3)
    assert len(more) == 6 and len({r["rollout_id"] for r in more}) == 6
    assert {r["rollout_id"] for r in found} < {r["rollout_id"] for r in more}
    assert len(splice(inputs, max_per_error=3, max_per_problem=4)[0]) == 4
    assert {r["parent_rollout_id"] for r in more} <= {r["rollout_id"] for r in made[3:]}


def test_what_cannot_be_joined():
    renderer = ToyRenderer(["\nok"])  # one token over the end of a step: no cut there is exact
    inputs, (_, wrong) = labelled("bad1\nok0\n= 1", "ok1\nok2\n= 0", renderer=renderer)
    found, _, rejects = splice(inputs, ToyServices(renderer))
    assert not found and rejects[wrong["rollout_id"]] == "no_correct_sibling"
    inputs, (_, wrong) = labelled(RIGHT, WRONG, policy_id="m_other")
    assert splice(inputs)[2][wrong["rollout_id"]] == "other_policy"
    blind = ToyServices()
    blind.renderer = lambda policy: None
    inputs, (_, wrong) = labelled(RIGHT, WRONG)
    assert splice(inputs, blind)[2][wrong["rollout_id"]] == "no_token_ids"


def test_hostile_texts_are_joined_exactly():
    odd = "🧑\u200d🚀 e\u0301\n"
    (made,), _, _ = splice(labelled(odd + "ok1\n= 1", odd + "\u202ebad\n= 0")[0], reflections=["그건 틀렸다. 🙃\n"])
    assert made["completion"] == odd + "\u202ebad\n그건 틀렸다. 🙃\nok1\n= 1"
    assert ToyRenderer().decode(made["token_ids"]) == made["completion"]
    assert "".join(made["completion"][i] for i, on in enumerate(made["loss_mask"]) if not on) == "\u202ebad\n"


def test_planning():
    inputs, _ = labelled(RIGHT, WRONG)
    make = lambda **f: MineSplices("s", MineSplices.Config.model_validate({"use": "mine.splices", "of": "labels", **f}))  # noqa: E731
    assert [m[0] for m in make(labels="nope").check(inputs.ancestors)] == ["labels"]
    assert [m[0] for m in make().check(inputs.ancestors[:-1])] == ["labels"]
    assert make().config.sampling_id() != make(train_prefix=False).config.sampling_id()
    assert make().samplings()[0]["sampling_id"] == make().config.sampling_id()
    with pytest.raises(ValidationError, match="reflection is empty"):
        make(reflections=["fine", " "])
