"""The rules of `label.monte_carlo` on a world whose values are known: rows, forced stops, and nothing paid twice."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import suppress

import numpy as np
import pytest

from support.toy_world import (
    LINES,
    ToyRenderer,
    ToyServices,
    inputs_of,
    problem_row,
    rollout_row,
    rows,
    score_row,
    true_value,
    verdict,
    world,
)
from synthflow import ids
from synthflow.contracts import SampleRequest, SampleResult
from synthflow.errors import InfrastructureError
from synthflow.schema import TABLES
from synthflow.stages.label.monte_carlo import MonteCarlo
from synthflow.stages.label.monte_carlo_config import MonteCarloConfig

ADAPTIVE = {"method": "adaptive", "n_max": 24, "until": {"half_width": 0.2}}
POSTERIOR = {"method": "posterior", "n_max": 24, "batch": 6}
BISECTION = {"method": "bisection", "n": 6}
METHODS = (
    {"n": 4},
    ADAPTIVE,
    POSTERIOR,
    BISECTION,
    {"n": 3, "label": "hard"},
    {"n": 3, "force_stop": "!"},
    {"n": 4, "reuse": True},
)


class Journaled(ToyServices):
    """Services with a journal that outlives them; `fail_after` waves the engine is gone."""

    def __init__(self, journal: dict[str, SampleResult], fail_after: int | None = None) -> None:
        super().__init__()
        self.journal, self.left = journal, fail_after

    def sample(self, requests, policy):
        if self.left is not None:
            if not self.left:
                raise InfrastructureError("the engine is gone")
            self.left -= 1
        owed = [r for r in requests if r.rollout_id not in self.journal]
        for result in super().sample(owed, policy):
            self.journal[result.rollout_id] = result
        return [self.journal[r.rollout_id] for r in requests]


def label(inputs, services=None, **fields):
    services = services if services is not None else ToyServices()
    given = {"use": "label.monte_carlo", "of": "keep", "verdicts": "verdicts", **fields}
    stage = MonteCarlo("labels", MonteCarloConfig.model_validate(given))
    return stage.run(inputs, services), services


def toy(n_problems=4, n=8):
    problems, rollouts, scores = world(n_problems, n)
    return inputs_of(problems, rollouts, scores), {r["rollout_id"]: r for r in rollouts}


def sorted_rows(tables, name):
    return sorted(rows(tables, name), key=lambda r: [str(r[k]) for k in TABLES[name].key])


def by_rollout(tables):
    found = defaultdict(list)
    for row in rows(tables, "step_values"):
        found[row["rollout_id"]].append(row)
    return found


@pytest.mark.parametrize("fields", METHODS, ids=str)
def test_a_kill_between_waves_pays_nothing_twice(fields):
    inputs, _ = toy(1, 10)
    whole, undisturbed = label(inputs, **fields)
    journal: dict[str, SampleResult] = {}
    paid, waves, tables = 0, 0, None
    while tables is None:  # each attempt gets one wave further than the one before
        services = Journaled(journal, fail_after=waves)
        waves += 1
        with suppress(InfrastructureError):
            tables, _ = label(inputs, services, **fields)
        paid += len(services.sampled)
    assert waves > (1 if "method" not in fields else 3)
    assert paid == len(journal) == len(undisturbed.sampled) == len(rows(whole, "rollouts"))
    for name in ("steps", "step_values", "rollouts", "scores", "rejects"):
        assert rows(tables, name) == rows(whole, name)


def test_a_change_of_method_reuses_what_is_sampled():
    """Exhaustive, then adaptive, then posterior, then a top-up: ids are sampled once over all of it."""
    inputs, _ = toy()
    journal: dict[str, SampleResult] = {}
    paid: Counter[str] = Counter()
    asked, new = {}, {}
    for name, fields in (
        ("exhaustive", {"n": 4}), ("adaptive", ADAPTIVE), ("posterior", POSTERIOR), ("bisection", BISECTION),
        ("more", {"n": 8}), ("again", ADAPTIVE),
    ):  # fmt: skip
        services = Journaled(journal)
        tables, _ = label(inputs, services, **fields)
        paid.update(r.rollout_id for r in services.sampled)
        asked[name], new[name] = {r["rollout_id"] for r in rows(tables, "rollouts")}, len(services.sampled)
    assert max(paid.values()) == 1 and set(paid) == set(journal) == set.union(*asked.values())
    assert asked["exhaustive"] < asked["more"] and asked["exhaustive"] < asked["adaptive"]
    assert new["again"] == 0 < new["adaptive"] < len(asked["adaptive"])
    assert new["posterior"] < len(asked["posterior"]) and new["bisection"] < len(asked["bisection"])


def test_more_continuations_tighten_and_keep():
    inputs, _ = toy()
    few, _ = label(inputs, n=4)
    many, _ = label(inputs, n=32)
    kept = {r["rollout_id"]: r for r in rows(many, "rollouts")}
    assert all(kept[r["rollout_id"]] == r for r in rows(few, "rollouts"))
    pairs = [
        (a, b) for a, b in zip(sorted_rows(few, "step_values"), sorted_rows(many, "step_values"), strict=True) if a["n"]
    ]
    assert pairs and all(a["step_id"] == b["step_id"] and b["n"] == 32 and a["n"] == 4 for a, b in pairs)
    assert all(b["value_high"] - b["value_low"] < a["value_high"] - a["value_low"] for a, b in pairs)
    assert all(a["successes"] <= b["successes"] <= a["successes"] + 28 for a, b in pairs)


@pytest.mark.parametrize("fields", METHODS, ids=str)
def test_rows_do_not_depend_on_partitions_or_order(fields):
    problems, rollouts, scores = world(3, 6)
    whole, _ = label(inputs_of(problems, rollouts[::-1], scores[::-1]), **fields)
    parts = defaultdict(list)
    for problem in problems:
        own = [x for x in rollouts if x["problem_id"] == problem["problem_id"]]
        judged = [x for x in scores if x["problem_id"] == problem["problem_id"]]
        for name, table in label(inputs_of([problem], own, judged), **fields)[0].items():
            parts[name] += table.to_pylist()
    for name in ("steps", "step_values", "rollouts", "scores", "rejects"):
        key = TABLES[name].key
        assert sorted_rows(whole, name) == sorted(parts[name], key=lambda r: [str(r[k]) for k in key])


@pytest.mark.parametrize("fields", METHODS, ids=str)
def test_counts_add_up(fields):
    """Every continuation is counted in the row of its prefix, and its tokens in one row only."""
    inputs, _ = toy()
    tables, _ = label(inputs, **fields)
    sampled = rows(tables, "rollouts")
    assert sum(v["tokens_spent"] for v in rows(tables, "step_values")) == sum(r["n_tokens"] for r in sampled)
    numbers = defaultdict(set)
    for row in sampled:
        numbers[row["prefix_id"]].add(row["index"])
    assert all(found == set(range(len(found))) for found in numbers.values())
    correct = {s["target_id"] for s in rows(tables, "scores") if s["verdict"] == "correct"}
    for values in by_rollout(tables).values():
        assert [v["value_before"] for v in values[1:]] == [v["value"] for v in values[:-1]]
        for v in values:
            known = v["value"] is not None and v["value_before"] is not None
            assert (v["advantage"] is not None) == known
            assert v["n"] or v["value"] is None or v is values[-1]
    assert correct


def test_adaptive_spends_on_the_undecided():
    inputs, rollouts = toy()
    tables, _ = label(inputs, **ADAPTIVE)
    widths, counts = defaultdict(list), defaultdict(list)
    for row in rows(tables, "step_values"):
        if row["n"]:
            assert row["n"] >= 4 and (row["n"] == 24 or (row["value_high"] - row["value_low"]) / 2 <= 0.2)
            extreme = row["successes"] in (0, row["n"])
            counts[extreme].append(row["n"])
            widths[extreme].append(row["value_high"] - row["value_low"])
    assert np.mean(counts[True]) < 10 and np.mean(counts[False]) > 14 and min(counts[True]) > 4
    assert {r["labeler"] for r in rows(tables, "step_values")} == {"monte_carlo/adaptive"}
    assert len(rollouts)


@pytest.mark.parametrize(("fields", "least"), [(POSTERIOR, 0.75), (BISECTION, 0.25)], ids=["posterior", "bisection"])
def test_searches_find_the_first_bad_line(fields, least):
    """A line is bad with 25%, after which 10% recover: a dead probe of six then looks alive in 47% of cases."""
    inputs, rollouts = toy(12, 8)
    tables, _ = label(inputs, **fields)
    named = right = 0
    for rollout, values in by_rollout(tables).items():
        lines = rollouts[rollout]["completion"].splitlines()
        wrong = verdict(rollouts[rollout]["completion"]).verdict == "wrong"
        flags = [v["is_first_error"] for v in values]
        if not wrong:
            assert flags == [False] * len(values)
            assert all(v["p_first_error"] is None for v in values) and values[-1]["value"] == 1
            continue  # values it has are those of prefixes that it shares with wrong ones
        chances = [v["p_first_error"] for v in values]
        if fields is POSTERIOR:
            assert all(0 <= p <= 1 for p in chances) and sum(chances) <= 1 + 1e-5
            assert (max(chances) >= 0.9) == any(flags) and (max(chances) < 0.9) == (flags == [None] * len(flags))
        else:
            assert chances == [None] * len(values)
        bad = next((i for i, line in enumerate(lines) if line.startswith("bad")), None)
        if any(flags) and bad is not None:
            named += 1
            right += flags.index(True) == bad
    assert named > 15 and right / named >= least


def test_a_budget_in_tokens():
    inputs, _ = toy()
    free, _ = label(inputs, **POSTERIOR)
    tight, _ = label(inputs, **POSTERIOR, token_budget=60)
    spent = {name: Counter() for name in ("free", "tight")}
    for name, tables in (("free", free), ("tight", tight)):
        for row in rows(tables, "step_values"):
            spent[name][row["rollout_id"]] += row["tokens_spent"]
    assert max(spent["free"].values()) > 100
    assert max(spent["tight"].values()) < 100 and sum(spent["tight"].values()) < sum(spent["free"].values())


def test_hard_labels_by_hand():
    inputs, rollouts = toy()
    soft, _ = label(inputs, n=3)
    hard, _ = label(inputs, n=3, label="hard")
    for a, b in zip(rows(soft, "step_values"), rows(hard, "step_values"), strict=True):
        assert b["value"] == float(a["value"] > 0) and (b["n"], b["successes"]) == (a["n"], a["successes"])
        assert b["value_low"] is b["value_high"] is b["advantage_se"] is None
        assert a["config_hash"] != b["config_hash"]
    for rollout, values in by_rollout(hard).items():
        lost = [i for i, v in enumerate(values) if v["value"] == 0]
        wrong = rollouts[rollout]["completion"].endswith("= 0")
        assert [i for i, v in enumerate(values) if v["is_first_error"]] == (lost[:1] if wrong else [])


def test_a_forced_stop_values_every_prefix_the_prompt_too():
    """`= ` after a prefix asks for the answer at once; here the toy policy then writes nothing more than that."""
    inputs, rollouts = toy()
    free, _ = label(inputs, n=3)
    services = ToyServices()
    tables, _ = label(inputs, services, n=3, force_stop="!")
    ids_of = [{r["rollout_id"] for r in rows(t, "rollouts")} for t in (free, tables)]
    assert not ids_of[0] & ids_of[1] and ids_of[1]
    sampled = {r["rollout_id"]: r for r in rows(tables, "rollouts")}
    for row in sampled.values():
        parent = rollouts[row["parent_rollout_id"]]
        prefix = parent["token_ids"][: row["branch_token"]]
        assert row["prompt_token_ids"] == [*parent["prompt_token_ids"], *prefix, ord("!")]
        assert row["prefix_id"] == ids.prefix_id(row["problem_id"], [*prefix, ord("!")])
        assert not row["on_policy"] and row["condition"] == "prefix"
    for question in services.asked:  # judged as prefix, forced text and continuation
        row = sampled[question.target_id]
        parent = rollouts[row["parent_rollout_id"]]["completion"]
        assert question.completion.startswith(parent[: row["branch_token"]] + "!")
        assert question.completion.endswith(row["completion"])
    verdicts = {s["target_id"]: s["verdict"] for s in rows(tables, "scores")}
    for values in by_rollout(tables).values():
        own = [r for r in sampled.values() if r["problem_id"] == values[0]["problem_id"] and r["branch_token"] == 0]
        assert len(own) == 3  # the prompt's value is measured by the same forced stop, once a problem
        assert values[0]["value_before"] == pytest.approx(sum(verdicts[r["rollout_id"]] == "correct" for r in own) / 3)
        known = [v["advantage"] for v in values]
        assert sum(known) == pytest.approx(values[-1]["value"] - values[0]["value_before"], abs=1e-6)


def test_hostile_completions_under_every_method():
    texts = ["\u2028\r\r\n\n\n", "\n" * 5000 + "= 0", "a\x00b\n🧑\u200d🚀\n= 0", "ok0\n" * 300 + "= 0", "= 0", "= 1",
             "é\u0301\u0301\nok1\n= 0"]  # fmt: skip
    problem = problem_row("x")
    made = [rollout_row(problem, i, text) for i, text in enumerate(texts)]
    inputs = inputs_of([problem], made, [score_row(r, verdict(r["completion"]).verdict) for r in made])
    for fields in METHODS:
        small = {k: v for k, v in fields.items() if k not in ("n", "n_max")}
        limit = {"n": 1} if "n" in fields else {"n_max": 4}
        tables, _ = label(inputs, **small, **limit)
        assert {v["rollout_id"] for v in rows(tables, "step_values")} == {r["rollout_id"] for r in made}


def test_all_refused_ends():
    inputs, _ = toy(2)
    for fields in METHODS:
        tables, services = label(inputs, ToyServices(refuse=lambda request: True), **fields)
        values = [v for v in rows(tables, "step_values") if v["n_unknown"]]
        assert values and all(v["value"] is None for v in values)
        assert len(services.sampled) == len(rows(tables, "rollouts"))


def test_reuse_costs_less_and_is_unbiased():
    """A line has one of three digits: some of the continuations go on as the rollout did, and count there too."""
    inputs, rollouts = toy(6)
    plain, _ = label(inputs, n=24)
    reused, services = label(inputs, n=24, reuse=True)
    assert len(services.sampled) < 0.9 * len(rows(plain, "rollouts"))
    assert sum(v["tokens_spent"] for v in rows(reused, "step_values")) == sum(
        r["n_tokens"] for r in rows(reused, "rollouts")
    )
    spans = {t["step_id"]: t["char_end"] for t in rows(reused, "steps")}
    weighted, seen = 0.0, set()
    deviations = []
    for value in rows(reused, "step_values"):
        prefix = rollouts[value["rollout_id"]]["completion"][: spans[value["step_id"]]]
        if value["n"] and (value["problem_id"], prefix) not in seen:
            seen.add((value["problem_id"], prefix))
            assert value["n"] >= 24
            truth = true_value(prefix)
            if truth < 1:
                deviations.append((value["value"] - truth) / (truth * (1 - truth) / value["n"]) ** 0.5)
            weighted += value["n"]
    assert len(deviations) > 30 and weighted > len(services.sampled)
    assert abs(np.mean(deviations)) < 0.45 and 0.7 < np.std(deviations) < 1.3
    assert {r["rollout_id"] for r in rows(reused, "rollouts")} < {r["rollout_id"] for r in rows(plain, "rollouts")}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"n_max": 9}, "n_max is for method: adaptive or posterior, not exhaustive"),
        ({"method": "posterior", "n": 3}, "n is for method: exhaustive or bisection"),
        ({"method": "posterior", "max_steps": 1000}, "max_steps is at most 256"),
        ({"method": "adaptive", "n_max": 2}, "n_max (2) is below n_min (4)"),
        ({"method": "adaptive", "until": {}}, "says nothing"),
        ({"method": "bisection", "force_stop": "!"}, "force_stop is for method"),
    ],
)
def test_mistakes_are_one_clear_line(fields, says):
    with pytest.raises(ValueError, match="1 validation error") as caught:
        MonteCarloConfig.model_validate({"use": "label.monte_carlo", **fields})
    assert says in str(caught.value)


def test_requests_of_all_methods_are_what_backends_take():
    inputs, _ = toy(2)
    for fields in METHODS:
        _, services = label(inputs, **fields)
        assert all(isinstance(r, SampleRequest) for r in services.sampled)
    assert ToyRenderer().encode("!") == [ord("!")] and LINES == 4 and 0 < true_value("ok0\n") < 1
