"""A group's vote: equal answers count together, and nobody is wrong whose answer could not be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from support.judging import Services, inputs_of, measures, mistakes, problem, rollout, run, score, verdicts
from synthflow.contracts import Judgement, Question
from synthflow.errors import UserError


def boxed(answers: Sequence[str], problem_id: str = "p_1", **changed: Any) -> list[dict[str, Any]]:
    return [
        rollout(f"{problem_id}_r{i}", rf"so \boxed{{{a}}}", problem_id, index=i, **changed)
        for i, a in enumerate(answers)
    ]


def vote(rows: Sequence[Mapping[str, Any]], services: Services | None = None, **fields: Any) -> dict[str, Any]:
    scores = fields.pop("given", ())
    problems = [problem(p, None) for p in sorted({r["problem_id"] for r in rows} or {"p_1"})]
    return run("verify.vote", inputs_of(rows, problems, scores), services or Services(), **fields)


def said(tables: Mapping[str, Any]) -> list[tuple[str, float | None, str | None]]:
    return [
        (v, None if value is None else pytest.approx(value), reason)
        for _, (v, value, reason) in sorted(verdicts(tables).items())
    ]


def test_equal_answers_count_together_whatever_their_spelling() -> None:
    out = vote(boxed(["0.5", r"\frac{1}{2}", "1/2", "3", r"\frac{2}{4}"]))
    assert said(out) == [("correct", 0.8, None)] * 3 + [("wrong", 0.2, None), ("correct", 0.8, None)]
    assert list(measures(out, "vote:winner_share").values()) == [pytest.approx(0.8)] * 5
    row = next(r for r in out["scores"] if r["kind"] == "verdict")
    assert row["scorer"] == "vote" and "math-verify" in row["scorer_version"] and row["detail"] == "0.5"
    # Symbolic answers take algebra.
    out = vote(boxed([r"2\sqrt{2}", r"\sqrt{8}", "3"]))
    assert said(out) == [("correct", 2 / 3, None), ("correct", 2 / 3, None), ("wrong", 1 / 3, None)]


def test_one_spelling_is_never_compared() -> None:
    services = Services()
    vote(boxed(["7"] * 5), services)
    assert not services.asked
    vote(boxed(["7", "8", "7", "9"]), services)
    assert len(services.asked) == 3, "three spellings, three pairs, once each"


@pytest.mark.parametrize(
    ("answers", "fields", "reason"),
    [
        (["1", "2"], {}, "too_few"),
        (["1", "1", "2", "2"], {}, "tie"),
        (["1", "1", "2", "3", "4"], {}, "undecided"),
        (["1", "1", "1", "2"], {"min_share": 0.8}, "undecided"),
        (["1", "1", "1"], {"min_votes": 4}, "too_few"),
    ],
)
def test_where_nobody_wins_all_are_unknown(answers: list[str], fields: dict[str, Any], reason: str) -> None:
    assert said(vote(boxed(answers), **fields)) == [("unknown", None, reason)] * len(answers)


def test_what_does_not_answer_does_not_vote() -> None:
    rows = [
        *boxed(["4", "4", "4", "5"]),
        rollout("q1", "no idea"),
        rollout("q2", ""),
        rollout("q3", r"\boxed{4}", finish_reason="length"),
        rollout("q4", "", finish_reason="refused"),
        rollout("q5", r"\boxed{4}", condition="prefix"),
        rollout("q6", r"\boxed{" + "1" * 3000 + "}"),
    ]
    out = vote(rows)
    assert said(out)[:4] == [("correct", 0.75, None)] * 3 + [("wrong", 0.25, None)]
    assert [v[2] for v in said(out)[4:]] == ["parse_failure", "empty", "truncated", "refused", "too_large"]
    assert [r["target_id"] for r in out["rejects"]] == ["q5"]
    assert said(vote(rows, truncated="judge"))[6] == ("correct", 0.8, None)


class Unsure(Services):
    """The machine fails on the comparisons that `fails` names."""

    def __init__(self, *fails: str) -> None:
        super().__init__()
        self.fails = fails

    def judge(self, verifier: str, config: Mapping[str, Any], questions: Sequence[Question]) -> Any:
        answers, version, config_hash = super().judge(verifier, config, questions)
        broken = [
            Judgement.unknown("timeout") if any(f in q.completion + str(q.answer) for f in self.fails) else answer
            for q, answer in zip(questions, answers, strict=True)
        ]
        return broken, version, config_hash


def test_a_comparison_that_fails_makes_nobody_wrong() -> None:
    out = vote(boxed(["4", "4", "4", "5", "6"]), Unsure("6"))
    assert said(out) == [("correct", 0.6, None)] * 3 + [("wrong", 0.2, None), ("unknown", None, "timeout")]


def test_beyond_the_limit_spellings_are_not_compared() -> None:
    out = vote(boxed(["4", "4", "4", "5", "6", "7"]), max_classes=2)
    assert [v[2] for v in said(out)] == [None] * 4 + ["not_compared"] * 2


def test_text_answers_are_compared_as_text() -> None:
    services = Services()
    out = vote(boxed(["Paris", "paris.", "London"]), services, equivalence="text")
    assert [v[0] for v in said(out)] == ["correct", "correct", "wrong"] and not services.asked


def test_borda_by_hand() -> None:
    # Mean log probabilities -0.1, -0.4, -0.5: ranks 1, 2, 3, so 3 votes against 2 + 1 with power 1, and 9 to 4 + 1.
    rows = boxed(["4", "5", "5"])
    for row, logprobs in zip(rows, ([-0.1, -0.1], [-0.4], [-0.7, -0.3]), strict=True):
        row["logprobs"] = logprobs
    assert said(vote(rows, weigh="borda", power=2.0)) == [
        ("correct", 9 / 14, None), ("wrong", 5 / 14, None), ("wrong", 5 / 14, None),
    ]  # fmt: skip
    assert {v[2] for v in said(vote(rows, weigh="borda", power=1.0))} == {"tie"}
    assert said(vote(rows, weigh="borda", power=0.0))[0] == ("wrong", 1 / 3, None), "power 0 is plain voting"
    rows[0]["logprobs"] = None
    assert {v[2] for v in said(vote(rows, weigh="borda"))} == {"too_few"}, "who has no confidence does not vote"
    assert said(vote(rows, weigh="borda", min_votes=2))[0] == ("wrong", 0.0, None), "but is judged"


def test_another_scorer_weighs() -> None:
    rows = boxed(["4", "5", "5", "5"])
    given = [score(r["rollout_id"], v) for r, v in zip(rows, (0.9, 0.2, 0.1, None), strict=True)]
    fields = {"given": given, "scores": "reward"}
    out = vote(rows, weigh="value", **fields)
    assert said(out) == [("correct", 0.75, None)] + [("wrong", 0.25, None)] * 3, (
        "who has no value is judged all the same"
    )
    assert {v[2] for v in said(vote(rows, weigh="value", min_votes=4, **fields))} == {"too_few"}
    negative = [score(r["rollout_id"], -1.0) for r in rows]
    with pytest.raises(UserError, match="is no weight; set weigh: borda"):
        vote(rows, weigh="value", given=negative, scores="reward")
    assert said(vote(rows, weigh="borda", given=negative, scores="reward"))[0][0] == "wrong"
    twice = [*given, *(score(r["rollout_id"], 0.5, scorer="other") for r in rows)]
    with pytest.raises(UserError, match="several values; say which with scorer: one of other, reward"):
        vote(rows, weigh="value", given=twice, scores="reward")
    assert vote(rows, weigh="value", given=twice, scores="reward", scorer="other")


def test_rows_do_not_depend_on_order_or_partition() -> None:
    rows = [
        *boxed(["1/3", "0.333333", "2", "0.33"], "p_1"),
        *boxed(["x=2", "2", "3", "2.0"], "p_2"),
        *boxed(["2", "2", "5"], "p_1", sampling_id="hot"),
    ]
    for i, row in enumerate(rows):
        row["rollout_id"] = f"r_{i}"

    def of(given: Sequence[Mapping[str, Any]]) -> list[Any]:
        return sorted(vote(given)["scores"], key=lambda r: (r["target_id"], r["scorer"]))

    whole = of(rows)
    assert of(rows[::-1]) == whole
    apart = [row for p in ("p_1", "p_2") for row in of([r for r in rows if r["problem_id"] == p])]
    assert sorted(apart, key=lambda r: (r["target_id"], r["scorer"])) == whole
    hot = {r["target_id"]: r["verdict"] for r in whole if r["kind"] == "verdict"}
    assert (hot["r_8"], hot["r_10"]) == ("correct", "wrong"), "another sampling is another group"


def test_mistakes_are_told_before_anything_runs() -> None:
    use = "verify.vote"
    assert "known: reward" in mistakes(use, weigh="value", scores="rewards")["scores"]
    assert "name the stage whose values weigh: reward" in mistakes(use, weigh="value")["scores"]
    assert "plain votes" in mistakes(use, scores="reward")["scores"]
    assert "scorer" in mistakes(use, scorer="x")
    assert not mistakes(use, weigh="borda")


def test_nothing_in_gives_nothing_out() -> None:
    assert vote([])["scores"] == []
