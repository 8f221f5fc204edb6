"""Faults of rows: each planted before the shards are written, so that every hash is right and only the row is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.sound_run import World
from synthflow import ids
from synthflow.check import CheckReport, check_run
from synthflow.check.pairs import begins_with

Kinds = Callable[[CheckReport], Mapping[str, str]]
Row = dict[str, Any]


def only(report: CheckReport, kind: str, where: str, count: int = 1) -> None:
    """The report holds `count` errors of that kind, the first of them there, and nothing else."""
    assert [(f.severity, f.kind) for f in report.findings] == [("error", kind)] * count, report.findings
    assert any(f.where.endswith(where) for f in report.findings), report.findings


def first(world: World, stage: str, table: str, **wanted: object) -> Row:
    return next(r for r in world.rows[stage, table] if all(r[k] == v for k, v in wanted.items()))


@pytest.fixture
def spare(world: World) -> Row:
    """A rollout that no step, pair or continuation names."""
    return first(world, "sampled", "rollouts", problem_id=world.problems[1], index=0)


def test_lost_rollout(world: World, spare: Row) -> None:
    world.rows["sampled", "rollouts"].remove(spare)
    for stage, table in (("verdicts", "scores"), ("labels", "rejects")):
        world.rows[stage, table] = [r for r in world.rows[stage, table] if r["target_id"] != spare["rollout_id"]]
    stats = first(world, "difficulty", "problem_stats", problem_id=spare["problem_id"])
    low = 0.34237  # Wilson of 2 of 2: 2 / (2 + 1.96²)
    stats.update(n=2, n_correct=2, pass_low=low)
    only(check_run(world.write()), "coverage", f"problem_id={spare['problem_id']}")


def test_a_second_wave_has_what_its_budget_gave(world: World) -> None:
    world.second_wave((3, 0, 1, 2))
    report = check_run(world.write())
    assert report.findings == () and report.checked["coverage"] > 4


@pytest.mark.parametrize("index", [3, 4, 5])
def test_lost_rollout_of_a_second_wave(world: World, index: int) -> None:
    world.second_wave((3, 0, 1, 2))
    problem = world.problems[0]
    world.rows["more", "rollouts"].remove(first(world, "more", "rollouts", problem_id=problem, index=index))
    report = check_run(world.write())
    only(report, "coverage", f"problem_id={problem}")
    assert "stage more has 2 further rollouts of this problem" in report.errors[0].what


def test_rollout_of_a_second_wave_that_nobody_gave(world: World) -> None:
    world.second_wave((3, 0, 1, 2))
    row = next(r for r in world.rows["budget", "scores"] if r["target_id"] == world.problems[3])
    row["detail"] = "1"
    only(check_run(world.write()), "coverage", f"problem_id={world.problems[3]}")


def test_lost_score(world: World, spare: Row) -> None:
    world.rows["verdicts", "scores"] = [
        r for r in world.rows["verdicts", "scores"] if r["target_id"] != spare["rollout_id"]
    ]
    first(world, "difficulty", "problem_stats", problem_id=spare["problem_id"]).update(
        n_correct=2, n_unknown=1, pass_low=0.34237
    )
    report = check_run(world.write())
    only(report, "coverage", f"rollout_id={spare['rollout_id']}")
    assert "stage verdicts has neither scores nor a reject" in report.errors[0].what


def test_lost_reject(world: World) -> None:
    problem = world.problems[3]
    world.rows["pairs", "rejects"] = [r for r in world.rows["pairs", "rejects"] if r["target_id"] != problem]
    only(check_run(world.write()), "coverage", f"problem_id={problem}")


def test_pair_that_an_export_lost(world: World) -> None:
    lost = world.exported.pop()
    only(check_run(world.write()), "coverage", f"pair_id={lost}")


def test_pair_that_an_export_rejected_is_accounted_for(world: World) -> None:
    lost = world.exported.pop()
    problem = first(world, "pairs", "pairs", pair_id=lost)["problem_id"]
    row = {"problem_id": problem, "target_kind": "pair", "target_id": lost, "reason": "margin"}
    world.add("dpo", "rejects", row)
    assert check_run(world.write()).findings == ()


def test_exported_row_that_nobody_mined(world: World) -> None:
    world.exported.append("d_nowhere")
    only(check_run(world.write()), "reference", "sf_pair_id=d_nowhere")


def test_duplicate_key(world: World) -> None:
    row = first(world, "difficulty", "problem_stats")
    world.add("difficulty", "problem_stats", dict(row))
    only(check_run(world.write()), "duplicate_key", f"={row['problem_id']}+{row['policy_id']}+0+{row['sampling_id']}")


def test_foreign_key_to_nowhere(world: World) -> None:
    row = first(world, "pairs", "pairs")
    row["chosen_step_id"] = "s_nowhere"
    report = check_run(world.write())
    only(report, "reference", f"pair_id={row['pair_id']}")
    assert "chosen_step_id s_nowhere is not in steps" in report.errors[0].what


@pytest.mark.parametrize("column", ["policy_id", "sampling_id"])
def test_policies_and_samplings_are_told(world: World, column: str) -> None:
    table = {"policy_id": "policies", "sampling_id": "samplings"}[column]
    reference = world.reference()
    reference[table] = reference[table][1:]
    world.reference = lambda: reference
    report = check_run(world.write())
    assert {f.kind for f in report.findings} == {"reference"}
    assert all(f"is not in {table}" in f.what or f.where == "and more" for f in report.findings)


def test_stage_id_of_another_stage(world: World) -> None:
    first(world, "pairs", "pairs")["stage_id"] = "e_other"
    only(check_run(world.write()), "stage_id", "stage_id=e_other")


def rename(world: World, old: str, new: str) -> None:
    """Give a rollout another id, wherever it stands."""
    for rows in world.rows.values():
        for row in rows:
            row.update({name: new for name, value in row.items() if value == old})
    world.journal = [
        (type(r)(**{n: new if v == old else v for n, v in ((n, getattr(r, n)) for n in r.__slots__)}), p)
        for r, p in world.journal
    ]


def test_wrong_rollout_id(world: World, spare: Row) -> None:
    rename(world, spare["rollout_id"], "r_000000000000000000000000")
    spare["seed"] = ids.rollout_seed("r_000000000000000000000000")
    only(check_run(world.write()), "rollout_id", "rollout_id=r_000000000000000000000000")


def test_wrong_problem_id(world: World) -> None:
    first(world, "problems", "problems", problem_id=world.problems[0])["prompt"] = [{"role": "user", "content": "?"}]
    only(check_run(world.write()), "problem_id", f"problem_id={world.problems[0]}")


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"seed": 1}, "seed"),
        ({"completion_hash": "t_0"}, "completion_hash"),
        ({"logprobs": [0.0]}, "token_arrays"),
        ({"loss_mask": [True]}, "token_arrays"),
        ({"prompt": []}, "provenance"),
        ({"condition": "wish"}, "provenance"),
    ],
)
def test_faults_of_a_rollout(world: World, spare: Row, change: Row, kind: str) -> None:
    spare.update(change)
    report = check_run(world.write())
    found = {f.kind: f for f in report.findings}
    assert kind in found
    assert found[kind].where.endswith(f"rollout_id={spare['rollout_id']}")
    # a rollout with other logprobs differs from the journal too; with another condition it is out of its group
    assert set(found) <= {kind, "journal_changed", "stats_scores"}


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({"kind": "hint"}, {"artifact_id"}),
        ({"sampling_id": "g_nowhere"}, {"reference"}),
        ({"policy_id": "m_nobody"}, {"reference"}),
        ({"source_rollout_id": "r_nowhere"}, {"reference"}),
    ],
)
def test_faults_of_an_artifact(world: World, change: Row, kinds: set[str]) -> None:
    world.judge()
    world.rows["judged", "artifacts"][1].update(change)
    assert {f.kind for f in check_run(world.write()).findings} == kinds


def test_prefix_id_and_prefix_tokens(world: World) -> None:
    row = next(r for r in world.rows["labels", "rollouts"] if r["condition"] == "prefix")
    row["prompt_token_ids"] = [*row["prompt_token_ids"][:-1], 5]
    report = check_run(world.write())
    assert {f.kind for f in report.findings} == {"prefix", "prefix_id"}
    assert all(f.where.endswith(f"rollout_id={row['rollout_id']}") for f in report.findings)


def put_together(world: World, condition: str, **changed: Any) -> Row:
    """Add a tree's path (the parent's beginning and a continuation as one) or a splice, which nobody sampled."""
    part = next(r for r in world.rows["labels", "rollouts"] if r["condition"] == "prefix")
    parent = next(r for r in world.rows["sampled", "rollouts"] if r["rollout_id"] == part["parent_rollout_id"])
    tokens = parent["token_ids"][: part["branch_token"]] + part["token_ids"]
    text = "".join(map(chr, tokens[:-1]))
    rollout = ids.rollout_id(
        part["problem_id"], part["policy_id"], 0, part["sampling_id"], part["prefix_id"], 9, world.seed
    )
    of = part if condition == "tree" else parent
    spans = [{"author": "policy", "start": 0, "end": len(text)}]
    return world.add("labels", "rollouts", {
        **part, "rollout_id": rollout, "seed": ids.rollout_seed(rollout), "index": 9, "condition": condition,
        "prompt_token_ids": parent["prompt_token_ids"], "parent_rollout_id": of["rollout_id"], "completion": text,
        "completion_hash": ids.text_hash(text), "token_ids": tokens, "n_tokens": len(tokens), "logprobs": None,
        "loss_mask": [True] * len(tokens), "author_spans": spans, **changed,
    })  # fmt: skip


@pytest.mark.parametrize("condition", ["tree", "spliced"])
def test_what_was_put_together_is_of_what_it_names(world: World, condition: str) -> None:
    put_together(world, condition)
    report = check_run(world.write())
    assert not report.findings, report.findings


def test_a_path_that_is_not_its_continuations(world: World) -> None:
    row = put_together(world, "tree")
    row["token_ids"] = [*row["token_ids"][:-2], 5, 0]
    only(check_run(world.write()), "put_together", f"rollout_id={row['rollout_id']}")


def test_a_splice_that_begins_otherwise(world: World) -> None:
    row = put_together(world, "spliced")
    row["token_ids"] = [5, *row["token_ids"][1:]]
    only(check_run(world.write()), "put_together", f"rollout_id={row['rollout_id']}")


@pytest.mark.parametrize(
    ("condition", "changed"),
    [("tree", {"branch_token": None}), ("tree", {"parent_rollout_id": None}), ("spliced", {"loss_mask": None})],
)
def test_what_was_put_together_says_of_what(world: World, condition: str, changed: Row) -> None:
    row = put_together(world, condition, **changed)
    only(check_run(world.write()), "provenance", f"rollout_id={row['rollout_id']}")


def test_a_step_that_does_not_rejoin(world: World) -> None:
    row = first(world, "labels", "steps", index=1)
    row["char_end"] -= 1
    after = first(world, "labels", "steps", rollout_id=row["rollout_id"], index=2)
    only(check_run(world.write()), "steps_rejoin", f"step_id={after['step_id']}")


@pytest.mark.parametrize("unit", ["bytes", "utf16"])
def test_offsets_are_code_points(world: World, unit: str) -> None:
    """The completions hold an emoji: whoever counts bytes or UTF-16 units ends past the text."""
    row = first(world, "labels", "steps", index=2)
    row["char_end"] += {"bytes": 3, "utf16": 1}[unit]
    only(check_run(world.write()), "steps_rejoin", f"step_id={row['step_id']}")


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"token_start": 0}, "token_tiling"),
        ({"token_start": None, "token_end": None}, "token_tiling"),
        ({"token_end": None}, "token_tiling"),
        ({"parent_step_id": None}, "step_chain"),
    ],
)
def test_faults_of_a_step(world: World, change: Row, kind: str) -> None:
    row = first(world, "labels", "steps", index=1)
    row.update(change)
    report = check_run(world.write())
    assert {f.kind for f in report.findings} == {kind}
    assert any(f.where.endswith(f"step_id={row['step_id']}") for f in report.findings)


def test_wrong_step_id(world: World) -> None:
    row = first(world, "labels", "steps", index=2)
    rename(world, row["step_id"], "s_0")
    only(check_run(world.write()), "step_id", "step_id=s_0")


def test_advantage_that_is_no_difference(world: World) -> None:
    row = first(world, "labels", "step_values", index=1)
    row["advantage"] += 0.25
    only(check_run(world.write()), "advantage", f"step_id={row['step_id']}")


def test_advantages_that_do_not_telescope(world: World) -> None:
    row = first(world, "labels", "step_values", index=1)
    row["value_before"], row["advantage"] = 0.25, row["value"] - 0.25
    only(check_run(world.write()), "telescope", f"rollout_id={row['rollout_id']}")


def test_unknown_values_do_not_have_to_telescope(world: World) -> None:
    row = first(world, "labels", "step_values", index=1)
    after = first(world, "labels", "step_values", rollout_id=row["rollout_id"], index=2)
    row.update(value=None, advantage=None)
    after.update(value_before=None, advantage=None)
    assert check_run(world.write()).findings == ()


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"value_low": 0.9, "value_high": 1.0}, "step_values"),
        ({"successes": 3}, "step_values"),
        ({"index": 7}, "step_values"),
    ],
)
def test_faults_of_a_value(world: World, change: Row, kind: str) -> None:
    row = first(world, "labels", "step_values", index=1)
    row.update(change)
    report = check_run(world.write())
    found = [f for f in report.findings if f.kind == kind]
    assert [f.where.rpartition("=")[2] for f in found] == [row["step_id"]]


def test_last_value_is_the_verdict(world: World) -> None:
    row = first(world, "labels", "step_values", index=2, value=1.0)
    row.update(value=0.0, advantage=-row["value_before"])
    only(check_run(world.write()), "last_value", f"rollout_id={row['rollout_id']}")


@pytest.mark.parametrize(
    ("verdict", "change", "kind"),
    [
        ("unknown", {"reason": None}, "no_reason"),
        ("unknown", {"reason": "  "}, "no_reason"),
        ("unknown", {"value": 0.0}, "verdict_value"),
        ("correct", {"value": 0.0}, "verdict_value"),
        ("correct", {"value": None}, "verdict_value"),
        ("wrong", {"value": float("nan")}, "verdict_value"),
        ("wrong", {"value": 1.0}, "verdict_value"),
        ("wrong", {"kind": "opinion"}, "verdict"),
        ("wrong", {"verdict": "maybe", "value": None}, "verdict"),
    ],
)
def test_faults_of_a_verdict(world: World, verdict: str, change: Row, kind: str) -> None:
    row = first(world, "verdicts", "scores", verdict=verdict)
    row.update(change)
    report = check_run(world.write())
    found = [f for f in report.findings if f.kind == kind]
    assert found
    assert all(f.where.endswith(f"target_id={row['target_id']}") for f in found)
    if set(change) <= {"reason", "value"}:
        assert {f.kind for f in report.findings} == {kind}


def test_partial_credit_is_allowed(world: World) -> None:
    first(world, "verdicts", "scores", verdict="wrong")["value"] = 0.5
    assert check_run(world.write()).findings == ()


def judged_wrong(world: World) -> str:
    """Judge the truncated rollout wrong, and count it so."""
    row = first(world, "verdicts", "scores", verdict="unknown")
    row.update(verdict="wrong", value=0.0)
    stats = first(world, "difficulty", "problem_stats", problem_id=row["problem_id"])
    # Wilson of 1 of 3 by hand: (1 + 1.9207) / 6.8415 ± 1.95996 / 6.8415 · sqrt(2/3 + .9604) = .4269 ± .3654
    stats.update(n_wrong=2, n_unknown=0, pass_rate=1 / 3, pass_low=0.06149, pass_high=0.79234, difficulty=2 / 3)
    return str(row["target_id"])


def test_truncated_is_unknown(world: World) -> None:
    only(check_run(judged_wrong(world) and world.write()), "truncated", "=" + first_truncated(world))


def first_truncated(world: World) -> str:
    return str(first(world, "sampled", "rollouts", finish_reason="length")["rollout_id"])


@pytest.mark.parametrize(("rule", "ok"), [("unknown", False), ("wrong", True), ("judge", True)])
def test_unless_the_recipe_says_otherwise(world: World, rule: str, ok: bool) -> None:
    judged_wrong(world)
    at = [stage.name for stage in world.plan].index("verdicts")
    config = {**world.plan[at].config, "truncated": rule}
    fields = {name: getattr(world.plan[at], name) for name in world.plan[at].__slots__}
    world.plan[at] = type(world.plan[at])(**{**fields, "config": config})
    assert check_run(world.write()).ok is ok


def test_counts_of_a_group(world: World) -> None:
    row = first(world, "difficulty", "problem_stats")
    row["n"] = 4
    report = check_run(world.write())
    assert {f.kind for f in report.findings} == {"stats_counts", "stats_scores"}
    assert all(f"problem_id+policy_id+round+sampling_id={row['problem_id']}+" in f.where for f in report.findings)


def test_state_of_a_group(world: World) -> None:
    first(world, "difficulty", "problem_stats", group_state="mixed")["group_state"] = "all_correct"
    only(check_run(world.write()), "stats_counts", "")


@pytest.mark.parametrize("change", [{"pass_rate": 0.4}, {"pass_low": 0.2}, {"pass_high": None}, {"difficulty": 0.1}])
def test_pass_rate(world: World, change: Row) -> None:
    first(world, "difficulty", "problem_stats", group_state="mixed").update(change)
    only(check_run(world.write()), "pass_rate", "")


def test_text_of_a_pair(world: World) -> None:
    row = first(world, "pairs", "pairs")
    row["rejected"] += "!"
    only(check_run(world.write()), "pair_text", f"pair_id={row['pair_id']}")


def test_verdicts_of_a_pair(world: World) -> None:
    row = first(world, "pairs", "pairs")
    for column in ("", "_rollout_id", "_value"):
        row[f"chosen{column}"], row[f"rejected{column}"] = row[f"rejected{column}"], row[f"chosen{column}"]
    row["margin"] = -1.0
    only(check_run(world.write()), "pair_verdict", f"pair_id={row['pair_id']}", 2)


def test_margin_of_a_pair(world: World) -> None:
    first(world, "pairs", "pairs")["margin"] = 0.5
    only(check_run(world.write()), "pair_margin", "")


@pytest.mark.parametrize(
    ("unknown", "chosen", "rejected", "faults"),
    [
        ("ignore", "correct", "correct", 0),  # one `wrong` is enough
        ("ignore", "wrong", "correct", 1),
        ("ignore", "unknown", "wrong", 1),
        ("wrong", "correct", "unknown", 0),
    ],
)
def test_pairs_by_consensus(world: World, unknown: str, chosen: str, rejected: str, faults: int) -> None:
    """A second verify stage that says of one pair's sides what is given, and of all else what the first one says."""
    at = {stage.name: i for i, stage in enumerate(world.plan)}
    second = replace(world.plan[at["verdicts"]], name="second", fingerprint=ids.content_id("f", "second"))
    miner = world.plan[at["pairs"]]
    config = {**miner.config, "consensus": ["verdicts", "second"], "unknown": unknown}
    world.plan[at["pairs"]] = replace(miner, parents=("labels", "second"), config=config)
    world.plan.insert(at["verdicts"] + 1, second)
    pair = first(world, "pairs", "pairs")
    said = {pair["chosen_rollout_id"]: chosen, pair["rejected_rollout_id"]: rejected}
    values = {"correct": 1.0, "wrong": 0.0, "unknown": None}
    for row in world.rows["verdicts", "scores"]:
        verdict = said.get(row["target_id"], row["verdict"])
        own = {"verdict": verdict, "value": values[verdict], "reason": "why" if verdict == "unknown" else None}
        world.rows.setdefault(("second", "scores"), []).append({**row, **own, "stage_id": second.stage_id})
    report = check_run(world.write())
    assert [f.kind for f in report.findings] == ["pair_verdict"] * faults, report.findings


