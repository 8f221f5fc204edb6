"""reasoning-gym's scorers judge in killable workers, none of them evaluates an answer, and its problems come in."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synthflow.contracts import Question, Verifier
from synthflow.errors import Mistakes, UserError
from synthflow.spec import Pipeline
from synthflow.stages.adapters import stage_class
from synthflow.verifiers.opening import open_verifier

gym = pytest.importorskip("reasoning_gym")


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    opened = open_verifier("reasoning_gym", {"timeout_s": 10})
    yield opened
    opened.close()


def source(*datasets: Any, **fields: Any) -> Any:
    cls = stage_class("source.reasoning_gym")
    return cls("problems", cls.Config.model_validate({"use": "source.reasoning_gym", "datasets": datasets, **fields}))


def question(problem: dict[str, Any], completion: str) -> Question:
    prompt = tuple((m["role"], m["content"]) for m in problem["prompt"])
    return Question("r", problem["problem_id"], completion, problem["answer"], problem["metadata"], prompt)


@pytest.fixture(scope="module")
def problems() -> list[dict[str, Any]]:
    wanted = [
        "chain_sum",
        {"name": "countdown", "size": 2},
        {"name": "rearc", "size": 1},
        {"name": "n_queens", "size": 1},
    ]
    wanted += [
        {"name": "polynomial_multiplication", "size": 1},
        {"name": "leg_counting", "min_animals": 2, "max_animals": 2},
    ]
    return [row for batch in source(*wanted, size=3, seed=7).batches() for row in batch.to_pylist()]


def test_the_source_brings_what_the_scorer_needs(problems: list[dict[str, Any]], verifier: Verifier) -> None:
    assert [p["source"].removeprefix("reasoning-gym/") for p in problems] == (
        ["chain_sum"] * 3
        + ["countdown"] * 2
        + ["rearc", "n_queens", "polynomial_multiplication"]
        + ["leg_counting"] * 3
    )
    assert {p["domain"] for p in problems} == {"arithmetic", "games", "arc", "algebra"}
    assert json.loads(problems[-1]["metadata"])["reasoning_gym"] == {
        "dataset": "leg_counting", "parameters": {"max_animals": 2, "min_animals": 2},
    }  # fmt: skip
    said = verifier.judge([question(p, f"<think>hm</think> <answer>{p['answer']}</answer>") for p in problems])
    assert [(j.verdict, j.value) for j in said] == [("correct", 1.0)] * len(problems)
    boxed = verifier.judge([question(p, rf"so \boxed{{{p['answer']}}}") for p in problems[:3]])
    assert [j.verdict for j in boxed] == ["correct"] * 3
    assert "reasoning-gym" in verifier.full_version()


def test_the_same_seed_gives_the_same_problems(problems: list[dict[str, Any]]) -> None:
    again = [row for batch in source("chain_sum", size=3, seed=7).batches() for row in batch.to_pylist()]
    assert again == problems[:3]
    other = [row for batch in source("chain_sum", size=3, seed=1000).batches() for row in batch.to_pylist()]
    assert {p["problem_id"] for p in other}.isdisjoint(p["problem_id"] for p in again)


def test_partial_credit_is_a_value_and_no_verdict(problems: list[dict[str, Any]], verifier: Verifier) -> None:
    asked = question(problems[0], f"<answer>{problems[0]['answer']} or so</answer>")
    (said,) = verifier.judge([asked])
    assert said.verdict == "wrong" and said.value is not None and 0 < said.value < 1
    lenient = open_verifier("reasoning_gym", {"correct_from": 0.1})
    assert lenient.judge([asked])[0].verdict == "correct"
    lenient.close()


def test_hostile_answers_are_no_code(problems: list[dict[str, Any]], verifier: Verifier, tmp_path: Path) -> None:
    target = tmp_path / "written"
    by_name = {p["source"]: p for p in problems}
    attacks = [
        f"__import__('pathlib').Path({str(target)!r}).touch()",
        "9**9**9**9**9",
        "((" * 5000,
        "'a' * 10**10",
        "\ud800",
    ]
    asked = [question(p, f"<answer>{text}</answer>") for p in by_name.values() for text in attacks]
    said = verifier.judge(asked)
    assert not target.exists()
    assert {j.verdict for j in said} <= {"wrong", "unknown"}
    right = question(problems[0], f"<answer>{problems[0]['answer']}</answer>")
    assert verifier.judge([right])[0].verdict == "correct"


@pytest.mark.parametrize(
    ("completion", "metadata", "reason"),
    [
        ("", None, "empty"), ("no answer here", None, "parse_failure"), ("<answer></answer>", None, "parse_failure"),
        (f"<answer>{'1' * 30_000}</answer>", None, "too_large"), ("<answer>1</answer>", "{}", "gold_unparsable"),
        ("<answer>1</answer>", '{"source_dataset": "no_such"}', "gold_unparsable"),
        ("<answer>1</answer>", "no json", "gold_unparsable"),
    ],
)  # fmt: skip
def test_unknowns(
    problems: list[dict[str, Any]], verifier: Verifier, completion: str, metadata: str | None, reason: str
) -> None:
    problem = problems[0] if metadata is None else problems[0] | {"metadata": metadata}
    (said,) = verifier.judge([question(problem, completion)])
    assert (said.verdict, said.reason) == ("unknown", reason)


def test_every_way_from_an_answer_to_code_is_known() -> None:
    """Calls of eval, exec and SymPy's parsers: a new version with others must be read again."""
    found = set()
    root = Path(gym.__file__).parent
    words = ("eval", "exec", "parse_expr", "sympify", "literal_eval", "interpret")
    texts = {path: path.read_text() for path in root.rglob("*.py")}
    for path in [path for path, text in texts.items() if any(f"{word}(" in text for word in words)]:
        for node in ast.walk(ast.parse(texts[path])):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in words:
                    owner = getattr(getattr(node.func, "value", None), "id", "")
                    found.add((str(path.relative_to(root)), f"{owner}.{name}".lstrip(".")))
    assert found == {
        # on answers: replaced by safe_expr
        ("algorithmic/string_insertion.py", "eval"), ("algorithmic/spiral_matrix.py", "eval"),
        ("algorithmic/binary_matrix.py", "eval"), ("games/n_queens.py", "eval"),
        ("algebra/simple_integration.py", "sympy.parse_expr"),
        ("algebra/intermediate_integration.py", "sympy.parse_expr"),
        ("algebra/polynomial_multiplication.py", "sp.parse_expr"), ("games/puzzle24.py", "parse_expr"),
        ("games/countdown.py", "parse_expr"),
        # on what the generator wrote itself, or a parser of its own
        ("algorithmic/number_sorting.py", "eval"), ("arithmetic/gsm_symbolic/generators_50_99.py", "eval"),
        ("arithmetic/gsm_symbolic/generators_00_49.py", "eval"), ("arithmetic/bitwise_arithmetic.py", "eval"),
        ("arithmetic/basic_arithmetic.py", "eval"), ("logic/propositional_logic.py", "parse_expr"),
        ("code/codeio.py", "exec"), ("code/bf.py", "bfi.interpret"),
    }  # fmt: skip


