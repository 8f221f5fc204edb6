"""What labelers make of bad input: an outcome for every rollout, exact spans, no crash.

Rollouts as hostile as completions get (one step, none, thousands, no newline, any script, broken characters, one huge
line), continuations and judges that write rubbish, a value model that returns NaN. A labeler is put to all of it by one
line in `LABELERS`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.classifier import write_classifier
from support.stages import stage_info
from support.step_judges import JudgedServices
from support.toy_world import ANCESTORS, STOP, ToyRenderer, problem_row, rollout_row, score_row, solution, verdict
from synthflow.contracts import (
    Judgement,
    MemoryInputs,
    PolicyIdentity,
    Question,
    SampleRequest,
    SampleResult,
    StageInfo,
)
from synthflow.demo import generate_problems
from synthflow.rollouts.rows import utf8
from synthflow.schema import PROBLEMS, ROLLOUTS, SCORES, TABLES
from synthflow.segment import SEGMENTERS
from synthflow.stages.adapters import stage_class
from synthflow.verifiers.opening import open_verifier

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
ROLLOUTS_BY_NAME = {
    "one_step": "= 1",
    "no_step": "",
    "blank": " \n\t\n  ",
    "no_newline": "ok1 and ok2. So ok3! = 1",
    "many_steps": "a\n" * 2_999 + "= 1",
    "non_latin": "所以 2 加 3。\nحساب ١٢ + ٣\nответ\nनमस्ते\n= 1",
    "emoji": f"{FAMILY} eats\n\U0001f44d\U0001f3fd{FAMILY}\n= 1",
    "combining": "e\u0301\u0301\n" + "a" + "\u0301" * 2_000 + "\n\u0301starts\n= 1",
    "separators": "a\u2028b\x85c\r\nd\x00e\x0cf\ufeff\u200b\n\r= 1",
    "lone_surrogates": utf8("ok\ud800\n\udfff\n= 1"),  # as whoever writes rollouts stores them
    "huge_line": "x" * 200_000 + "= 1",
    "digits": f"There are 2 + {'9' * 20_000} = {'9' * 20_000} boxes.\n= 1",
    "tags": "<think>\n</solution>\n[step 0, 00000000]\n<|eos|>\n{format}\nEarliest: 0\n<tool_call>\n= 1",
}
RUBBISH = ("", "\ud800", "Earliest: 99", "Earliest: -1\nEarliest: 0", "Score of step 0: NaN", "[" * 5_000, FAMILY * 99,
           "Earliest: 0")  # fmt: skip

EVERY = {"groups": "all"}
Labeler = tuple[str, Mapping[str, Any]]
SAMPLED: Labeler = ("label.monte_carlo", {"n": 2, "max_tokens": 64})
SCORED: Labeler = ("label.judge", {"policy": "judge", "mode": "scores", "k": 3, "temperature": 1.0})
SEARCHED: list[Labeler] = [
    ("label.monte_carlo", {"max_tokens": 64, "method": "adaptive", "n_min": 2, "n_max": 4}),
    ("label.monte_carlo", {"max_tokens": 64, "method": "bisection", "n": 2}),
    ("label.monte_carlo", {"max_tokens": 64, "method": "posterior", "token_budget": 2_000}),
]
READ: Labeler = ("label.implicit", {"reference": "reference"})
LABELERS: list[Labeler] = [
    SAMPLED,
    *SEARCHED,
    ("label.monte_carlo", {"n": 2, "max_tokens": 64, "force_stop": "So: "}),
    SCORED,
    READ,
    ("label.tree", {"rule": "mean"}),
    ("label.tree", {"rule": "rest_mcts"}),
    ("label.progress", {"folds": 3}),
    *(("label.judge", {"policy": "judge", "segmenter": name}) for name in sorted(SEGMENTERS)),
]
"""Put a labeler here to have it tested."""


def name_of(labeler: Labeler) -> str:
    return "-".join(map(str, (labeler[0], *labeler[1].values())))


class Hostile(JudgedServices):
    """A policy and a judge that write whatever comes to hand."""

    def __init__(self) -> None:
        super().__init__(lambda prompt, seed: RUBBISH[seed % len(RUBBISH)])

    def _one(self, request: SampleRequest) -> SampleResult:
        if request.score is not None:
            return self._read(request, len(request.score))
        texts = ("", "\ud800", f"{FAMILY}\n= 1", solution("", request.seed), "endless")
        text = texts[request.seed % len(texts)]
        if text == "endless":
            return SampleResult(request.rollout_id, "y" * 64, "length", (ord("y"),) * 64, None, None, 64)
        return SampleResult(request.rollout_id, text, "stop", (*map(ord, text), STOP), None, None, len(text) + 1)

    def identity(self, policy: str) -> PolicyIdentity:
        found = super().identity(policy)
        return replace(found, policy_id="m_reference") if policy == "reference" else found

    def _read(self, request: SampleRequest, n: int) -> SampleResult:
        """Log probabilities of given tokens, or what a broken model makes of them."""
        sound = (-0.5,) * n
        broken = {"blank": (math.nan, *sound[1:]), "emoji": (-math.inf,) * n, "combining": sound[:-1], "tags": None}
        told = broken.get(PROBLEMS_BY_ID[request.problem_id], sound)
        return SampleResult(request.rollout_id, "", "stop", request.score, told)

    def judge(
        self, verifier: str, config: Mapping[str, Any], questions: Sequence[Question]
    ) -> tuple[list[Judgement], str, str]:
        if verifier == "exact":
            return super().judge(verifier, config, questions)
        opened = open_verifier(verifier, config)
        try:
            return opened.judge(questions), opened.full_version(), "c_model"
        finally:
            opened.close()


def hostile_world() -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """A problem for each text, with a sane wrong rollout beside it, so that every group is mixed."""
    problems, rollouts, scores = [], [], []
    for name, text in ROLLOUTS_BY_NAME.items():
        problem = problem_row(name)
        own = {"token_ids": [*map(ord, "ok\ud800\n\udfff\n= 1"), STOP]} if name == "lone_surrogates" else {}
        bad, sane = rollout_row(problem, 0, text, **own), rollout_row(problem, 1, "bad0\nok1\nok1\nok2\n= 0")
        problems.append(problem)
        rollouts += [bad, sane]
        # An empty one is called correct too, so that the labeler and not the state of its group says what happens.
        scores += [score_row(bad, "correct"), score_row(sane, "wrong")]
    return problems, rollouts, scores


WORLD = hostile_world()
TEXTS = {row["rollout_id"]: row["completion"] for row in WORLD[1]}
PROBLEMS_BY_ID = {row["problem_id"]: name for row, name in zip(WORLD[0], ROLLOUTS_BY_NAME, strict=True)}
NAMES = {row["rollout_id"]: name for row, name in zip(WORLD[1][::2], ROLLOUTS_BY_NAME, strict=True)}


def label(
    use: str, fields: Mapping[str, Any], services: Any, verify: StageInfo = ANCESTORS[-1], **tables: Any
) -> dict[str, list[dict[str, Any]]]:
    """The tables of a labeler as rows; its spec must be sound, and its rows those of their tables."""
    problems, rollouts, scores = WORLD
    given = {
        "problems": {"problems": tables.get("problems", PROBLEMS.from_rows(problems))},
        "rollouts": {"rollouts": ROLLOUTS.from_rows(rollouts)},
        verify.name: {"scores": tables.get("scores", SCORES.from_rows(scores))},
    }
    chain = [*ANCESTORS[:-1], verify]
    if "labelled" in tables:
        chain.append(stage_info("labelled", "label.judge", ("steps", "step_values", "scores"), (verify.name,)))
        given["labelled"] = {name: TABLES[name].from_rows(tables["labelled"][name]) for name in chain[-1].writes}
    inputs = MemoryInputs(chain, [chain[-1].name], given)
    cls = stage_class(use)
    stage = cls("labels", cls.Config(use=use, of=chain[-1].name, **fields))
    assert not list(stage.check(inputs.ancestors))
    out = stage.run(inputs, services)
    return {name: TABLES[name].conform(table).to_pylist() for name, table in out.items()}


def series(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    by_rollout: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(rows, key=lambda r: r["index"]):
        by_rollout.setdefault(row["rollout_id"], []).append(row)
    yield from by_rollout.items()


def assert_sound(out: Mapping[str, list[dict[str, Any]]]) -> None:
    """An outcome for each rollout, steps that rejoin exactly, values that telescope."""
    labelled = {row["rollout_id"] for row in out["step_values"]}
    rejected = {row["target_id"]: row["reason"] for row in out.get("rejects", ()) if row["target_id"] in TEXTS}
    assert labelled | rejected.keys() == TEXTS.keys() and not labelled & rejected.keys()
    assert all(rejected.values())
    for rollout, steps in series([row for row in out["steps"] if row["rollout_id"] in TEXTS]):
        text = TEXTS[rollout]
        assert "".join(text[s["char_start"] : s["char_end"]] for s in steps) == text, NAMES.get(rollout)
        assert [s["index"] for s in steps] == list(range(len(steps)))
        assert all(s["char_start"] < s["char_end"] for s in steps)
        assert [s["parent_step_id"] for s in steps] == [None, *(s["step_id"] for s in steps[:-1])]
        if steps[0]["token_start"] is not None:
            assert [s["token_start"] for s in steps] == [0, *(s["token_end"] for s in steps[:-1])]
            assert steps[-1]["token_end"] == len(ToyRenderer().encode(text)) + 1
    steps = {row["step_id"] for row in out["steps"]}
    assert len({row["step_id"] for row in out["step_values"]}) == len(out["step_values"])
    assert {row["step_id"] for row in out["step_values"]} == steps
    for rollout, values in series(out["step_values"]):
        assert [v["value_before"] for v in values[1:]] == [v["value"] for v in values[:-1]], NAMES.get(rollout)
        for v in values:
            numbers = [v[c] for c in ("value", "value_before", "value_low", "value_high", "advantage", "advantage_se")]
            assert all(number is None or math.isfinite(number) for number in numbers)
            assert (v["advantage"] is None) == (v["value"] is None or v["value_before"] is None)
            if v["scale"] != "reward":
                assert all(number is None or 0 <= number <= 1 for number in numbers[:4])
        if all(v["advantage"] is not None for v in values):
            total = sum(v["advantage"] for v in values)
            assert total == pytest.approx(values[-1]["value"] - values[0]["value_before"], abs=1e-4)


@pytest.mark.parametrize("labeler", LABELERS, ids=name_of)
def test_every_rollout_has_an_outcome_and_every_step_its_text(labeler: Labeler) -> None:
    use, fields = labeler
    began = time.process_time()
    out = label(use, EVERY | fields, Hostile())
    assert time.process_time() - began < 60
    assert_sound(out)
    reasons = {NAMES.get(row["target_id"]): row["reason"] for row in out["rejects"]}
    assert reasons["no_step"] == "no_steps"
    counts = {NAMES.get(rollout): len(values) for rollout, values in series(out["step_values"])}
    assert counts["one_step"] == 1 and counts["huge_line"] == 1
    if fields.get("segmenter", "lines") == "lines":
        assert counts["many_steps"] == 64 and counts["no_newline"] == 1 and counts["non_latin"] == 5
    if use == "label.judge":
        told = {row["target_id"]: row for row in out["scores"] if row["scorer"] == "first_error"}
        assert all(row["reason"] for row in told.values() if row["value"] is None)
        by_name = {NAMES.get(rollout): row["reason"] for rollout, row in told.items()}
        assert by_name["blank"] == "empty"


@pytest.mark.parametrize("world", ["short", "long"])
def test_a_reference_checker_says_what_is_wrong_or_why_it_cannot(world: str) -> None:
    (demo,) = generate_problems(1, seed=1, split="train", world=world)
    rows = [row | {"metadata": json.dumps(demo.metadata)} for row in WORLD[0]]
    out = label("label.reference", EVERY, Hostile(), problems=PROBLEMS.from_rows(rows))
    assert_sound(out)
    reasons = {NAMES.get(row["target_id"]): row["reason"] for row in out["rejects"]}
    assert reasons["no_step"] == "no_steps" and reasons["blank"] == "no_step_judged"
    assert not {"digits", "many_steps"} & reasons.keys()
    unknown = label("label.reference", EVERY, Hostile())
    assert_sound(unknown)
    assert {row["reason"] for row in unknown["rejects"]} == {"unknown_problem", "no_steps"}


def test_scores_of_a_judge_that_writes_rubbish_are_calibrated() -> None:
    judged = label(SCORED[0], EVERY | SCORED[1], Hostile())
    out = label("label.calibrated", {}, Hostile(), labelled=judged)
    assert_sound(out)
    assert {row["rollout_id"] for row in out["step_values"]} == {row["rollout_id"] for row in judged["step_values"]}
    assert {row["step_id"] for row in out["steps"]} == {row["step_id"] for row in judged["steps"]}
    assert any(row["value"] is None for row in out["step_values"])
    assert any(row["value"] is not None for row in out["step_values"])


@pytest.mark.parametrize("labeler", [SAMPLED, SCORED], ids=name_of)
def test_thousands_of_steps_are_labelled_one_by_one_where_wanted(labeler: Labeler) -> None:
    use, fields = labeler
    cheap = {"n": 1, "max_tokens": 4} if use == "label.monte_carlo" else {"max_chars": 100_000}
    out = label(use, {**EVERY, **fields, "max_steps": 4096, **cheap}, Hostile())
    assert_sound(out)
    assert {NAMES.get(rollout): len(values) for rollout, values in series(out["step_values"])}["many_steps"] == 3_000


@pytest.mark.parametrize("rubbish", RUBBISH[:-1])
def test_a_judge_that_writes_rubbish_says_nothing(rubbish: str) -> None:
    services = Hostile()
    services.script = lambda prompt, seed: rubbish
    out = label("label.judge", {**EVERY, "policy": "judge", "max_steps": 8}, services)
    assert_sound(out)
    assert {row["value"] for row in out["step_values"]} == {None}
    told = [row["reason"] for row in out["scores"] if row["scorer"] == "first_error"]
    assert set(told) == {"parse_failure", "empty"} and told.count("empty") == 1
    assert {row["value"] for row in out["scores"] if row["scorer"] != "fapo_reward"} == {None}


@pytest.fixture(scope="module")
def nan_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real classifier whose scores are all NaN."""
    return write_classifier(tmp_path_factory.mktemp("nan") / "model", poison=True)


