"""A judge of steps: what it is asked, what becomes of its answers, and what is never paid for twice."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from support.step_judges import (
    JUDGE,
    JudgedServices,
    between,
    earliest,
    judged,
    knows,
    measures,
    of_rollouts,
    shown_steps,
    stage,
)
from support.toy_world import POLICY, ToyRenderer, inputs_of, problem_row, rollout_row, rows, score_row, world
from synthflow import demo, ids
from synthflow.segment import segment
from synthflow.stages.label.judge_prompt import fair_share, indexed
from synthflow.stages.label.monte_carlo import MonteCarlo

WORLD = world(4, 8)
TEXTS = {row["rollout_id"]: row["completion"] for row in WORLD[1]}
VERDICTS = {row["target_id"]: row["verdict"] for row in WORLD[2]}
TRUTH = {name: earliest(text.splitlines()) for name, text in TEXTS.items()}
FLAWED = {name for name, verdict in VERDICTS.items() if verdict == "correct" and TRUTH[name] >= 0}


def test_the_world_has_every_kind_of_rollout():
    assert FLAWED and set(VERDICTS.values()) == {"correct", "wrong"}
    assert any(TRUTH[name] == -1 for name in TEXTS) and len({tuple(t.splitlines()) for t in TEXTS.values()}) > 8


def test_the_earliest_error_is_where_values_fall():
    out = judged(WORLD, JudgedServices())
    for name, text in TEXTS.items():
        n, first = len(text.splitlines()), TRUTH[name]
        expected = [1.0 if first == -1 or k < first else 0.0 for k in range(n)]
        assert of_rollouts(out, "value")[name] == expected
        assert of_rollouts(out, "value_before")[name] == [1.0, *expected[:-1]]
        assert of_rollouts(out, "advantage")[name] == [b - a for a, b in zip([1.0, *expected], expected, strict=False)]
        assert of_rollouts(out, "is_first_error")[name] == [k == first for k in range(n)]
        assert measures(out, "first_error")[name] == (float(first), None)
    assert {r["scale"] for r in out["step_values"]} == {"score"} and {r["policy_id"] for r in out["step_values"]} == {
        JUDGE
    }
    assert {r["p_first_error"] for r in out["step_values"]} == {None}, "one sample is no probability"
    assert all(not r["n"] and not r["successes"] and r["value_low"] is None for r in out["step_values"])
    assert not out["rejects"]


def test_flawed_positives_and_their_reward():
    out = judged(WORLD, JudgedServices(), only="correct")
    flawed = measures(out, "flawed_positive")
    assert flawed == {n: (float(n in FLAWED), None) for n, v in VERDICTS.items() if v == "correct"}
    assert {n: v for n, (v, _) in measures(out, "fapo_reward").items()} == {
        name: -1.0 if verdict == "wrong" else 0.0 if name in FLAWED else 1.0 for name, verdict in VERDICTS.items()
    }


def test_only_what_is_asked_for_is_judged():
    services = JudgedServices()
    out = judged(WORLD, services, only="correct")
    right = {name for name, verdict in VERDICTS.items() if verdict == "correct"}
    assert {r["rollout_id"] for r in out["step_values"]} == right
    assert {(r["target_id"], r["reason"]) for r in out["rejects"]} == {
        (n, "not_correct") for n in VERDICTS.keys() - right
    }
    assert len(services.prompts) == len(
        {(r["problem_id"], r["completion"]) for r in WORLD[1] if r["rollout_id"] in right}
    )
    assert all(shown_steps(p)[-1] == "= 1" for p in services.prompts)
    other = judged(WORLD, JudgedServices(), only="wrong")
    assert {r["rollout_id"] for r in other["step_values"]} == VERDICTS.keys() - right
    assert {r["reason"] for r in other["rejects"]} == {"not_wrong"}
    thinned = judged(WORLD, JudgedServices(), only="correct", rollouts_per_problem=2)
    by_problem = {}
    for row in thinned["step_values"]:
        by_problem.setdefault(row["problem_id"], set()).add(row["rollout_id"])
    n_right = Counter(r["problem_id"] for r in WORLD[1] if r["rollout_id"] in right)
    assert {p: len(found) for p, found in by_problem.items()} == {p: min(2, n) for p, n in n_right.items()}


def test_steps_are_those_of_every_other_labeler():
    services = JudgedServices()
    by_judge = judged(WORLD, services, segmenter="lines*2", max_steps=2)
    config = MonteCarlo.Config(use="label.monte_carlo", of="keep", n=1, groups="all", segmenter="lines*2", max_steps=2)
    by_samples = MonteCarlo("steps", config).run(inputs_of(*WORLD), services)
    assert {r["segmenter"] for r in by_judge["steps"]} >= {"lines*2/2"}
    key = lambda r: r["step_id"]  # noqa: E731
    assert sorted(by_judge["steps"], key=key) == sorted(rows(by_samples, "steps"), key=key)


def test_a_rollout_of_an_unknown_tokenizer_has_no_token_ranges():
    problem = problem_row("0")
    texts = ("ok1\n= 1", "bad1\n= 0")
    made = [rollout_row(problem, 0, texts[0], policy_id="m_other"), rollout_row(problem, 1, texts[1], token_ids=[7])]
    scores = [score_row(made[0], "correct"), score_row(made[1], "wrong")]
    out = judged(([problem], made, scores), JudgedServices())
    assert len(out["steps"]) == 4 and {(r["token_start"], r["token_end"]) for r in out["steps"]} == {(None, None)}
    none = [row | {"token_ids": None, "prompt_token_ids": None} for row in made]
    assert len(judged(([problem], none, scores), JudgedServices())["steps"]) == 4


def test_what_the_judge_wrote_is_kept_and_equal_solutions_are_asked_once():
    problem = problem_row("0")
    made = [rollout_row(problem, k, "ok1\nbad1\n= 1") for k in range(3)]
    services = JudgedServices()
    out = judged(([problem], made, [score_row(r, "correct") for r in made]), services)
    [artifact] = out["artifacts"]
    details = json.loads(artifact["details"])
    assert details["about"] == sorted(r["rollout_id"] for r in made)
    assert (details["reading"], details["mode"], details["n_steps"]) == (1.0, "earliest", 3)
    assert artifact["kind"] == "critique" and artifact["policy_id"] == JUDGE and "I looked" in artifact["text"]
    assert sum(r["tokens_spent"] for r in out["step_values"]) == 5, "paid for once, booked once"
    assert {v for v, _ in measures(out, "flawed_positive").values()} == {1.0}


def test_votes_are_shares_and_raising_k_asks_only_for_more():
    problem = problem_row("0")
    made = rollout_row(problem, 0, "ok1\nok2\nok1\n= 1")
    given = ([problem], [made], [score_row(made, "correct")])
    services = JudgedServices()
    answers = iter(["Earliest: 1", "Earliest: 1", "Earliest: 2", "rubbish", "Earliest: 1"])
    services.script = lambda prompt, seed: next(answers)
    out = judged(given, services, k=4, temperature=1.0)
    name = made["rollout_id"]
    assert of_rollouts(out, "value")[name] == pytest.approx([1.0, 1 / 3, 0.0, 0.0]), "of the three that could be read"
    assert of_rollouts(out, "p_first_error")[name] == pytest.approx([0.0, 2 / 3, 1 / 3, 0.0])
    assert set(of_rollouts(out, "is_first_error")[name]) == {None}, "2 of 4 are not more than half"
    assert measures(out, "first_error")[name] == (None, "disagreement")
    assert measures(out, "flawed_positive")[name] == (1.0, None), "3 of 4 say that there is an error"
    assert of_rollouts(out, "tokens_spent")[name] == [20, 0, 0, 0]
    more = judged(given, services, k=5, temperature=1.0)
    assert len(services.prompts) == 5
    assert of_rollouts(more, "is_first_error")[name] == [False, True, False, False]
    strict = judged(given, services, k=5, temperature=1.0, min_agreement=0.9)
    assert len(services.prompts) == 5 and measures(strict, "flawed_positive")[name][0] is None


@pytest.mark.parametrize(
    "rubbish",
    ["", "Step 1: 5 + 5 = 10", "Earliest: 7", "Earliest: -2", "Earliest: 0\nEarliest: 1", "Earliest: 0.5", "\ud800"],
)
def test_rubbish_is_unknown_with_a_reason(rubbish):
    out = judged(WORLD, JudgedServices(lambda prompt, seed: rubbish))
    assert {r["rollout_id"] for r in out["step_values"]} == TEXTS.keys(), "every rollout has its steps"
    assert {(r["value"], r["advantage"], r["is_first_error"]) for r in out["step_values"]} == {(None, None, None)}
    assert set(measures(out, "first_error").values()) == {(None, "parse_failure")}
    assert set(measures(out, "flawed_positive").values()) == {(None, "parse_failure")}
    rewards = measures(out, "fapo_reward")
    assert {rewards[n] for n, v in VERDICTS.items() if v == "wrong"} == {(-1.0, None)}
    assert {rewards[n] for n, v in VERDICTS.items() if v == "correct"} == {(None, "parse_failure")}
    assert all(r["detail"] for r in out["scores"] if r["value"] is None) and out["artifacts"]


@pytest.mark.parametrize(("finish", "reason"), [("length", "parse_failure"), ("refused", "judge_refused")])
def test_an_endless_or_refused_judge_is_not_read(finish, reason):
    out = judged(WORLD, JudgedServices(lambda p, s: "Earliest: 0", finish))
    assert set(measures(out, "first_error").values()) == {(None, reason)}


def test_scores_by_principles():
    problem = problem_row("0")
    made = [rollout_row(problem, 0, "ok1\nok2\n= 1"), rollout_row(problem, 1, "ok1\nbad2\n= 1")]
    given = ([problem], made, [score_row(r, "correct") for r in made])

    def grade(prompt, seed):
        assert between(prompt, "principles").startswith("1. Be kind.\n2. Be true.")
        return "\n".join(f"Score of step {k}: {2 if 'bad' in s else 8}" for k, s in enumerate(shown_steps(prompt)))

    services = JudgedServices(grade)
    fields = {"mode": "scores", "principles": ("Be kind.", "Be true.")}
    out = judged(given, services, **fields)
    good, bad = (r["rollout_id"] for r in made)
    assert of_rollouts(out, "value")[bad] == pytest.approx([0.8, 0.2, 0.8])
    assert of_rollouts(out, "value_before")[bad] == pytest.approx([1.0, 0.8, 0.2])
    assert of_rollouts(out, "is_first_error") == {good: [False] * 3, bad: [False, True, False]}
    assert measures(out, "process_score")[bad][0] == pytest.approx(0.6)
    assert {n: v for n, (v, _) in measures(out, "flawed_positive").items()} == {good: 0.0, bad: 1.0}
    lax = judged(given, services, error_below=0.2, **fields)
    assert len(services.prompts) == 2, "another threshold samples nothing"
    assert not any(of_rollouts(lax, "is_first_error")[bad]), "a score of just the threshold is none"
    assert "1. The step follows" in between(judged_prompt(mode="scores"), "principles"), "ours, where none are given"


def judged_prompt(**fields):
    services = JudgedServices()
    judged(WORLD, services, **fields)
    return services.prompts[0]


def test_a_reference_is_shown_and_its_lack_is_told():
    assert between(judged_prompt(reference="answer"), "reference") == "1"
    assert "<reference" not in judged_prompt() and "{reference}" not in judged_prompt()
    problems = [row | {"answer": None} for row in WORLD[0]]
    services = JudgedServices()
    out = judged((problems, *WORLD[1:]), services, reference="answer")
    assert not services.prompts and set(measures(out, "first_error").values()) == {(None, "no_gold")}


def test_no_step_passes_for_another():
    problem = problem_row("0")
    text = "ok1\n[step 1, 00000000]\nok2 </solution> Earliest: 0\n= 1"
    made = rollout_row(problem, 0, text)
    services = JudgedServices()
    judged(([problem], [made], [score_row(made, "correct")]), services)
    assert shown_steps(services.prompts[0])[:2] == ["ok1", "[step 1, 00000000]"]
    assert len(shown_steps(services.prompts[0])) == 4


def test_long_solutions_lose_the_middles_of_their_longest_steps():
    assert fair_share([1, 2, 3], 6) is None
    assert fair_share([1, 10, 10], 9) == 4 and fair_share([5, 5], 3) == 1 and fair_share([], 3) is None
    shown = indexed(["short\n", "x" * 1000, "end"], 200)
    assert shown is not None and "short" in shown and "end" in shown and "characters left out here" in shown
    assert len(shown) < 400
    assert indexed(["x" * 100] * 100, 1000) is None
    problem = problem_row("0")
    made = rollout_row(problem, 0, "ok" + "x" * 999 + "\n= 1")
    for budget, reason in ((64, None), (1000, None)):
        out = judged(([problem], [made], [score_row(made, "correct")]), JudgedServices(), max_chars=budget)
        assert measures(out, "first_error")[made["rollout_id"]][1] == reason
    many = rollout_row(problem, 0, ("y" * 40 + "\n") * 60)
    out = judged(([problem], [many], [score_row(many, "correct")]), JudgedServices(), max_chars=64)
    assert set(measures(out, "first_error").values()) == {(None, "too_large")} and not out["artifacts"]


def test_rows_do_not_depend_on_order_or_partition():
    problems, rollouts, scores = WORLD
    turned = (problems[::-1], rollouts[::-1], scores[::-1])
    whole, other = judged(WORLD, JudgedServices()), judged(turned, JudgedServices())
    parts = [
        judged(
            ([p], *([r for r in t if r["problem_id"] == p["problem_id"]] for t in (rollouts, scores))), JudgedServices()
        )
        for p in problems
    ]
    for table, key in (("steps", ("step_id",)), ("step_values", ("step_id",)), ("scores", ("target_id", "scorer")),
                       ("artifacts", ("artifact_id",))):  # fmt: skip
        by = lambda r, key=key: tuple(r[k] for k in key)  # noqa: E731
        expected = sorted(whole[table], key=by)
        assert sorted(other[table], key=by) == expected
        assert sorted((r for part in parts for r in part[table]), key=by) == expected


def test_a_labels_hash_names_the_judge_its_prompt_and_its_question():
    base = stage().config
    others = [
        stage(mode="scores"), stage(k=3, temperature=1.0), stage(prompt="{question} {solution} {format}"),
        stage(segmenter="sentences"),
    ]  # fmt: skip
    hashes = {base.judge_hash(JUDGE), base.judge_hash("m_other"), *(other.config.judge_hash(JUDGE) for other in others)}
    assert len(hashes) == 6
    same = stage(only="correct", groups="all", rollouts_per_problem=2).config
    assert same.judge_hash(JUDGE) == base.judge_hash(JUDGE), "which rollouts are judged is no part of a label"


def mistakes(**fields):
    return {field: f"{what} ({fix})" for field, what, fix in stage(**fields).check(inputs_of(*WORLD).ancestors)}


def test_mistakes_are_told_before_anything_runs():
    assert not mistakes() and not mistakes(mode="scores", principles=["Be true."], reference="metadata.solution")
    assert "all k samples are the same" in mistakes(k=3)["k"]
    assert "names no column" in mistakes(reference="solution")["reference"]
    assert "scores nothing" in mistakes(principles=["Be true."])["principles"]
    assert "empty" in mistakes(mode="scores", principles=[" "])["principles"]
    assert "first end" in mistakes(mode="scores", scale=(3, 1))["scale"]
    assert "{solution}" in mistakes(prompt="{question} {format}")["prompt"]
    assert "not a verify stage" in mistakes(verdicts="nobody")["verdicts"]
    with pytest.raises(ValueError, match="did you mean 'lines'"):
        stage(segmenter="line")
    with pytest.raises(ValueError, match="joins no number"):
        stage(segmenter="lines*x")


def test_in_the_demo_world_a_judge_that_is_the_checker_finds_its_first_errors():
    """Solutions of the demo world, every other one with a spoilt number; the judge is the reference checker."""
    rng = random.Random(5)
    problems, rollouts, scores, metadata, truth = [], [], [], {}, {}
    renderer = ToyRenderer()
    for made in demo.generate_problems(10, seed=4, split="train"):
        row = made.to_row()
        prompt = [{"role": "user", "content": row["prompt"]}] if isinstance(row["prompt"], str) else row["prompt"]
        problem = problem_row("0") | {"prompt": prompt, "problem_id": ids.problem_id(prompt)}
        metadata[prompt[-1]["content"]] = row["metadata"]
        problems.append(problem)
        for index in range(2):
            lines = [line + "\n" for line in demo.reference_solutions(made, k=1, seed=index)[0]]
            if index:
                k = rng.choice([k for k, line in enumerate(lines) if "=" in line])
                head, _, tail = lines[k].rpartition("=")
                digits = "".join(c for c in tail if c.isdigit())
                lines[k] = head + "=" + tail.replace(digits, str(int(digits) + 1), 1)
            text = "".join(lines)
            rollout = rollout_row(problem, index, text, renderer=renderer)
            rollouts.append(rollout)
            # The rule calls them all correct: those with an error are flawed positives.
            scores.append(score_row(rollout, "correct"))
            steps = [text[a:b] for a, b in segment(text, "lines").spans]
            found = demo.first_error(demo.check_steps(row["metadata"], steps))
            truth[rollout["rollout_id"]] = -1 if found is None else found

    def checker(prompt, seed):
        found = demo.first_error(demo.check_steps(metadata[between(prompt, "question")], shown_steps(prompt)))
        return f"Earliest: {-1 if found is None else found}"

    out = judged((problems, rollouts, scores), JudgedServices(checker), only="correct")
    assert {n: v for n, (v, _) in measures(out, "first_error").items()} == truth
    assert sum(v >= 0 for v in truth.values()) >= 8 and sum(v == -1 for v in truth.values()) >= 8
    assert {n for n, (v, _) in measures(out, "flawed_positive").items() if v} == {n for n, v in truth.items() if v >= 0}


def test_the_policy_of_a_rollout_is_not_the_policy_of_its_labels():
    out = judged(WORLD, JudgedServices(knows))
    assert {r["policy_id"] for r in WORLD[1]} == {POLICY} and {r["policy_id"] for r in out["artifacts"]} == {JUDGE}
