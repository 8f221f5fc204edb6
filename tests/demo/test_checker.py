"""The reference checker: reference solutions are all right, planted errors are found at their step."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable

import pytest

from synthflow.demo import DemoProblem, check_steps, first_error, generate_problems, reference_solutions
from synthflow.demo.world_facts import FactsBuilder

EQUATION = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")


@pytest.fixture(scope="module")
def problems() -> list[DemoProblem]:
    return list(generate_problems(1120, seed=11, split="train")) + list(
        generate_problems(560, seed=12, split="heldout")
    )


def test_all_steps_of_all_reference_solutions_are_right(problems: list[DemoProblem]) -> None:
    for problem in problems:
        for lines in reference_solutions(problem, 2, seed=1):
            for step in check_steps(problem.metadata, lines):
                assert step.right and step.error_kind is None and not step.inherits_error, (problem.prompt, lines, step)


def _numbers(problem: DemoProblem, lines: list[str]) -> set[int]:
    return {int(n) for text in (problem.prompt, *lines) for n in re.findall(r"\d+", text)}


def _slip(problem: DemoProblem, lines: list[str], at: int, rng: random.Random) -> str | None:
    a, op, b, c = EQUATION.findall(lines[at])[0]
    wrong = int(c) + rng.choice([1, 2, 10])
    return lines[at].replace(f"{a} {op} {b} = {c}", f"{a} {op} {b} = {wrong}")


def _misread(problem: DemoProblem, lines: list[str], at: int, rng: random.Random) -> str | None:
    a, op, b, c = EQUATION.findall(lines[at])[0]
    new = int(a) + 1000  # larger than anything that the world derives
    if op == "/":
        return None
    total = {"+": new + int(b), "-": new - int(b), "*": new * int(b)}[op]
    return lines[at].replace(f"{a} {op} {b} = {c}", f"{new} {op} {b} = {total}")


def _operation(problem: DemoProblem, lines: list[str], at: int, rng: random.Random) -> str | None:
    a, op, b, c = EQUATION.findall(lines[at])[0]
    if op not in "*/" or int(b) < 3 or int(a) < 3 or (op == "/" and int(a) < int(b)):
        return None
    if max(re.findall(r"\d+", problem.prompt).count(n) for n in (a, b)) > 1:
        return None  # a number that is there twice may be meant to be added
    return lines[at].replace(f"{a} {op} {b} = {c}", f"{a} + {b} = {int(a) + int(b)}")


def _answer(problem: DemoProblem, lines: list[str], at: int, rng: random.Random) -> str | None:
    return f"The answer is \\boxed{{{max(_numbers(problem, lines)) + 1}}}."


def _garbled(problem: DemoProblem, lines: list[str], at: int, rng: random.Random) -> str | None:
    return EQUATION.sub(r"\1 \2 \2 = \4", lines[at]) if "-" not in lines[at] else None


CORRUPTIONS: dict[str, Callable[[DemoProblem, list[str], int, random.Random], str | None]] = {
    "arithmetic_slip": _slip,
    "wrong_quantity": _misread,
    "wrong_operation": _operation,
    "wrong_answer": _answer,
    "gibberish": _garbled,
}


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_planted_errors_are_caught_at_exactly_their_step(kind: str, problems: list[DemoProblem]) -> None:
    rng = random.Random(kind)
    planted = 0
    for problem in problems[::2]:
        lines = reference_solutions(problem, 1, seed=2)[0]
        at = len(lines) - 1 if kind == "wrong_answer" else rng.randrange(len(lines) - 1)
        text = CORRUPTIONS[kind](problem, lines, at, rng)
        if text is None:
            continue
        planted += 1
        judged = check_steps(problem.metadata, [*lines[:at], text, *lines[at + 1 :]])
        assert first_error(judged) == at, (problem.prompt, lines, text)
        assert judged[at].error_kind == kind, (problem.prompt, lines, text, judged[at])
        assert not judged[at].inherits_error
        assert all(j.right for j in judged[:at])
    assert planted > 60


def test_a_left_out_step_is_told_where_its_result_is_used(problems: list[DemoProblem]) -> None:
    planted, found = 0, Counter[str]()
    for problem in problems:
        lines = reference_solutions(problem, 1, seed=3)[0]
        if problem.n_ops < 3 or problem.family not in ("transfers", "sharing"):
            continue
        result = EQUATION.findall(lines[0])[0][3]
        used = next((i for i, line in enumerate(lines[1:], 1) if result in EQUATION.findall(line)[0][::2]), None)
        if used is None or int(result) < 10 or int(result) in _numbers(problem, []):
            continue
        planted += 1
        judged = check_steps(problem.metadata, lines[1:])
        assert first_error(judged) == used - 1
        found[str(judged[used - 1].error_kind)] += 1
        assert all(j.right or j.error_kind == "skipped_step" for j in judged[used - 1 :]) or found["wrong_quantity"]
    assert planted > 50
    assert found["skipped_step"] > 0.9 * planted, found


def _shop() -> dict:
    """(3 * 20 + 15) / 5 - 4 = 11."""
    b = FactsBuilder()
    three, twenty, fifteen, five, four = (b.given(v) for v in (3, 20, 15, 5, 4))
    made = b.times(three, twenty, say="made")
    pool = b.total([made, fifteen], say="sum")
    share = b.quotient(pool, five, say="share")
    return {"facts": b.build(b.total([share, four], [1, -1], say="has")).to_json()}


def _kinds(*steps: str) -> list[str]:
    judged = check_steps(_shop(), steps)
    return [(j.error_kind or j.verdict) + ("+inherits" if j.inherits_error else "") for j in judged]


@pytest.mark.parametrize(
    ("steps", "kinds"),
    [
        (["3 * 20 = 60", "60 + 15 = 75", "75 / 5 = 15", "15 - 4 = 11", r"\boxed{11}"], ["right"] * 5),
        (["20 * 3 = 60", "15 / 5 = 3", "60 / 5 = 12", "12 + 3 = 15", "15 - 4 = 11"], ["right"] * 5),
        (["3 * 20 + 15 = 75", "75 / 5 - 4 = 11", r"So \boxed{11}"], ["right"] * 3),
        (["(3 * 20 + 15) / 5 - 4 = 11. The answer is 11."], ["right"]),
        (["3 * 20 = 60 toys and 60 toys + 15 toys = 75 toys."], ["right"]),
        (["3 x 20 = 60", "75 = 60 + 15", "60 + 15 = 75 = 75"], ["right"] * 3),
        (["3 * 20 = 61", "61 + 15 = 76", "75 / 5 = 15"], ["arithmetic_slip", "inherited+inherits", "skipped_step"]),
        (["3 * 20 = 61", "61 + 15 = 77"], ["arithmetic_slip", "arithmetic_slip+inherits"]),
        (["3 * 20 = 61", "3 * 20 = 60", "60 + 15 = 75"], ["arithmetic_slip", "right", "right"]),
        (["3 + 20 = 23", "23 + 15 = 38", "38 * 5 = 190"],
         ["wrong_operation", "inherited+inherits", "wrong_operation+inherits"]),
        (["3 * 20 = 60", "60 + 20 = 80", "80 / 5 = 16", r"\boxed{16}"],
         ["right", "wrong_quantity", "inherited+inherits", "inherited+inherits"]),
        (["3 * 20 = 60", "60 + 16 = 76"], ["right", "wrong_quantity"]),
        (["60 + 15 = 75"], ["skipped_step"]),
        ([r"The answer is \boxed{11}."], ["skipped_step"]),
        (["3 * 20 = 60", r"The answer is \boxed{60}."], ["right", "wrong_answer"]),
        (["3 * 20 = 60", "20 - 4 = 16"], ["right", "wrong_quantity"]),
        (["Let us think.", "", "   ", "3 * 20 = 60"], ["no_equation", "empty", "empty", "right"]),
        (["3 * * 20 = 60", "= 60", "3 * 20 =", "@@@ ###", r"\boxed{eleven}", r"\boxed{"],
         ["gibberish"] * 4 + ["wrong_answer"] * 2),
        (["3 / 0 = 60"], ["wrong_operation"]),
        (["3 * 20 = 62 = 60"], ["arithmetic_slip"]),
        (["15 - 75 = -60"], ["skipped_step"]),
        (["3 * 20 = 60", "60 / 4 = 15"], ["right", "wrong_quantity"]),
    ],
)  # fmt: skip
def test_by_hand(steps: list[str], kinds: list[str]) -> None:
    assert _kinds(*steps) == kinds


def test_saying_something_again_is_redundant_but_right() -> None:
    judged = check_steps(_shop(), ["3 * 20 = 60", "20 * 3 = 60"])
    assert [j.redundant for j in judged] == [False, True] and all(j.right for j in judged)
    assert [j.value for j in judged] == [60, 60]


def test_a_judgement_does_not_depend_on_later_steps(problems: list[DemoProblem]) -> None:
    for problem in problems[::50]:
        lines = reference_solutions(problem, 1, seed=2)[0]
        lines[0] = EQUATION.sub(r"\1 \2 \3 = 7\4", lines[0])
        whole = check_steps(problem.metadata, lines)
        assert all(check_steps(problem.metadata, lines[:k]) == whole[:k] for k in range(len(lines)))


def test_metadata_of_something_else_is_refused() -> None:
    for bad in ({}, {"facts": {}}, {"facts": {"quantities": [{"value": 1, "op": "sum", "args": [0, 0]}], "target": 0}}):
        with pytest.raises((KeyError, ValueError)):
            check_steps(bad, ["1 + 1 = 2"])
