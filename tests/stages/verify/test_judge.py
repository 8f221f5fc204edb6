"""A judge's stage: what is asked, what is read, what is kept, and what is never paid for twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.judging import JUDGE, Services, between, inputs_of, measures, mistakes, problem, rollout, run, verdicts
from synthflow import ids

ROWS = [
    rollout("r_1", r"2 + 2 is \boxed{4}"),
    rollout("r_2", r"2 + 2 is \boxed{5}"),
    rollout("r_3", r"2 + 2 is \boxed{5}"),
    rollout("r_4", "cut", finish_reason="length"),
    rollout("r_5", "", finish_reason="refused"),
    rollout("r_6", "<think>never ends"),
    rollout("r_7", "and 2", condition="prefix"),
]


def knows(prompt: str, seed: int) -> str:
    """A judge that is right."""
    answer = between(prompt, "answer")
    return f"I looked.\nVerdict: {'correct' if '{4}' in answer else 'wrong'}"


def test_every_rollout_has_a_verdict_and_equal_texts_are_asked_once() -> None:
    services = Services(knows)
    out = run("verify.judge", inputs_of(ROWS), services, policy="judge")
    assert verdicts(out) == {
        "r_1": ("correct", 1.0, None),
        "r_2": ("wrong", 0.0, None),
        "r_3": ("wrong", 0.0, None),
        "r_4": ("unknown", None, "truncated"),
        "r_5": ("unknown", None, "refused"),
        "r_6": ("unknown", None, "empty"),
    }
    assert [r["target_id"] for r in out["rejects"]] == ["r_7"]
    assert len(services.sampled) == 2
    assert services.counts == {"rows": 6, "correct": 1, "wrong": 2, "unknown": 3, "asked": 2}
    assert {row["scorer"] for row in out["scores"]} == {"judge"}
    assert all(row["scorer_version"].endswith(JUDGE) for row in out["scores"])
    assert {r["target_id"]: r["detail"] for r in out["scores"]}["r_1"] == "4", "the answer, for whoever counts answers"
    assert {t["target_id"]: t["value"] for t in out["telemetry"]} == {"r_1": 0.5, "r_2": 0.5, "r_3": 0.5}


def test_what_the_judge_wrote_is_kept_with_its_prompt() -> None:
    services = Services(knows)
    out = run("verify.judge", inputs_of(ROWS), services, policy="judge")
    assert len(out["artifacts"]) == 2
    for row in out["artifacts"]:
        assert (row["kind"], row["policy_id"], row["finish_reason"]) == ("critique", JUDGE, "stop")
        assert row["artifact_id"] == ids.artifact_id("critique", row["text"], "p_1", row["sample_id"])
        assert row["sample_id"] in services.journal and row["text"] == services.journal[row["sample_id"]].text
        assert "What is the answer to p_1?" in row["prompt"][0]["content"]
    about = {json.loads(row["details"])["reading"]: json.loads(row["details"])["about"] for row in out["artifacts"]}
    assert about == {"correct": ["r_1"], "wrong": ["r_2", "r_3"]}


@pytest.mark.parametrize(
    "rubbish", ["", "Step 1: 5 + 5 = 10", "Verdict: correct\nVerdict: wrong", "Verdict: maybe", "\ud800"]
)
def test_rubbish_is_unknown(rubbish: str) -> None:
    out = run("verify.judge", inputs_of(ROWS[:2]), Services(lambda p, s: rubbish), policy="judge")
    assert set(verdicts(out).values()) == {("unknown", None, "parse_failure")}
    assert len(out["artifacts"]) == 2, "and kept"


@pytest.mark.parametrize(("finish", "reason"), [("length", "parse_failure"), ("refused", "judge_refused")])
def test_an_endless_or_refused_judge_is_not_read(finish: str, reason: str) -> None:
    services = Services(lambda p, s: "Verdict: correct", finish)
    out = run("verify.judge", inputs_of(ROWS[:1]), services, policy="judge")
    assert verdicts(out)["r_1"] == ("unknown", None, reason)


def test_k_samples_and_their_agreement_are_topped_up() -> None:
    def noisy(prompt: str, seed: int) -> str:
        return f"Verdict: {'correct' if seed % 3 else 'wrong'}"

    services = Services(noisy)
    fields = {"policy": "judge", "temperature": 1.0}
    run("verify.judge", inputs_of(ROWS[:2]), services, k=3, **fields)
    assert len(services.sampled) == 6
    out = run("verify.judge", inputs_of(ROWS[:2]), services, k=5, **fields)
    assert len(services.sampled) == 10, "two more of each, the others are in the journal"
    agreed = measures(out, "judge:agreement")
    for name, (verdict, value, _) in verdicts(out).items():
        seeds = [json.loads(a["details"]) for a in out["artifacts"] if json.loads(a["details"])["about"] == [name]]
        right = sum(d["reading"] == "correct" for d in seeds)
        assert value == pytest.approx(right / 5) and verdict == ("correct" if right > 2 else "wrong")
        assert agreed[name] == pytest.approx(max(right, 5 - right) / 5)
    strict = run("verify.judge", inputs_of(ROWS[:2]), services, k=5, min_agreement=1.0, **fields)
    assert len(services.sampled) == 10, "another rule samples nothing"
    assert {v[2] for v in verdicts(strict).values()} <= {None, "disagreement"}


def test_scores_have_a_threshold_and_a_middle() -> None:
    given = {r"\boxed{4}": "9", r"\boxed{5}": "2", r"\boxed{6}": "5"}

    def grade(prompt: str, seed: int) -> str:
        return "Score: " + next(s for text, s in given.items() if text in between(prompt, "answer"))

    rows = [rollout(f"r_{i}", text) for i, text in enumerate(given)]
    out = run("verify.judge", inputs_of(rows), Services(grade), policy="j", ask="score", correct_from=7, wrong_below=4)
    assert verdicts(out) == {
        "r_0": ("correct", pytest.approx(0.9), None),
        "r_1": ("wrong", pytest.approx(0.2), None),
        "r_2": ("unknown", None, "undecided"),
    }


def test_a_reference_is_shown_and_its_lack_is_told() -> None:
    def compare(prompt: str, seed: int) -> str:
        same = between(prompt, "reference") in between(prompt, "answer")
        return f"Verdict: {'correct' if same else 'wrong'}"

    rows = [rollout("r_1", "it is 4"), rollout("r_2", "it is 4", "p_2"), rollout("r_3", "so 5", "p_3")]
    problems = [problem("p_1"), problem("p_2", None), problem("p_3", None, '{"solution": "so 5"}')]
    out = run("verify.judge", inputs_of(rows, problems), Services(compare), policy="j", reference="answer")
    assert verdicts(out) == {
        "r_1": ("correct", 1.0, None), "r_2": ("unknown", None, "no_gold"), "r_3": ("unknown", None, "no_gold"),
    }  # fmt: skip
    out = run("verify.judge", inputs_of(rows, problems), Services(compare), policy="j", reference="metadata.solution")
    assert verdicts(out)["r_3"] == ("correct", 1.0, None)


def longer(prompt: str, seed: int) -> str:
    a, b = len(between(prompt, "answer_A")), len(between(prompt, "answer_B"))
    return f"Better: {'A' if a > b else 'B' if b > a else 'tie'}"


PAIRED = [rollout(f"r_{i}", "x" * i) for i in range(1, 5)]


def test_pairs_are_asked_in_both_orders() -> None:
    services = Services(longer)
    out = run("verify.judge", inputs_of(PAIRED), services, policy="j", mode="pairwise")
    assert len(services.sampled) == 12, "six pairs, two orders"
    assert verdicts(out) == {
        "r_1": ("wrong", 0.0, None),
        "r_2": ("wrong", pytest.approx(1 / 3), None),
        "r_3": ("correct", pytest.approx(2 / 3), None),
        "r_4": ("correct", 1.0, None),
    }
    assert set(measures(out, "judge:decided").values()) == {1.0}


def test_a_judge_that_favours_a_place_decides_nothing() -> None:
    out = run("verify.judge", inputs_of(PAIRED), Services(lambda p, s: "Better: A"), policy="j", mode="pairwise")
    assert set(verdicts(out).values()) == {("unknown", None, "position_bias")}
    assert set(measures(out, "judge:decided").values()) == {0.0}


def test_opponents_bound_the_pairs_and_equal_texts_are_not_compared() -> None:
    services = Services(longer)
    rows = [rollout(f"r_{i}", "x" * (i + 1)) for i in range(6)]
    run("verify.judge", inputs_of(rows), services, policy="j", mode="pairwise", opponents=1)
    assert len(services.sampled) == 12, "a circle of six"
    twins = [rollout("r_1", "same"), rollout("r_2", "same")]
    out = run("verify.judge", inputs_of(twins), Services(longer), policy="j", mode="pairwise")
    assert set(verdicts(out).values()) == {("unknown", None, "too_few")} and not out["artifacts"]


def test_groups_are_not_mixed() -> None:
    services = Services(longer)
    rows = [*PAIRED[:2], rollout("r_8", "x" * 8, sampling_id="other"), rollout("r_9", "x" * 9, "p_2")]
    out = run("verify.judge", inputs_of(rows, [problem("p_1"), problem("p_2")]), services, policy="j", mode="pairwise")
    assert len(services.sampled) == 2
    assert verdicts(out)["r_8"] == verdicts(out)["r_9"] == ("unknown", None, "too_few")


def test_as_good_as_the_reference_is_correct() -> None:
    rows = [rollout("r_1", "x" * 3), rollout("r_2", "xx"), rollout("r_3", "abc"), rollout("r_4", "abcd")]
    services = Services(longer)
    problems = [problem("p_1", "abc")]
    fields = {"policy": "j", "mode": "pairwise", "against": "reference", "reference": "answer"}
    out = run("verify.judge", inputs_of(rows, problems), services, **fields)
    assert verdicts(out) == {
        "r_1": ("correct", 0.5, None),
        "r_2": ("wrong", 0.0, None),
        "r_3": ("correct", 0.5, None),
        "r_4": ("correct", 1.0, None),
    }
    assert len(services.sampled) == 6, "what equals the reference is not asked about"


def _of(rows: list[dict[str, Any]], problem: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in rows if row["problem_id"] == problem["problem_id"]]


def test_rows_do_not_depend_on_order_or_partition() -> None:
    rows = [*PAIRED, rollout("r_8", "x", "p_2"), rollout("r_9", "xx", "p_2")]
    problems = [problem("p_1"), problem("p_2")]
    for fields in ({"mode": "pairwise", "opponents": 2}, {"mode": "pointwise"}):
        script = longer if fields["mode"] == "pairwise" else lambda p, s: f"Verdict: {'correct' if s % 2 else 'wrong'}"
        made = [
            run("verify.judge", inputs_of(*given), Services(script), policy="j", **fields)
            for given in ((rows, problems), (rows[::-1], problems[::-1]), *((_of(rows, p), [p]) for p in problems))
        ]
        whole, turned, *parts = made
        for table, key in (("scores", "target_id"), ("artifacts", "artifact_id")):
            expected = sorted(whole[table], key=lambda r: (r[key], r.get("scorer", "")))
            assert sorted(turned[table], key=lambda r: (r[key], r.get("scorer", ""))) == expected
            both = [row for part in parts for row in part[table]]
            assert sorted(both, key=lambda r: (r[key], r.get("scorer", ""))) == expected


def test_mistakes_are_told_before_anything_runs() -> None:
    judge = "verify.judge"
    assert "all k samples are the same" in mistakes(judge, policy="j", k=3)["k"]
    assert "no threshold" in mistakes(judge, policy="j", correct_from=7)["correct_from"]
    assert "say from which score" in mistakes(judge, policy="j", ask="score")["correct_from"]
    assert "at most 10" in mistakes(judge, policy="j", ask="score", correct_from=70)["correct_from"]
    assert "first end" in mistakes(judge, policy="j", ask="score", correct_from=1, scale=(5, 1))["scale"]
    assert "names no column" in mistakes(judge, policy="j", reference="solution")["reference"]
    assert "no reference" in mistakes(judge, policy="j", mode="pairwise", reference="answer")["reference"]
    assert "missing" in mistakes(judge, policy="j", mode="pairwise", against="reference")["reference"]
    assert "opponents" in mistakes(judge, policy="j", opponents=2)
    assert "gives no scores" in mistakes(judge, policy="j", mode="pairwise", ask="score")["ask"]
    told = mistakes(judge, policy="j", prompt="Judge {answer} and {foo}.")["prompt"]
    assert "{format}" in told or "{foo}" in told or "{question}" in told
    assert not mistakes(judge, policy="j", prompt="{question} {answer} {format}")
