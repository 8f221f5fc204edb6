"""A first wave, a budget, a second wave: the stages, from verdicts to groups of both waves."""

from __future__ import annotations

import json

import polars as pl
import pyarrow as pa
import pytest
from pydantic import ValidationError

from support.stages import stage_info
from support.toy_world import ToyRenderer, ToyServices, problem_row, rows
from synthflow.contracts import MemoryInputs
from synthflow.contracts.stage import Estimate
from synthflow.errors import Mistakes, UserError
from synthflow.execute.coverage import check_coverage, check_keys
from synthflow.schema import PROBLEM_STATS, PROBLEMS, ROLLOUTS, SCORES
from synthflow.spec import Pipeline
from synthflow.stages.curriculum.budget import Budget
from synthflow.stages.curriculum.pass_rate import PassRate
from synthflow.stages.sample.first import Sample
from synthflow.stages.sample.more import SampleMore

SAMPLING = {"policy": "default", "temperature": 1.0, "max_tokens": 64}


class Renderer(ToyRenderer):
    def render(self, messages):
        return self.encode(messages[-1][1])


class Run:
    """Stages run one after the other on tables in memory, as the engine would, checks included."""

    def __init__(self, n_problems=6):
        self.services = ToyServices(Renderer())
        problems = PROBLEMS.from_rows([problem_row(str(i)) for i in range(n_problems)])
        self.infos = [stage_info("problems", "source.demo", ("problems",))]
        self.tables = {"problems": {"problems": problems}}

    def inputs(self, *of):
        return MemoryInputs(self.infos, of, self.tables)

    def add(self, name, stage_class, of, **fields):
        parents = (of,) if isinstance(of, str) else of
        config = stage_class.Config.model_validate({"use": stage_class.use, "of": list(parents), **fields})
        stage = stage_class(name, config)
        assert not list(stage.check(self.infos)), list(stage.check(self.infos))
        inputs = self.inputs(*parents)
        tables = stage.run(inputs, self.services)
        check_keys(name, tables)
        check_coverage(name, stage.covers, inputs, tables)
        self._keep(name, stage_class.use, stage.writes, parents, tables, config.model_dump(mode="json"))
        return tables

    def verify(self, name, *of):
        """Verdicts as the toy judge gives them, on the nearest rollouts."""
        rollouts = self.inputs(*of).table("rollouts", nearest=True).to_pylist()
        scores = [
            {
                "problem_id": r["problem_id"], "target_kind": "rollout", "target_id": r["rollout_id"],
                "kind": "verdict", "scorer": "exact", "scorer_version": "1", "config_hash": "c",
                "verdict": "correct" if r["completion"].endswith("= 1") else "wrong",
                "value": float(r["completion"].endswith("= 1")), "stage_id": "h",
            }
            for r in rollouts
        ]  # fmt: skip
        self._keep(name, "verify.exact", ("scores",), of, {"scores": SCORES.from_rows(scores)}, {})

    def _keep(self, name, use, writes, parents, tables, config):
        self.infos.append(stage_info(name, use, tuple(writes), tuple(parents), config))
        self.tables[name] = dict(tables)

    def first(self, n=4):
        self.add("rollouts", Sample, "problems", n=n, **SAMPLING)
        self.verify("first", "rollouts")
        self.add("rates", PassRate, "first")
        return self

    def stats(self, name):
        return {r["problem_id"]: r for r in rows(self.tables[name], "problem_stats")}


def extras(tables):
    return {r["target_id"]: int(r["detail"]) for r in rows(tables, "scores") if r["scorer"] == "curriculum.budget"}