def test_an_unknown_verdict_is_rejected_only_where_the_recipe_says_so(world: World) -> None:
    pair = first(world, "pairs", "pairs")
    unknown = first(world, "verdicts", "scores", problem_id=pair["problem_id"], verdict="unknown")["target_id"]
    rollout = first(world, "sampled", "rollouts", rollout_id=unknown)
    pair.update(rejected=rollout["completion"], rejected_rollout_id=unknown)
    at = next(i for i, stage in enumerate(world.plan) if stage.name == "pairs")
    world.plan[at] = replace(world.plan[at], config={**world.plan[at].config, "unknown": "wrong"})
    assert not check_run(world.write()).findings


@pytest.mark.parametrize("column", ["interval_overlap", "scorer_agreement", "round_consistency", "p_better"])
def test_reliability_of_a_pair(world: World, column: str) -> None:
    first(world, "pairs", "pairs")[column] = 1.5
    only(check_run(world.write()), "pair_reliability", "")


@pytest.mark.parametrize("wrong", [False, True])
def test_step_pair_that_cites_a_continuation(world: World, wrong: bool) -> None:
    row = first(world, "pairs", "pairs")
    parent = first(world, "sampled", "rollouts", rollout_id=row["chosen_rollout_id"])
    continued = next(r for r in world.rows["labels", "rollouts"] if r["parent_rollout_id"] == parent["rollout_id"])
    prefix = parent["completion"][: continued["branch_token"]]
    rejected = parent["completion"][len(prefix) :]
    row.update(level="step", prefix=prefix, chosen="on 0\n" + "x" * wrong, rejected=rejected)
    row.update(chosen_rollout_id=continued["rollout_id"], rejected_rollout_id=parent["rollout_id"])
    report = check_run(world.write())
    assert [f.kind for f in report.findings] == ["pair_text"] * wrong


