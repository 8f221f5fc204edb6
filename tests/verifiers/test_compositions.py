"""Compositions ask what they need, keep what was said, and are checked where they are written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthflow import registry
from synthflow.contracts import Judgement, Question, Verifier, VerifierConfig
from synthflow.errors import InvariantBroken, Mistakes
from synthflow.spec import Pipeline
from synthflow.verifiers.opening import open_verifier
from synthflow.verifiers.workers import sharing as lending

LOG: list[tuple[str, str]] = []
VERDICTS = {"c": ("correct", 1.0), "w": ("wrong", 0.0)}


class Scripted(Verifier):
    """Says what the completion has at its place: `cw` is correct for the first and wrong for the second."""

    name, version, needs_answer = "scripted", "3", False

    class Config(VerifierConfig):
        place: int = 0

    def judge(self, questions: Sequence[Question]) -> list[Judgement]:
        LOG.extend((str(self.config.place), q.completion) for q in questions)
        letters = [q.completion[self.config.place] for q in questions]
        return [
            Judgement(*VERDICTS[letter], None, letter) if letter in VERDICTS else Judgement.unknown("no_idea")  # type: ignore[arg-type]
            for letter in letters
        ]


class NeedsGold(Scripted):
    name, version, needs_answer = "gold", "1", True


class Lossy(Scripted):
    name = "lossy"

    def judge(self, questions: Sequence[Question]) -> list[Judgement]:
        return []


class Entry:
    dist = None

    def __init__(self, value: Any) -> None:
        self.value = value

    def load(self) -> Any:
        return self.value


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    real = registry._entries
    ours = {"scripted": Entry(Scripted), "gold": Entry(NeedsGold), "lossy": Entry(Lossy)}
    monkeypatch.setattr(registry, "_entries", lambda kind: real(kind) | (ours if kind == "verifiers" else {}))
    LOG.clear()


def step(place: int) -> dict[str, Any]:
    return {"use": "scripted", "place": place}


def ask(name: str, config: dict[str, Any], *completions: str, **fields: Any) -> list[Judgement]:
    verifier = open_verifier(name, config)
    said = verifier.judge([Question(f"r{i}", "p", text, "4", **fields) for i, text in enumerate(completions)])
    verifier.close()
    return said


def test_a_cascade_asks_the_dear_one_only_where_the_cheap_one_is_unknown() -> None:
    said = ask("cascade", {"steps": [step(0), step(1)]}, "cw", "uw", "wc", "uu")
    assert [j.verdict for j in said] == ["correct", "wrong", "wrong", "unknown"]
    assert LOG == [("0", "cw"), ("0", "uw"), ("0", "wc"), ("0", "uu"), ("1", "uw"), ("1", "uu")]
    assert [[p.verdict for p in j.parts] for j in said] == [
        ["correct"],
        ["unknown", "wrong"],
        ["wrong"],
        ["unknown"] * 2,
    ]
    assert said[0].detail == "c" and said[3].reason == "no_idea"


def test_a_consensus_stops_where_it_cannot_agree_any_more() -> None:
    said = ask("consensus", {"components": [step(0), step(1), step(2)]}, "ccc", "cwc", "ucc", "www")
    assert [j.verdict for j in said] == ["correct", "unknown", "unknown", "wrong"]
    assert ("1", "ucc") not in LOG and ("2", "cwc") not in LOG and ("2", "ccc") in LOG


def test_a_veto_is_asked_first_and_spares_the_main_verifier() -> None:
    said = ask("veto", {"main": step(0), "vetoes": [step(1)]}, "cw", "cc", "uw", "wu", "cu")
    assert [(j.verdict, j.reason) for j in said] == [
        ("wrong", "vetoed: scripted"), ("correct", None), ("wrong", "vetoed: scripted"), ("wrong", None),
        ("unknown", "veto_unknown"),
    ]  # fmt: skip
    assert [text for place, text in LOG if place == "0"] == ["cc", "wu", "cu"]


def test_a_blend_weighs() -> None:
    config = {"components": [step(0), step(1)], "weights": [3, 1], "correct_from": 0.7, "wrong_below": 0.3}
    assert [j.value for j in ask("blend", config, "cw", "wc", "uc")] == [0.75, 0.25, None]
    assert ("1", "uc") not in LOG
    assert [j.value for j in ask("blend", config | {"unknown": "skip"}, "uc")] == [1.0]


def test_a_route_asks_one_verifier_a_problem() -> None:
    config: dict[str, Any] = {"routes": {"math": step(0), "code": step(1)}}
    questions = [Question("r", "p", "cw", None, domain=domain) for domain in ("math", "code", "law", None)]
    route = open_verifier("route", config)
    said = route.judge(questions)
    assert [(j.verdict, j.reason) for j in said] == [
        ("correct", None), ("wrong", None), ("unknown", "no_route"), ("unknown", "no_route"),
    ]  # fmt: skip
    assert [j.verdict for j in open_verifier("route", config | {"default": step(1)}).judge(questions)][2:] == [
        "wrong"
    ] * 2
    by_field = open_verifier("route", {"by": "metadata.kind", "routes": {"7": step(0)}})
    assert by_field.judge([Question("r", "p", "c", None, '{"kind": 7}')])[0].verdict == "correct"
    for metadata in ("{}", "[7]", "no json"):
        assert by_field.judge([Question("r", "p", "c", None, metadata)])[0].reason == "no_route"


def test_compositions_compose_and_keep_every_part() -> None:
    inner = {"use": "cascade", "steps": [step(0), step(1)]}
    (said,) = ask("consensus", {"components": [inner, step(2)]}, "ucc")
    assert said.verdict == "correct"
    assert [(p.scorer, p.verdict) for p in said.parts] == [
        ("cascade", "correct"), ("scripted", "unknown"), ("scripted", "correct"), ("scripted", "correct"),
    ]  # fmt: skip
    assert {p.scorer_version for p in said.parts} == {"3", "1+(scripted 3)+(scripted 3)"}
    assert len({p.config_hash for p in said.parts}) == 4


def test_a_part_is_what_the_verifier_alone_would_have_written() -> None:
    from synthflow.ids import content_id

    (said,) = ask("cascade", {"steps": ["exact", step(0)]}, r"c \boxed{4}")
    alone = open_verifier("exact")
    assert said.parts[0].config_hash == content_id("c", "exact", alone.config)
    assert said.parts[0].scorer_version == alone.full_version()


def test_a_component_that_needs_gold_is_not_asked_without() -> None:
    cascade = open_verifier("cascade", {"steps": ["gold", step(1)]})
    (said,) = cascade.judge([Question("r", "p", "uc", None)])
    assert said.verdict == "correct" and LOG == [("1", "uc")]
    assert (said.parts[0].verdict, said.parts[0].reason) == ("unknown", "no_gold")


def test_a_component_that_loses_questions_is_caught() -> None:
    with pytest.raises(InvariantBroken, match="'lossy': 1 questions, 0 judgements"):
        ask("cascade", {"steps": ["lossy", step(0)]}, "c")


def mistakes(tmp_path: Any, **stage: Any) -> str:
    (tmp_path / "p.jsonl").write_text('{"prompt": "2 + 2?", "answer": "4"}\n')
    stages = {
        "problems": {"use": "source.jsonl", "path": "p.jsonl"},
        "rollouts": {"use": "sample", "of": "problems", "n": 1},
        "checked": {"use": "verify.exact", "of": "rollouts"},
        "verdicts": {"of": "checked", **stage},
    }
    policy = {"backend": "transformers", "model": "demo"}
    with pytest.raises(Mistakes) as told:
        Pipeline.build("x", stages, policy, base_dir=tmp_path)
    return str(told.value)


def test_mistakes_of_components_stand_at_their_fields(tmp_path: Any) -> None:
    steps = [{"use": "math", "timeout": 3}, {"use": "exakt"}, {"use": "math", "timeout_s": -1}, {"extract": "all"}]
    told = mistakes(tmp_path, use="verify.cascade", steps=[*steps, "verify.combine", 7])
    assert "stages.verdicts.steps[0].timeout: no such field (did you mean 'timeout_s'?)" in told
    assert (
        "stages.verdicts.steps[1].use: 'exakt' is not right (expected the name of a verifier; did you mean 'exact'?)"
        in told
    )
    assert "stages.verdicts.steps[2].timeout_s: -1 is not right (expected more than 0.0)" in told
    assert "stages.verdicts.steps[3].use: missing" in told
    assert "this one is a stage of its own: combine its verdicts with verify.combine" in told
    assert "stages.verdicts.steps[5]: 7 is not right (expected the name of a verifier, or {use: NAME, ...})" in told
    assert told.startswith("6 mistakes")


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ({"use": "verify.cascade", "steps": ["math"]}, "at least 2 of them"),
        ({"use": "verify.cascade", "steps": ["math", "math"]}, "math stands twice"),
        ({"use": "verify.veto", "main": "math", "vetoes": ["math"]}, "math stands twice"),
        ({"use": "verify.blend", "components": ["math", "exact"], "weights": [1]}, "1 numbers for 2 components"),
        ({"use": "verify.blend", "components": ["math", "exact"], "weights": [1, 0]}, "positive numbers"),
        ({"use": "verify.route", "routes": {"math": {"use": "math", "worker": 2}}}, "math.worker: no such field"),
        ({"use": "verify.route", "by": "subject", "routes": {"a": "math"}}, "stages.verdicts.by"),
        ({"use": "verify.combine", "rule": "veto", "verdicts": ["a", "checked"]}, "'a' is not a verify stage above"),
        ({"use": "verify.combine", "rule": "blend", "verdicts": ["a", "b"]}, "weights belong to rule: blend"),
        (
            {"use": "verify.veto", "vetoes": ["exact"], "main": {"use": "cascade", "steps": [{"use": "maths"}, "x"]}},
            "stages.verdicts.main.steps[0].use: 'maths' is not right",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_composed(tmp_path: Any, stage: dict[str, Any], said: str) -> None:
    assert said in mistakes(tmp_path, **stage)


def test_the_docs_compose(tmp_path: Any) -> None:
    text = (Path(__file__).parents[2] / "docs" / "compositions.md").read_text()
    shown = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])
    (tmp_path / "p.jsonl").write_text('{"prompt": "2 + 2?", "answer": "4"}\n')
    stages = {
        "problems": {"use": "source.jsonl", "path": "p.jsonl"},
        "rollouts": {"use": "sample", "of": "problems", "n": 1},
        **shown,
    }
    pipeline = Pipeline.build("x", stages, {"backend": "transformers", "model": "demo"}, base_dir=tmp_path)
    assert {node.use for node in pipeline.nodes} >= {
        f"verify.{name}" for name in ("cascade", "consensus", "veto", "blend")
    }
    again = yaml.safe_load(pipeline.to_yaml())
    assert Pipeline.build("x", again["stages"], again["policies"]["default"], base_dir=tmp_path).resolved() == again


def test_components_are_opened_once_in_a_process_and_closed_with_their_last_user() -> None:
    def users() -> list[int]:
        return [lent.users for key, lent in sorted(lending._lent.items()) if any(f":{n}" in key for n in (20, 21, 22))]

    one = open_verifier("cascade", {"steps": [step(20), step(21)]})
    two = open_verifier("consensus", {"components": [step(21), step(22)]})
    for verifier in (one, two):
        verifier.judge([Question("r", "p", "c" * 20 + "ucc", "4")])
    assert users() == [1, 2, 1]
    one.close()
    one.close()
    assert users() == [1, 1]
    two.close()
    assert users() == []
