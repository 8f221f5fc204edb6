"""`label.reference` against the demo world's own solutions, and with a checker of another package."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import pytest

from support.toy_world import ToyServices, inputs_of, problem_row, rollout_row, rows, score_row
from synthflow import registry
from synthflow.contracts import StepChecker, StepTruth
from synthflow.demo import generate_problems, reference_solutions
from synthflow.demo.step_checker import DemoStepChecker
from synthflow.errors import InvariantBroken
from synthflow.execute.coverage import check_coverage, check_keys
from synthflow.schema import TABLES
from synthflow.stages.label.monte_carlo import MonteCarlo
from synthflow.stages.label.reference import Reference


def stage(**fields):
    return Reference("truth", Reference.Config.model_validate({"use": "label.reference", "of": "keep", **fields}))


def label(inputs, **fields):
    made = stage(**fields)
    tables = made.run(inputs, ToyServices())
    for name, table in tables.items():
        TABLES[name].conform(table)
    check_keys("truth", tables)
    check_coverage("truth", made.covers, inputs, tables)
    return tables


def demo_problem(seed=3):
    [found] = generate_problems(1, seed=seed, split="heldout", ops=(3,))
    return found, problem_row("x") | {"metadata": json.dumps(found.metadata)}


def solved(found):
    return "\n".join(reference_solutions(found, 1, 0)[0])


def demo(*texts, found=None, problem=None):
    made = [rollout_row(problem, i, text) for i, text in enumerate(texts)]
    return inputs_of(
        [problem], made, [score_row(r, "correct" if i == 0 else "wrong") for i, r in enumerate(made)]
    ), made


def broken(text, line):
    """A solution whose equation in this line has another result."""
    lines = text.split("\n")
    head, _, rest = lines[line].rpartition("= ")
    result, _, unit = rest.partition(" ")
    lines[line] = f"{head}= {int(result) + 1} {unit}"
    return "\n".join(lines)


def test_a_right_solution_and_one_with_an_error():
    found, problem = demo_problem()
    right = solved(found)
    wrong = broken(right, 1)
    inputs, (first, second) = demo(right, wrong, found=found, problem=problem)
    tables = label(inputs)
    by_rollout = defaultdict(list)
    for value in rows(tables, "step_values"):
        by_rollout[value["rollout_id"]].append(value)
    clean, erring = by_rollout[first["rollout_id"]], by_rollout[second["rollout_id"]]
    assert {v["value"] for v in clean} == {1.0} and not any(v["is_first_error"] for v in clean)
    assert [v["value"] for v in erring] == [1.0] + [0.0] * (len(erring) - 1)
    assert [v["value_before"] for v in erring] == [1.0, 1.0] + [0.0] * (len(erring) - 2)
    assert [v["p_first_error"] for v in erring] == [0.0, 1.0] + [0.0] * (len(erring) - 2)
    assert sum(v["advantage"] for v in erring) == -1 and sum(v["advantage"] for v in clean) == 0
    assert {v["scale"] for v in clean + erring} == {"score"} and {v["tokens_spent"] for v in clean} == {0}
    kinds = {s["target_id"]: s for s in rows(tables, "scores")}
    assert set(kinds) == {s["step_id"] for s in rows(tables, "steps")}
    told = [kinds[v["step_id"]]["detail"] for v in erring]
    assert told[:2] == ["right", "newly_wrong"] and set(told[2:]) <= {"inherited", "right", "newly_wrong"}
    assert kinds[erring[1]["step_id"]]["reason"] == "arithmetic_slip"


def test_the_steps_are_those_that_other_labelers_cut():
    found, problem = demo_problem()
    right = solved(found)
    inputs, _ = demo(right, broken(right, 0), found=found, problem=problem)
    config = MonteCarlo.Config.model_validate({"use": "label.monte_carlo", "of": "keep", "n": 1})
    theirs = MonteCarlo("steps", config).run(inputs, ToyServices())
    ours = label(inputs)
    keep = ("step_id", "char_start", "char_end", "token_start", "token_end", "parent_step_id")
    assert {tuple(r[k] for k in keep) for r in rows(ours, "steps")} == {
        tuple(r[k] for k in keep) for r in rows(theirs, "steps")
    }


def test_steps_of_a_rollout_whose_tokens_nobody_told_have_none():
    found, problem = demo_problem()
    right = solved(found)
    made = [rollout_row(problem, i, text) for i, text in enumerate([right, broken(right, 0)])]
    judged = [score_row(r, v) for r, v in zip(made, ("correct", "wrong"), strict=True)]
    ours = label(inputs_of([problem], made, judged))
    without = label(inputs_of([problem], [r | {"token_ids": None} for r in made], judged))
    assert {r["token_start"] for r in rows(without, "steps")} == {None}
    assert {r["step_id"] for r in rows(without, "steps")} == {r["step_id"] for r in rows(ours, "steps")}


def test_what_it_does_not_know_is_rejected():
    found, problem = demo_problem()
    other = problem_row("toy")
    strange = problem_row("strange") | {"metadata": '{"facts": {"quantities": 3}}'}
    rotten = problem_row("rotten") | {"metadata": "{"}
    silent = [rollout_row(problem, 0, solved(found)), rollout_row(problem, 1, "I would rather not.\nSorry, no.")]
    made = [*silent, *(rollout_row(p, i, "ok\n= 1") for p in (other, strange, rotten) for i in range(2))]
    judged = [score_row(r, "wrong" if i % 2 else "correct") for i, r in enumerate(made)]
    tables = label(inputs_of([problem, other, strange, rotten], made, judged))
    assert {v["rollout_id"] for v in rows(tables, "step_values")} == {silent[0]["rollout_id"]}
    assert Counter(r["reason"] for r in rows(tables, "rejects")) == {"unknown_problem": 6, "no_step_judged": 1}


HOSTILE = [
    "",
    "\n\n\n",
    "🧑\u200d🚀 = 3\n" * 50,
    "\u0301\u0301=",
    "1" * 50_000 + " = 2",
    "= " * 4000,
    "x\x00y = 3",
    "٣ + ٤ = ٧",
]


def test_hostile_text_is_judged_or_rejected():
    found, problem = demo_problem()
    inputs, made = demo(solved(found), *HOSTILE, found=found, problem=problem)
    tables = label(inputs)
    told = {v["rollout_id"] for v in rows(tables, "step_values")} | {r["target_id"] for r in rows(tables, "rejects")}
    assert told == {r["rollout_id"] for r in made}


class Yes(StepChecker):
    """A world in which every step is right but those that say bad."""

    name, version = "yes", "7"

    def check(self, metadata, steps):
        return [StepTruth("newly_wrong" if "bad" in s else "right") for s in steps][: metadata.get("most")]


def test_a_checker_of_another_package(monkeypatch):
    monkeypatch.setattr(registry, "load", lambda kind, name: {"yes": Yes}[name])
    monkeypatch.setattr(registry, "names", lambda kind: ["yes"])
    problem = problem_row("x")
    made = [rollout_row(problem, i, t) for i, t in enumerate(("ok0\n= 1", "bad1\nbad2\n= 0"))]
    judged = [score_row(r, v) for r, v in zip(made, ("correct", "wrong"), strict=True)]
    tables = label(inputs_of([problem], made, judged), checker="yes")
    erring = [v for v in rows(tables, "step_values") if v["rollout_id"] == made[1]["rollout_id"]]
    assert [v["is_first_error"] for v in erring] == [True, False, False]
    assert {v["labeler_version"] for v in erring} == {"1+7"} == {stage(checker="yes").full_version()}
    with pytest.raises(InvariantBroken, match="2 steps, 1 judgements"):
        label(inputs_of([problem | {"metadata": '{"most": 1}'}], made, judged), checker="yes")


def test_planning():
    found, problem = demo_problem()
    inputs, _ = demo(solved(found), found=found, problem=problem)
    assert not list(stage().check(inputs.ancestors))
    [mistake] = list(stage(checker="dema").check(inputs.ancestors))
    assert mistake[0] == "checker" and "did you mean 'demo'" in mistake[2]
    assert [m[0] for m in stage(verdicts="nope").check(inputs.ancestors)] == ["verdicts"]


def test_the_demo_checker_knows_its_world_only():
    found, _ = demo_problem()
    checker = DemoStepChecker()
    assert checker.check({}, ["1 + 1 = 2"]) is None and checker.check({"facts": [1]}, ["a"]) is None
    truths = checker.check(found.metadata, solved(found).split("\n"))
    assert truths is not None and {t.kind for t in truths} == {"right"} and not any(t.is_wrong for t in truths)
    assert registry.load("step_checkers", "demo") is DemoStepChecker
