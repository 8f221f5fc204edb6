"""How many gold answers nobody below a source can read, told before anything is sampled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from support.paper_runs import PaperRun, write_problems
from synthflow.plan import golds
from synthflow.plan.golds import Golds, GoldSample, golds_of
from synthflow.plan.plan import make_plan
from synthflow.plan.planned import policy_identities
from synthflow.spec import Pipeline
from synthflow.stages.source.base import Source

CHOICE = {"use": "verify.choice"}


def read(folder: Path, answers: Sequence[str | None], *verify: dict[str, Any], **source: Any) -> Golds:
    path = folder / "p.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{i}?", "answer": a}) + "\n" for i, a in enumerate(answers)))
    stages: dict[str, Any] = {
        "problems": {"use": "source.jsonl", "path": str(path), **source},
        "rollouts": {"use": "sample", "of": "problems", "n": 2, "max_tokens": 8},
    }
    stages |= {f"v{i}": {"of": "rollouts", **fields} for i, fields in enumerate(verify)}
    pipeline = Pipeline.build("p", stages, {"backend": "transformers", "model": "demo"})
    sample, source = GoldSample(), pipeline["problems"].stage
    assert isinstance(source, Source)
    for batch in source.batches():
        sample.add(batch)
    return golds_of(pipeline, "problems", sample)


def test_they_are_counted_with_three_examples(tmp_path: Path) -> None:
    answers = ["A", "B", "neither", "(C)", "7 or so", None, "who knows", "D", "nobody"]
    found = read(tmp_path, answers, CHOICE, require_answer=False)
    assert (found.problems, found.looked_at, found.unparsable, found.verifiers) == (9, 8, 4, ("choice",))
    assert len(found.examples) == 3
    assert {example.answer for example in found.examples} < {"neither", "7 or so", "who knows", "nobody"}
    assert all("no letter" in example.why for example in found.examples)
    assert found.note() == "4 of 8 gold answers cannot be read by choice"


def test_what_one_stage_can_read_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, ["A", "neither"], CHOICE, {"use": "verify.exact"}).note() == ""
    found = read(tmp_path, ["A", "neither", "(("], CHOICE, {"use": "verify.regex"})
    assert [example.answer for example in found.examples] == ["(("]
    assert found.note() == "1 of 3 gold answers cannot be read by choice or regex"


def test_a_stage_that_reads_no_gold_answers_hides_nothing(tmp_path: Path) -> None:
    answers = ["A", "neither"]
    form = {"use": "verify.format"}
    assert read(tmp_path, answers, CHOICE, form).unparsable == 1
    assert read(tmp_path, answers, form) == Golds(2)
    assert read(tmp_path, answers, {"use": "verify.cascade", "steps": ["choice", "exact"]}).unparsable == 0
    veto = {"use": "verify.veto", "main": "choice", "vetoes": ["format"]}
    assert read(tmp_path, answers, veto).unparsable == 1


def test_json_and_math_say_what_they_cannot_read(tmp_path: Path) -> None:
    found = read(tmp_path, ['{"a": 1}', "{a: 1}"], {"use": "verify.json", "equal_to_gold": True})
    assert [example.answer for example in found.examples] == ["{a: 1}"]
    found = read(tmp_path, ["7", "9" * 5000], {"use": "verify.math"})
    assert found.unparsable == 1 and len(found.examples[0].answer) == 100


def test_tests_of_programs_are_read_too(tmp_path: Path) -> None:
    tests = ['{"inputs": ["1"], "outputs": ["2"]}', '{"inputs": ["1"]}', "no tests"]
    found = read(tmp_path, [*tests, None], {"use": "verify.code"}, require_answer=False)
    assert (found.looked_at, found.unparsable, found.verifiers) == (4, 3, ("code",))
    both = read(tmp_path, [*tests, None], {"use": "verify.code"}, {"use": "verify.math"}, require_answer=False)
    assert both.unparsable == 2, "to math, 'no tests' are words"


def test_of_many_a_sample_is_looked_at_and_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golds, "MOST", 300)
    answers = (["A"] * 3 + ["neither"]) * 500
    found = read(tmp_path, answers, CHOICE)
    assert (found.problems, found.looked_at) == (2000, 300)
    assert 45 <= found.unparsable <= 105, "a quarter of them, give or take four standard errors"
    assert found.note() == f"{found.unparsable} of 300 gold answers looked at (of 2,000) cannot be read by choice"


def test_a_plan_looks_while_verdicts_are_owed_and_not_once_all_are_given(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    path = write_problems(tmp_path / "problems.jsonl", {f"{i}?": "A" if i else "neither" for i in range(5)})
    stages: dict[str, dict[str, Any]] = {
        "problems": {"use": "source.jsonl", "path": str(path)},
        "rollouts": {"use": "sample", "of": "problems", "n": 1},
        "verdicts": {"use": "verify.choice", "of": "rollouts"},
    }
    run = PaperRun(tmp_path / "run")
    policy = {"backend": "transformers", "model": "demo"}
    pipeline = Pipeline.build("paper", stages, policy, execution={"partition_size": 2})
    run.identities = policy_identities(pipeline)
    assert make_plan(pipeline, run.root).golds["problems"].unparsable == 1
    run.finish(stages)
    assert make_plan(pipeline, run.root).golds == {}
    stages["also"] = {"use": "verify.choice", "of": "rollouts", "truncated": "wrong"}
    pipeline = Pipeline.build("paper", stages, policy, execution={"partition_size": 2})
    found = make_plan(pipeline, run.root).golds["problems"]
    assert (found.problems, found.unparsable) == (5, 1), "told from the run's own shards: the file is not read again"