def test_mistakes_are_told_with_the_right_name(tmp_path: Path) -> None:
    stages = {
        "problems": {
            "use": "source.reasoning_gym",
            "datasets": [
                "chain_sums",
                {"name": "chain_sum", "max_term": 3},
                {"name": "gcd", "min_numbers": -1},
                "codeio",
            ],
        }
    }
    with pytest.raises(Mistakes) as told:
        Pipeline.build("x", stages, base_dir=tmp_path)
    text = str(told.value)
    assert "reasoning-gym has no data set 'chain_sums' (did you mean 'chain_sum'?)" in text
    assert "chain_sum has no such parameter (did you mean 'max_terms'?)" in text
    assert "stages.problems.datasets[2]: gcd refuses its parameters" in text
    assert "stages.problems.datasets[3].name: codeio does not give the same problems twice" in text


def test_a_generator_that_fails_stops_with_its_name() -> None:
    broken = source({"name": "composite", "datasets": [{"name": "gcd"}]}, size=2)
    with pytest.raises(UserError, match="the generator of composite failed"):
        list(broken.batches())


@pytest.mark.long
def test_every_data_set_gives_the_same_problems_again_and_scores_its_own_answers() -> None:
    from reasoning_gym.factory import DATASETS

    names = sorted(set(DATASETS) - {"composite", "codeio"})
    rows, again = ([row for b in source(*names, size=2, seed=5).batches() for row in b.to_pylist()] for _ in range(2))
    assert rows == again
    answered = [row for row in rows if row["answer"] is not None]
    opened = open_verifier("reasoning_gym", {"timeout_s": 60, "extract": "all"})
    said = opened.judge([question(row, row["answer"]) for row in answered])
    opened.close()
    missed = {row["source"] for row, j in zip(answered, said, strict=True) if j.verdict != "correct"}
    # An answer with an unevaluated Integral in it, which is no expression here.
    assert missed <= {"reasoning-gym/intermediate_integration"}