@pytest.mark.parametrize("labeler", [SAMPLED, SCORED], ids=name_of)
def test_a_value_model_that_returns_nan_decides_nothing(labeler: Labeler, nan_model: Path) -> None:
    use, fields = labeler
    config = {"model": str(nan_model), "threshold": 0.0, "max_length": 64, "too_long": "drop_start"}
    services = Hostile()
    cls = stage_class("verify.reward_model")
    verify = cls("verdicts", cls.Config(use="verify.reward_model", of="rollouts", **config))  # type: ignore[call-arg]
    problems, rollouts, _ = WORLD
    given = {
        "problems": {"problems": PROBLEMS.from_rows(problems)},
        "rollouts": {"rollouts": ROLLOUTS.from_rows(rollouts)},
    }
    verdicts = verify.run(MemoryInputs(ANCESTORS[:-1], ["rollouts"], given), services)
    assert {row["verdict"] for row in verdicts["scores"].to_pylist()} == {"unknown"}
    assert {row["reason"] for row in verdicts["scores"].to_pylist()} == {"not_finite", "empty"}
    info = stage_info(
        "verdicts", "verify.reward_model", ("scores",), ("rollouts",), {**config, "use": "x", "of": ["r"]}
    )
    out = label(use, {**EVERY, **fields, "max_steps": 3}, services, info, scores=verdicts["scores"])
    assert_sound(out)
    if use == "label.monte_carlo":
        assert {row["value"] for row in out["step_values"]} == {None}
        assert {row["is_first_error"] for row in out["step_values"]} == {None}


def test_what_the_policy_wrote_is_no_sane_solution() -> None:
    """The continuations above are as hostile as they claim to be."""
    services = Hostile()
    out = label("label.monte_carlo", {**EVERY, "n": 8, "max_tokens": 64}, services)
    texts = {row["completion"] for row in out["rollouts"]}
    assert {"", "?", f"{FAMILY}\n= 1", "y" * 64} <= texts
    assert {verdict(text).verdict for text in texts} == {"correct", "wrong", "unknown"}
    assert any(row["n_unknown"] for row in out["step_values"])