def test_both_waves_are_one_group_and_what_a_larger_n_would_have_sampled():
    run = Run().first()
    given = extras(run.add("budget", Budget, "rates", rollouts_per_problem=3.0, n_max=16))
    assert sum(given.values()) == 18 and max(given.values()) > min(given.values())
    paid = len(run.services.sampled)
    more = run.add("more", SampleMore, "budget", **SAMPLING)
    assert len(run.services.sampled) == paid + 18
    run.verify("second", "rollouts", "more")
    run.add("again", PassRate, "second", verdicts="second")
    before, after = run.stats("rates"), run.stats("again")
    assert {p: r["n"] for p, r in after.items()} == {p: r["n"] + given[p] for p, r in before.items()}
    assert all(r["n_correct"] >= before[p]["n_correct"] for p, r in after.items())

    large = Run()
    large.add("rollouts", Sample, "problems", n=4 + max(given.values()), **SAMPLING)
    wanted = {r["rollout_id"]: r["completion"] for r in rows(large.tables["rollouts"], "rollouts")}
    found = [*rows(run.tables["rollouts"], "rollouts"), *rows(more, "rollouts")]
    assert len({r["rollout_id"] for r in found}) == len(found) == 24 + 18
    assert all(wanted[r["rollout_id"]] == r["completion"] for r in found)


def test_a_third_wave_goes_on_where_the_second_ended():
    run = Run().first()
    one = extras(run.add("b1", Budget, "rates", rollouts_per_problem=2.0))
    run.add("m1", SampleMore, "b1", **SAMPLING)
    run.verify("v1", "rollouts", "m1")
    run.add("d1", PassRate, "v1", verdicts="v1")
    two = extras(run.add("b2", Budget, "d1", rollouts_per_problem=2.0))
    m2 = run.add("m2", SampleMore, "b2", **SAMPLING)
    for problem, n in two.items():
        found = sorted(r["index"] for r in rows(m2, "rollouts") if r["problem_id"] == problem)
        assert found == list(range(4 + one[problem], 4 + one[problem] + n))
    run.verify("v2", "rollouts", "m1", "m2")
    run.add("d2", PassRate, "v2", verdicts="v2")
    assert {p: r["n"] for p, r in run.stats("d2").items()} == {p: 4 + one[p] + two[p] for p in one}


def test_problems_that_get_nothing_are_accounted_for():
    run = Run().first()
    given = extras(run.add("budget", Budget, "rates", rollouts_per_problem=0.5))
    more = run.add("more", SampleMore, "budget", **SAMPLING)
    without = {p for p, n in given.items() if n == 0}
    assert without and {r["target_id"] for r in rows(more, "rejects")} == without
    assert {r["reason"] for r in rows(more, "rejects")} == {"no_budget"}
    empty = Run().first()
    empty.add("budget", Budget, "rates", rollouts_per_problem=0.01)  # less than one in all
    assert rows(empty.add("more", SampleMore, "budget", **SAMPLING), "rollouts") == []


def test_partitions_do_not_matter():
    """A partition reads its own problems' share of what was decided over all."""
    run = Run().first()
    run.add("budget", Budget, "rates", rollouts_per_problem=2.0)
    whole = run.add("more", SampleMore, "budget", **SAMPLING)["rollouts"]
    parts = []
    for problem in run.tables["problems"]["problems"]["problem_id"].to_pylist():
        tables = {
            stage: {
                table: rows_.filter(pa.compute.equal(rows_["problem_id"], problem))
                for table, rows_ in by_table.items()
                if table != "telemetry"
            }
            for stage, by_table in run.tables.items()
            if stage != "more"
        }
        stage = SampleMore("more", SampleMore.Config(use=SampleMore.use, of=("budget",), **SAMPLING))
        parts.append(stage.run(MemoryInputs(run.infos[:-1], ["budget"], tables), run.services)["rollouts"])
    split = pa.concat_tables(parts).sort_by("rollout_id")
    assert split.equals(whole.sort_by("rollout_id"))


def stat(problem, correct, wrong, unknown=0, sampling="g", policy="m"):
    return {
        "problem_id": problem, "policy_id": policy, "round": 0, "sampling_id": sampling,
        "n": correct + wrong + unknown, "n_correct": correct, "n_wrong": wrong, "n_unknown": unknown,
        "n_truncated": 0, "group_state": "mixed", "difficulty_bin": "medium", "stage_id": "h",
    }  # fmt: skip