@given(st.text("ab", max_size=6), st.text("ab", max_size=6), st.text("ab", max_size=8))
def test_begins_with_tries_every_cut(head: str, tail: str, text: str) -> None:
    brute = any((head[:cut] + tail).startswith(text) for cut in range(len(head) + 1)) or head.startswith(text)
    assert begins_with(text, head, tail) is brute


def test_many_faults_of_a_kind_are_counted_and_few_named(world: World) -> None:
    problem = {"prompt": [{"role": "user", "content": "?"}], "source": "x", "metadata": "{}", "content_hash": "h"}
    for number in range(200):
        world.add("problems", "problems", {**problem, "problem_id": f"p_{number:024}"})
        world.units["q_0"].append(f"p_{number:024}")
    world.plan = world.plan[:1]
    world.rows = {key: rows for key, rows in world.rows.items() if key[0] == "problems"}
    report = check_run(world.write())
    of_ids = [f for f in report.errors if f.kind == "problem_id"]
    assert len(of_ids) == 51
    assert of_ids[-1].what.startswith("150 more")


def test_every_fault_is_found_in_one_pass(world: World) -> None:
    first(world, "pairs", "pairs")["margin"] = 0.5
    first(world, "labels", "step_values", index=1)["advantage"] += 0.25
    first(world, "labels", "steps", index=1)["char_end"] -= 1
    first(world, "verdicts", "scores", verdict="unknown")["reason"] = None
    root = world.write()
    (root / "exports/dpo/README.md").unlink()
    kinds = {f.kind for f in check_run(root).errors}
    assert kinds == {"pair_margin", "advantage", "steps_rejoin", "no_reason", "missing"}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, None),
        ({"verdict": "unknown", "value": None}, "no_reason"),
        ({"value": 0.0}, "verdict_value"),
        ({"verdict": None}, "verdict"),
        ({"kind": "measure"}, "verdict"),
    ],
)
def test_a_component_is_checked_like_a_verdict_and_counted_by_nobody(
    world: World, change: Row, kind: str | None
) -> None:
    row = first(world, "verdicts", "scores", verdict="wrong")
    beside = {**row, "kind": "component", "scorer": "cheap", "verdict": "correct", "value": 1.0, **change}
    world.rows["verdicts", "scores"].append(beside)
    report = check_run(world.write())
    assert {f.kind for f in report.findings} == ({kind} if kind else set())
