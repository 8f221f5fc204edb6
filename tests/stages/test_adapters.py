"""A verify or filter stage writes one score a rollout, or one row in rejects for a continuation."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from pydantic import Field, field_validator

from support.stages import stage_info
from synthflow import registry
from synthflow.contracts import (
    Filter,
    FilterConfig,
    Judgement,
    MemoryInputs,
    Part,
    Question,
    Verifier,
    VerifierConfig,
)
from synthflow.errors import InvariantBroken, UserError
from synthflow.schema import PROBLEMS, ROLLOUTS
from synthflow.stages.adapters import FilterStage, VerifyStage, all_stage_names, stage_class


class Same(Verifier):
    """Correct if the completion is the answer."""

    name, version = "same", "7"

    class Config(VerifierConfig):
        strip: bool = False
        limit: int = Field(3, ge=1)

        @field_validator("limit")
        @classmethod
        def _odd(cls, value: int) -> int:
            if value % 2 == 0:
                raise ValueError("an odd number")
            return value

    def judge(self, questions: Sequence[Question]) -> list[Judgement]:
        return [
            Judgement(
                "correct" if q.completion == q.answer else "wrong", float(q.completion == q.answer), None, "\ud800x"
            )
            for q in questions
        ]


class Short(Filter):
    """Keeps short completions."""

    name, version = "short", "1"

    class Config(FilterConfig):
        most: int = 2

    def judge(self, rollouts: pl.DataFrame) -> pl.DataFrame:
        length = pl.col("completion").str.len_chars()
        return rollouts.select(
            (length <= self.config.most).alias("keep"),
            length.cast(pl.Float64).alias("value"),
            pl.when(length > self.config.most).then(pl.lit("too long")).alias("reason"),
        )


class Clashing(Verifier):
    name, version = "clash", "1"

    class Config(VerifierConfig):
        of: str = ""

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
    known = {"stages": {}, "verifiers": {"same": Same, "clash": Clashing}, "filters": {"short": Short}, "backends": {}}
    monkeypatch.setattr(registry, "_entries", lambda kind: {n: Entry(v) for n, v in known[kind].items()})


class FakeServices:
    stage_id, run_seed, attempt = "st_1", 0, 1

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.counts: dict[str, float] = {}
        self.short_by = 0

    def judge(self, verifier: str, config: Mapping[str, Any], questions: Sequence[Question]) -> Any:
        self.asked = list(questions)
        assert verifier == "same"
        judgements = Same(Same.Config.model_validate(config)).judge(questions)
        return judgements[self.short_by :], "7+lib 1", f"c_{sorted(config.items())}"

    def count(self, **counts: float) -> None:
        self.counts.update(counts)


def rollout(name: str, problem: str, completion: str, finish: str = "stop", condition: str = "none") -> dict[str, Any]:
    zeros = dict.fromkeys(("round", "index", "seed", "turn", "n_tokens"), 0)
    texts = dict.fromkeys(("policy_id", "sampling_id", "prefix_id", "stage_id", "completion_hash"), "x")
    return zeros | texts | {
        "rollout_id": name, "problem_id": problem, "completion": completion, "finish_reason": finish,
        "condition": condition, "prompt": [], "on_policy": True,
    }  # fmt: skip


def problem(name: str, answer: str | None) -> dict[str, Any]:
    return {"problem_id": name, "prompt": [], "answer": answer, "source": "s", "metadata": "{}", "content_hash": "h"}


ROWS = [
    rollout("r1", "p1", "4"),
    rollout("r2", "p1", "5"),
    rollout("r3", "p1", "4", "length"),
    rollout("r4", "p1", "", "refused"),
    rollout("r5", "p2", "4"),
    rollout("r6", "p1", "4", condition="prefix"),
    rollout("r7", "p1", "4", condition="hint"),
]


def inputs(problems: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]] = ROWS) -> MemoryInputs:
    ancestors = [
        stage_info("a", "source.x", ("problems",)),
        stage_info("b", "sample", ("rollouts",), ("a",)),
    ]
    tables: dict[str, dict[str, pa.Table]] = {
        "a": {"problems": PROBLEMS.from_rows(problems)},
        "b": {"rollouts": ROLLOUTS.from_rows(rows)},
    }
    return MemoryInputs(ancestors, ["b"], tables)


PROBLEMS_GIVEN = [problem("p1", "4"), problem("p2", None)]


def verify(services: FakeServices | None = None, **fields: Any) -> dict[str, tuple[Any, ...]]:
    cls = stage_class("verify.same")
    stage = cls("v", cls.Config(use="verify.same", of="b", **fields))
    services = services or FakeServices()
    out = stage.run(inputs(PROBLEMS_GIVEN), services)  # type: ignore[arg-type]
    assert out["rejects"].select(["target_id", "reason"]).to_pylist() == [{"target_id": "r6", "reason": "continuation"}]
    assert [t["target_id"] for t in out["telemetry"].to_pylist()] == [q.target_id for q in services.asked]
    return {s["target_id"]: (s["verdict"], s["value"], s["reason"]) for s in out["scores"].to_pylist()}


def test_every_rollout_has_a_verdict_and_machines_decide_first() -> None:
    services = FakeServices()
    assert verify(services) == {
        "r1": ("correct", 1.0, None),
        "r2": ("wrong", 0.0, None),
        "r3": ("unknown", None, "truncated"),
        "r4": ("unknown", None, "refused"),
        "r5": ("unknown", None, "no_gold"),
        "r7": ("correct", 1.0, None),
    }
    assert [q.target_id for q in services.asked] == ["r1", "r2", "r7"]
    assert services.counts == {"rows": 6, "correct": 2, "wrong": 1, "unknown": 3}


def test_a_tag_says_the_same_and_is_no_verdict() -> None:
    cls = stage_class("tag.same")
    assert "gives_verdicts" in stage_class("verify.same").capabilities() and not cls.capabilities()
    stage, services = cls("t", cls.Config(use="tag.same", of="b")), FakeServices()
    out = stage.run(inputs(PROBLEMS_GIVEN), services)  # type: ignore[arg-type]
    rows = {s["target_id"]: s for s in out["scores"].to_pylist()}
    assert {name: (row["value"], row["reason"]) for name, row in rows.items()} == {
        "r1": (1.0, None),
        "r2": (0.0, None),
        "r3": (1.0, None),  # truncated, and looked at all the same
        "r4": (None, "refused"),
        "r5": (None, "no_gold"),
        "r7": (1.0, None),
    }
    assert {(row["kind"], row["verdict"], row["scorer"]) for row in rows.values()} == {("measure", None, "same")}
    assert services.counts == {"rows": 6, "tagged": 3}
    verified = stage_class("verify.same")("v", stage_class("verify.same").Config(use="verify.same", of="b"))
    judged = verified.run(inputs(PROBLEMS_GIVEN), FakeServices())["scores"].to_pylist()  # type: ignore[arg-type]
    assert not {row["config_hash"] for row in rows.values()} & {row["config_hash"] for row in judged}, "keys of its own"
    assert stage.full_version() == "1+7" and pickle.loads(pickle.dumps(stage)).name == "t"


def test_a_recipe_says_what_truncation_counts_as() -> None:
    assert verify(truncated="judge")["r3"] == ("correct", 1.0, None)
    assert verify(truncated="wrong")["r3"] == ("wrong", 0.0, "truncated")
    with pytest.raises(ValueError):
        verify(truncated="correct")


def test_scores_of_different_configurations_have_different_keys() -> None:
    cls = stage_class("verify.same")
    hashes = set()
    for fields in ({}, {"truncated": "wrong"}, {"truncated": "judge"}, {"limit": 5}):
        stage = cls("v", cls.Config(use="verify.same", of="b", **fields))
        scores = stage.run(inputs(PROBLEMS_GIVEN), FakeServices())["scores"]  # type: ignore[arg-type]
        hashes |= set(scores["config_hash"].to_pylist())
        assert set(scores["scorer_version"].to_pylist()) == {"7+lib 1"}
        assert set(scores["detail"].to_pylist()) <= {"?x", None}
    assert len(hashes) == 4


def test_a_verifier_without_gold_answers_is_asked_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_class("verify.same"), "needs_answer", False)
    assert verify()["r5"] == ("wrong", 0.0, None)


def test_a_verifier_that_loses_questions_is_caught() -> None:
    services = FakeServices()
    services.short_by = 1
    with pytest.raises(InvariantBroken, match="3 questions, 2 judgements"):
        verify(services)


def test_two_answers_to_one_problem_are_a_users_mistake() -> None:
    cls = stage_class("verify.same")
    stage = cls("v", cls.Config(use="verify.same", of="b"))
    with pytest.raises(UserError, match="p1 has different answers"):
        stage.run(inputs([*PROBLEMS_GIVEN, problem("p1", "5")]), FakeServices())  # type: ignore[arg-type]


def test_nothing_in_gives_nothing_out() -> None:
    for use in ("verify.same", "filter.short"):
        cls = stage_class(use)
        out = cls("v", cls.Config(use=use, of="b")).run(inputs([], []), FakeServices())  # type: ignore[arg-type]
        assert out["scores"].num_rows == out["rejects"].num_rows == 0


def test_a_filter_keeps_or_drops_and_says_why() -> None:
    cls = stage_class("filter.short")
    stage = cls("f", cls.Config(use="filter.short", of="b", most=1))
    rows = [rollout("r2", "p1", "abc"), rollout("r1", "p1", "a"), rollout("r0", "p1", "a", condition="prefix")]
    out = stage.run(inputs(PROBLEMS_GIVEN, rows), FakeServices())  # type: ignore[arg-type]
    kept, dropped = out["scores"].to_pylist()
    assert (kept["target_id"], kept["kind"], kept["value"], kept["reason"], kept["verdict"]) == (
        "r1", "filter", 1.0, None, None,
    )  # fmt: skip
    assert (dropped["target_id"], dropped["value"], dropped["reason"], dropped["detail"]) == (
        "r2", 0.0, "too long", "3.0",
    )  # fmt: skip
    assert kept["scorer"] == "short" and kept["config_hash"].startswith("c_")
    assert out["rejects"]["target_id"].to_pylist() == ["r0"]


def test_fields_are_flat_and_keep_their_validators() -> None:
    cls = stage_class("verify.same")
    assert issubclass(cls, VerifyStage)
    assert (
        cls.use == "verify.same" and cls.version == "1+7" and cls.summary == "Correct if the completion is the answer."
    )
    assert set(cls.Config.model_fields) == {"use", "of", "truncated", "strip", "limit"}
    with pytest.raises(ValueError, match="odd"):
        cls.Config(use="verify.same", limit=4)
    with pytest.raises(ValueError, match="nope"):
        cls.Config(use="verify.same", nope=4)
    assert stage_class("verify.same") is cls
    assert issubclass(stage_class("filter.short"), FilterStage)


def test_a_stage_can_be_pickled() -> None:
    cls = stage_class("verify.same")
    stage = cls("v", cls.Config(use="verify.same", of="b", limit=5))
    again = pickle.loads(pickle.dumps(stage))
    assert (type(again), again.name, again.config) == (cls, "v", stage.config)


def test_unknown_names_suggest_the_nearest_of_any_kind() -> None:
    assert all_stage_names() == ["filter.short", "tag.clash", "tag.same", "verify.clash", "verify.same"]
    with pytest.raises(UserError, match=r"did you mean 'filter\.short'"):
        stage_class("filter.shorts")
    with pytest.raises(UserError, match="field called 'of'"):
        stage_class("verify.clash")


def test_what_stands_behind_a_verdict_is_a_row_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    component = Part("component", "cheap", "1", "c_1", "unknown", None, "no_idea", "\ud800")
    measured = Part("measure", "reward.score", "2", "c_2", None, 7.5)

    def judge(self: Same, questions: Sequence[Question]) -> list[Judgement]:
        return [Judgement("correct", 1.0, parts=(component, measured, component)) for _ in questions]

    monkeypatch.setattr(Same, "judge", judge)
    cls = stage_class("verify.same")
    out = cls("v", cls.Config(use="verify.same", of="b")).run(inputs(PROBLEMS_GIVEN), FakeServices())  # type: ignore[arg-type]
    rows = [row for row in out["scores"].to_pylist() if row["target_id"] == "r1"]
    assert [(r["kind"], r["scorer"], r["verdict"], r["value"], r["reason"], r["detail"]) for r in rows] == [
        ("verdict", "same", "correct", 1.0, None, None),
        ("component", "cheap", "unknown", None, "no_idea", "?"),
        ("measure", "reward.score", None, 7.5, None, None),
    ]
    assert {row["stage_id"] for row in rows} == {"st_1"}
    assert {row["kind"] for row in out["scores"].to_pylist() if row["target_id"] == "r3"} == {"verdict"}


def test_a_verifier_is_told_the_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"prompt": [{"role": "user", "content": "2 + 2?"}], "domain": "arithmetic", "source": "somewhere"}
    services = FakeServices()
    cls = stage_class("verify.same")
    problems = [problem("p1", "4") | given, problem("p2", None)]
    cls("v", cls.Config(use="verify.same", of="b")).run(inputs(problems), services)  # type: ignore[arg-type]
    asked = services.asked[0]
    assert (asked.prompt, asked.domain, asked.source) == ((("user", "2 + 2?"),), "arithmetic", "somewhere")