def budget_of(stats, tokens=10, **fields):
    """The budget's tables for made-up groups, whose rollouts have `tokens` (by problem, or all alike)."""
    rollouts = [
        {
            "rollout_id": f"r_{s['problem_id']}_{i}", "problem_id": s["problem_id"], "policy_id": "m", "round": 0,
            "sampling_id": "g", "prefix_id": "x_none", "index": i, "seed": 1, "stage_id": "h", "condition": "none",
            "turn": 0, "prompt": [], "completion": "", "completion_hash": "t", "finish_reason": "stop",
            "n_tokens": tokens[s["problem_id"]] if isinstance(tokens, dict) else tokens, "on_policy": True,
        }
        for s in stats if s["sampling_id"] == "g" and s["policy_id"] == "m" for i in range(s["n"])
    ]  # fmt: skip
    infos = [
        stage_info("rollouts", "sample", ("rollouts",), (), {"n": 2}),
        stage_info("rates", PassRate.use, ("problem_stats",), ("rollouts",)),
    ]
    tables = {
        "rollouts": {"rollouts": ROLLOUTS.from_rows(rollouts)},
        "rates": {"problem_stats": PROBLEM_STATS.from_rows(stats)},
    }
    inputs = MemoryInputs(infos, ["rates"], tables)
    stage = Budget("budget", Budget.Config.model_validate({"use": Budget.use, "of": "rates", **fields}))
    found = stage.run(inputs, ToyServices())
    check_keys("budget", found)
    check_coverage("budget", stage.covers, inputs, found)
    return found


def test_what_nobody_judged_and_what_was_sampled_otherwise_gets_nothing():
    stats = [
        stat("p_a", 2, 2),
        stat("p_b", 0, 0, 4),
        stat("p_c", 1, 3, sampling="g_other"),
        stat("p_d", 1, 1, policy="x"),
    ]
    found = budget_of(stats, rollouts_per_problem=4, value="fresh")
    assert extras(found) == {"p_a": 4}  # four for each problem with a pass rate, which is one
    assert {r["target_id"]: r["reason"] for r in rows(found, "rejects")} == {
        "p_b": "no_pass_rate", "p_c": "no_group", "p_d": "no_group",
    }  # fmt: skip


def test_measures_say_what_was_known_and_what_is_expected():
    found = budget_of([stat("p_a", 4, 0), stat("p_b", 2, 2)], rollouts_per_problem=1, one="posterior", n_max=5)
    said = {r["target_id"]: r for r in rows(found, "scores") if r["scorer"].endswith("p_mixed")}
    assert json.loads(said["p_a"]["detail"]) == {
        "policy_id": "m", "round": 0, "sampling_id": "g", "n": 4, "n_correct": 4, "n_wrong": 0, "extra": 1,
    }  # fmt: skip
    assert said["p_a"]["value"] == pytest.approx(0.1) and said["p_b"]["value"] == 1


def test_a_budget_in_tokens_is_kept():
    stats = [stat("p_a", 2, 2), stat("p_b", 2, 2), stat("p_c", 0, 4)]
    tokens = {"p_a": 200, "p_b": 20, "p_c": 50}
    for solver in ("auto", "greedy", "exact"):
        fields = {"solver": solver, "value": "fresh", "explore_share": 0.2}
        given = extras(budget_of(stats, tokens, tokens_per_problem=100, **fields))
        assert sum(tokens[p] * n for p, n in given.items()) <= 300
        assert given["p_b"] > given["p_a"] and given["p_c"] == 1  # a fifth of 300 buys one of 50
    given = extras(budget_of(stats, 0, tokens_per_problem=3, value="fresh"))
    assert sum(given.values()) == 9  # empty completions cost one token each


def test_a_minimum_that_cannot_be_paid_is_said_in_one_line():
    with pytest.raises(UserError, match="stage 'budget': the least counts alone take 400 of a budget of 100"):
        budget_of([stat("p_a", 2, 2), stat("p_b", 2, 2)], 50, tokens_per_problem=50, n_min=8)


def test_no_problem_at_all_is_no_mistake():
    assert rows(budget_of([], rollouts_per_problem=4), "scores") == []


