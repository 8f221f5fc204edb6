"""Problems and reference solutions of the demo world."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections import Counter

import pytest

from synthflow.demo import DemoProblem, generate_problems, heldout_path, reference_solutions
from synthflow.demo.heldout import render, size
from synthflow.demo.world import FAMILIES
from synthflow.demo.world_facts import Facts
from synthflow.demo.world_words import NAMES, OBJECTS, PROMPT_LINES, pair_is_heldout

WORD = re.compile(r"\{[a-z]+\}|[A-Za-z]+")


@pytest.fixture(scope="module")
def train() -> list[DemoProblem]:
    return list(generate_problems(2240, seed=1, split="train"))


@pytest.fixture(scope="module")
def heldout() -> list[dict]:
    return [json.loads(line) for line in heldout_path().read_text(encoding="utf-8").splitlines()]


def test_same_arguments_same_problems_and_no_global_randomness() -> None:
    random.seed(1)
    first = list(generate_problems(100, seed=3, split="train"))
    state = random.getstate()
    assert list(generate_problems(100, seed=3, split="train")) == first
    assert random.getstate() == state
    assert list(generate_problems(50, seed=3, split="train")) == first[:50]
    assert list(generate_problems(50, seed=4, split="train")) != first[:50]


def test_balanced_over_operations_and_families(train: list[DemoProblem]) -> None:
    assert set(Counter((p.n_ops, p.family) for p in train).values()) == {2240 // (8 * len(FAMILIES))}
    assert len({p.prompt for p in train}) == len(train)


def test_every_given_number_is_in_the_prompt_and_the_metadata_is_json(train: list[DemoProblem]) -> None:
    for p in train:
        numbers = Counter(re.findall(r"\d+", p.prompt))
        facts = Facts.from_json(json.loads(json.dumps(p.metadata))["facts"])
        assert Counter(str(q.value) for q in facts.quantities if q.op == "given") == numbers, p.prompt
        assert facts.to_json() == p.metadata["facts"]
        assert p.answer == str(facts.gold) and p.n_ops == facts.n_ops == p.metadata["n_ops"]


def test_solutions_differ_and_every_equation_is_true(train: list[DemoProblem]) -> None:
    equation = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
    apply = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "/": int.__floordiv__}
    many = 0
    for p in train[::4]:
        solutions = reference_solutions(p, 6, seed=0)
        assert reference_solutions(p, 6, seed=0) == solutions
        shapes = set()
        for lines in solutions:
            assert len(lines) == p.n_ops + 1 and lines[-1] == f"The answer is \\boxed{{{p.answer}}}."
            found = [equation.findall(line) for line in lines[:-1]]
            assert all(len(f) == 1 for f in found)
            for ((a, op, b, c),) in found:
                assert apply[op](int(a), int(b)) == int(c) >= 0
                assert op != "/" or int(a) % int(b) == 0
            shapes.add(tuple(f[0] for f in found))
        many += p.n_ops >= 3 and len(shapes) > 1
    assert many > 0.9 * sum(p.n_ops >= 3 for p in train[::4])


def test_bad_arguments_are_refused() -> None:
    for kwargs in ({"ops": (9,)}, {"ops": (0,)}, {"ops": ()}, {"families": ("chess",)}, {"split": "test"}):
        with pytest.raises(ValueError):
            list(generate_problems(3, **{"seed": 0, "split": "train", **kwargs}))
    assert list(generate_problems(0, seed=0, split="train")) == []


def test_the_shipped_file_is_what_its_script_makes(heldout: list[dict]) -> None:
    assert heldout_path().read_text(encoding="utf-8") == render()
    assert len(heldout) == size("short") >= 480
    assert all(list(r) == ["prompt", "answer", "source", "domain", "metadata"] for r in heldout)
    assert set(Counter((r["metadata"]["n_ops"], r["metadata"]["family"]) for r in heldout).values()) == {10}


def test_pools_of_the_two_splits_are_disjoint_but_share_their_vocabulary() -> None:
    vocabulary = {w for pool, _ in PROMPT_LINES.values() for s in pool for w in WORD.findall(s)}
    assert not {s for a, _ in PROMPT_LINES.values() for s in a} & {s for _, b in PROMPT_LINES.values() for s in b}
    for slot, (_, pool) in PROMPT_LINES.items():
        unseen = {w for s in pool for w in WORD.findall(s)} - vocabulary
        assert not unseen, (slot, unseen)


def _patterns_of(prompt: str) -> set[str]:
    """Sentences with names, objects, containers and numbers blanked: an oracle that shares no code with the split."""
    blank = re.sub(r"\b(?:" + "|".join(NAMES) + r")\b", "N", prompt)
    blank = re.sub(r"\b(?:" + "|".join(OBJECTS) + r")\b", "O", blank)
    blank = re.sub(r"\b(?:bags|baskets|crates)\b", "boxes", blank)
    blank = re.sub(r"N(?:, N)* and N", "G", blank)
    return set(re.findall(r"[^.?]+[.?]", re.sub(r"\d+", "0", blank).replace(". ", ".")))


def test_the_split_is_honest(train: list[DemoProblem], heldout: list[dict]) -> None:
    held_patterns = set().union(*(_patterns_of(r["prompt"]) for r in heldout))
    train_patterns = set().union(*(_patterns_of(p.prompt) for p in train))
    assert len(train_patterns) > 80 and len(held_patterns) > 40
    assert not held_patterns & train_patterns
    assert not {p.template for p in train} & {r["metadata"]["template"] for r in heldout}
    sides = {"train": [p.prompt for p in train], "heldout": [r["prompt"] for r in heldout]}
    for side, prompts in sides.items():
        for prompt in prompts:
            names = [n for n in NAMES if re.search(rf"\b{n}\b", prompt)]
            objects = [o for o in OBJECTS if re.search(rf"\b{o}\b", prompt)]
            assert all(pair_is_heldout(n, o) == (side == "heldout") for n in names for o in objects), prompt


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "tokenizers", "numpy")
    code = f"import sys, synthflow.demo; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
