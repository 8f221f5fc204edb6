"""The long world: eight to sixteen easy steps, judged by the same checker, split as the short world is."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from synthflow.demo import WORLDS, DemoProblem, check_steps, generate_problems, heldout_path, reference_solutions
from synthflow.demo.heldout import render, size
from synthflow.demo.train_data import MIXTURES, example_text
from synthflow.demo.world import make_problem
from synthflow.demo.world_facts import Facts
from synthflow.demo.world_words import NAMES, OBJECTS, pair_is_heldout

EQUATION = re.compile(r"(\d+) ([-+]) (\d+) = (\d+)")


@pytest.fixture(scope="module")
def train() -> list[DemoProblem]:
    return list(generate_problems(540, seed=1, split="train", world="long"))


@pytest.fixture(scope="module")
def heldout() -> list[dict]:
    return [json.loads(line) for line in heldout_path("long").read_text(encoding="utf-8").splitlines()]


def test_balanced_and_as_long_as_they_say(train: list[DemoProblem]) -> None:
    assert set(Counter((p.n_ops, p.family) for p in train).values()) == {540 // (9 * 2)}
    assert len({p.prompt for p in train}) == len(train)
    for p in train:
        facts = Facts.from_json(json.loads(json.dumps(p.metadata))["facts"])
        given = Counter(str(q.value) for q in facts.quantities if q.op == "given")
        assert given == Counter(re.findall(r"\d+", p.prompt)), p.prompt
        assert p.n_ops == facts.n_ops == p.metadata["n_ops"] and p.answer == str(facts.gold)
        assert p.to_row()["source"] == "synthflow-demo-long"


def test_the_checker_calls_every_step_of_a_reference_solution_right(train: list[DemoProblem]) -> None:
    for p in train[::5]:
        for lines in reference_solutions(p, 3, seed=0):
            assert len(lines) == p.n_ops + 1
            assert all(j.right and not j.redundant for j in check_steps(p.metadata, lines)[:-1])
            assert check_steps(p.metadata, lines)[-1].right


def _spoil(line: str, how: str) -> str:
    left, op, right, _ = EQUATION.search(line).groups()  # type: ignore[union-attr]
    a, b = int(left), int(right)
    if how == "slip":
        return EQUATION.sub(f"{a} {op} {b} = {a + b + 1 if op == '+' else a - b + 1}", line)
    other = "-" if op == "+" else "+"
    return EQUATION.sub(f"{a} {other} {b} = {a + b if other == '+' else a - b}", line)


@pytest.mark.parametrize(
    ("how", "kinds"), [("slip", {"arithmetic_slip"}), ("sign", {"wrong_operation", "skipped_step"})]
)
def test_a_spoilt_step_is_the_first_wrong_one_and_what_follows_inherits(
    train: list[DemoProblem], how: str, kinds: set[str]
) -> None:
    later: Counter[str | None] = Counter()
    for p in train[::9]:
        lines = reference_solutions(p, 1, seed=1)[0]
        at = p.n_ops // 2
        before, _, x, _ = EQUATION.search(lines[at]).groups()  # type: ignore[union-attr]
        if how == "sign" and int(before) <= int(x):
            continue
        spoilt = [*lines[:at], _spoil(lines[at], how)]
        value = int(EQUATION.search(spoilt[-1]).group(4))  # type: ignore[union-attr]
        for line in lines[at + 1 : -1]:  # goes on in good faith from the wrong balance
            _, op, x, _ = EQUATION.search(line).groups()  # type: ignore[union-attr]
            after = value + int(x) if op == "+" else value - int(x)
            spoilt.append(EQUATION.sub(f"{value} {op} {x} = {after}", line))
            value = after
        judged = check_steps(p.metadata, spoilt)
        assert [j.verdict for j in judged[:at]] == ["right"] * at
        assert judged[at].verdict == "wrong" and judged[at].error_kind in kinds, (spoilt[at], p.prompt)
        later.update(j.error_kind for j in judged[at + 1 :])
    # Now and then a balance agrees with one that the problem has: then the reading in favour of the step counts.
    assert later["inherited"] > 0.8 * later.total() > 0


def test_an_event_twice_or_one_that_never_was_is_wrong(train: list[DemoProblem]) -> None:
    for p in train[::9]:
        lines = reference_solutions(p, 1, seed=2)[0]
        balance = int(EQUATION.search(lines[2]).group(4))  # type: ignore[union-attr]
        absent = next(x for x in range(26, 99) if not re.search(rf"\b{x}\b", p.prompt))
        judged = check_steps(p.metadata, [*lines[:3], f"Then Anna: {balance} + {absent} = {balance + absent}."])
        assert judged[-1].verdict == "wrong"
    # Left out is no wrong equation: the answer is where it shows.
    lines = reference_solutions(train[0], 1, seed=2)[0]
    total = EQUATION.search(lines[-3]).group(4)  # type: ignore[union-attr]
    judged = check_steps(train[0].metadata, [*lines[:-2], f"The answer is \\boxed{{{total}}}."])
    assert [j.right for j in judged] == [True] * (len(judged) - 1) + [False]


def test_the_split_is_honest(train: list[DemoProblem], heldout: list[dict]) -> None:
    def patterns(prompt: str) -> set[str]:
        blank = re.sub(r"\b(?:" + "|".join(NAMES) + r")\b", "N", prompt)
        blank = re.sub(r"\b(?:" + "|".join(OBJECTS) + r")\b", "O", blank)
        return set(re.findall(r"[^.?]+[.?]", re.sub(r"\d+", "0", blank).replace(". ", ".")))

    trained = set().union(*(patterns(p.prompt) for p in train))
    held = set().union(*(patterns(r["prompt"]) for r in heldout))
    assert len(trained) == 30 and len(held) == 20 and not trained & held
    assert not {p.template for p in train} & {r["metadata"]["template"] for r in heldout}
    sides = {"train": [p.prompt for p in train], "heldout": [r["prompt"] for r in heldout]}
    pairs = 0
    for side, prompts in sides.items():
        for sentence in (s for prompt in prompts for s in prompt.split(". ")):
            for name in (n for n in NAMES if re.search(rf"\b{n}\b", sentence)):
                for obj in (o for o in OBJECTS if re.search(rf"\b{o}\b", sentence)):
                    pairs += 1
                    assert pair_is_heldout(name, obj) == (side == "heldout"), sentence
    assert pairs == sum(p.n_ops for p in train) + sum(r["metadata"]["n_ops"] for r in heldout)


def test_the_shipped_file_is_what_its_script_makes(heldout: list[dict]) -> None:
    assert heldout_path("long").read_text(encoding="utf-8") == render("long")
    assert len(heldout) == size("long") == 216
    assert set(Counter((r["metadata"]["n_ops"], r["metadata"]["family"]) for r in heldout).values()) == {12}


def test_worlds_share_no_family_and_refuse_what_they_do_not_have() -> None:
    assert not WORLDS["short"].families.keys() & WORLDS["long"].families.keys()
    for kwargs in ({"ops": (7,)}, {"ops": (17,)}, {"families": ("transfers",)}, {"world": "flat"}):
        with pytest.raises(ValueError):
            list(generate_problems(2, **{"seed": 0, "split": "train", "world": "long", **kwargs}))
    with pytest.raises(ValueError, match="family"):
        make_problem(family="chess", n_ops=8, split="train", key="0")


def test_training_examples_of_the_long_world_depend_on_their_place_only() -> None:
    rows = [example_text(0, 5, row, "long") for row in range(MIXTURES["long"].size)]
    assert rows == [example_text(0, 5, row, "long") for row in range(MIXTURES["long"].size)]
    assert all(9 <= len(solution.split("\n")) <= 17 for _, solution in rows)