STAGES = {
    "problems": {"use": "source.demo", "limit": 10},
    "rollouts": {"use": "sample", "of": "problems", "n": 4, "max_tokens": 100},
    "first": {"use": "verify.math", "of": "rollouts"},
    "rates": {"use": "curriculum.pass_rate", "of": "first"},
    "budget": {"use": "curriculum.budget", "of": "rates", "rollouts_per_problem": 4},
    "more": {"use": "sample.more", "of": "budget", "max_tokens": 100},
    "second": {"use": "verify.math", "of": ["rollouts", "more"]},
    "again": {"use": "curriculum.pass_rate", "of": "second", "verdicts": "second"},
}
POLICY = {"backend": "transformers", "model": "demo"}


@pytest.mark.parametrize(
    ("stage", "fields", "said"),
    [
        ("more", {"max_tokens": 99}, "99 is not that of the first wave: 'rollouts' has 100"),
        ("more", {"temperature": 0.5}, "write temperature: 1.0"),
        ("more", {"of": "rates"}, "0 of the stages in `of` are a curriculum.budget"),
        ("budget", {"n_max": 4}, "no more than the 4 rollouts that 'rollouts' samples already"),
        ("budget", {"n_min": 9}, "9 of every problem are more than the 4 of 'rollouts' and 4 further"),
        ("budget", {"tokens_per_problem": 9}, "not both"),
        ("budget", {"rollouts": "rates"}, "'rates' is not a sample stage above this one"),
        ("budget", {"rollouts_per_problem": None}, "give rollouts_per_problem or tokens_per_problem"),
        ("again", {"verdicts": None}, "several verify stages above"),
    ],
)
def test_mistakes_are_found_at_planning(stage, fields, said):
    with pytest.raises(Mistakes, match=said):
        Pipeline.build("p", {**STAGES, stage: {**STAGES[stage], **fields}}, POLICY)


def test_two_first_waves_need_a_name():
    stages = {**STAGES, "others": {"use": "sample", "of": "problems", "n": 4, "temperature": 0.5}}
    stages["first"] = {"use": "verify.math", "of": ["rollouts", "others"]}
    with pytest.raises(Mistakes, match="several sample stages above: rollouts, others"):
        Pipeline.build("p", stages, POLICY)
    stages["budget"] = {**STAGES["budget"], "rollouts": "rollouts"}
    assert len(Pipeline.build("p", stages, POLICY).nodes) == 9


def test_estimates_know_what_the_budget_asks():
    from synthflow.plan.volumes import volumes

    found = volumes(Pipeline.build("p", STAGES, POLICY), {"problems": 10})
    assert (found["more"].requests, found["more"].tokens, found["more"].rows["rollouts"]) == (40, 4000, 40)
    assert found["second"].rollouts == 80 and found["budget"].rows == {"scores": 20}
    tokens = {**STAGES, "budget": {"use": Budget.use, "of": "rates", "tokens_per_problem": 500}}
    found = volumes(Pipeline.build("p", tokens, POLICY), {"problems": 10})
    assert (found["more"].requests, found["more"].tokens) == (100, 5000)


def test_bounds_must_fit():
    with pytest.raises(ValidationError, match="n_min 9 is above n_max 8"):
        Budget.Config(use=Budget.use, rollouts_per_problem=1, n_min=9, n_max=8)
    volume = Budget("b", Budget.Config(use=Budget.use, rollouts_per_problem=2)).estimate(
        Estimate(problems=3, rollouts=9)
    )
    assert volume.asked == {"rollouts": 6, "most": 3 * 128}


def test_of_a_group_that_two_stages_counted_the_larger_count_stands():
    from synthflow.stages.curriculum.rates import largest_groups

    infos = [stage_info(n, PassRate.use, ("problem_stats",)) for n in ("one", "two")]
    tables = {
        "one": {"problem_stats": PROBLEM_STATS.from_rows([stat("p_a", 1, 1)])},
        "two": {"problem_stats": PROBLEM_STATS.from_rows([stat("p_a", 2, 4)])},
    }
    inputs = MemoryInputs(infos, ["one", "two"], tables)
    assert largest_groups(inputs)["n"].to_list() == [6]
    assert largest_groups(inputs, "one").select(pl.col("n_correct")).item() == 1
