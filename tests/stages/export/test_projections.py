"""What each export writes, what it leaves out, and why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.stages import stage_info
from synthflow.contracts import MemoryInputs, StageInfo
from synthflow.errors import InvariantBroken
from synthflow.schema import TABLES
from synthflow.stages.export.decided import Demands, decide
from synthflow.stages.export.graph import RAW, ExportGraph
from synthflow.stages.export.preference import ExportPreference
from synthflow.stages.export.rl import ExportRl
from synthflow.stages.export.sft import ExportSft
from synthflow.stages.export.stepwise import UNDECIDED, ExportStepwise
from synthflow.statistics.intervals import wilson

Rows = list[dict[str, Any]]


def run(world: Any, tables: Any, out: Path, stage: Any, **options: Any) -> Counter[str]:
    """Export; the reasons of the rejects."""
    made = stage(name="export", config=stage.Config(use=stage.use, of="pairs", **options))
    rejects = world.export(made, tables, out)
    assert rejects.schema.equals(TABLES["rejects"].schema)
    return Counter(rejects.column("reason").to_pylist())


def read(out: Path, config: str) -> Rows:
    rows: Rows = pq.read_table(out / config).to_pylist()
    return rows


def edited(tables: Any, stage: str, table: str, edit: Any) -> Any:
    """The tables with every row of one of them passed through `edit` (None drops the row)."""
    rows = [changed for row in tables[stage][table].to_pylist() if (changed := edit(row)) is not None]
    return tables | {stage: tables[stage] | {table: TABLES[table].from_rows(rows)}}


def extended(tables: Any, stage: str, table: str, rows: Rows) -> Any:
    more = [*tables[stage][table].to_pylist(), *rows]
    return tables | {stage: tables[stage] | {table: TABLES[table].from_rows(more)}}


# --- sft


def test_sft_writes_what_is_correct_and_kept(world: Any, tables: Any, tmp_path: Path) -> None:
    reasons = run(world, tables, tmp_path, ExportSft)
    rollouts = {r["rollout_id"]: r for r in tables["rollouts"]["rollouts"].to_pylist()}
    correct = {r["target_id"] for r in tables["verdicts"]["scores"].to_pylist() if r["verdict"] == "correct"}
    kept = {r["target_id"] for r in tables["kept"]["scores"].to_pylist() if r["value"] == 1}
    rows = read(tmp_path, "sft")
    assert {r["sf_rollout_id"] for r in rows} == correct & kept
    for row in rows:
        rollout = rollouts[row["sf_rollout_id"]]
        answer = {"role": "assistant", "content": rollout["completion"]}
        assert row["messages"] == [*rollout["prompt"], answer]
        assert row["sf_verdict"] == "correct" and row["sf_pass_rate"] > 0
        assert row["sf_verdict_stage"] == "verdicts"
    assert sum(reasons.values()) == len(rollouts) - len(rows)
    assert reasons["filtered: length: too long"] == 1 and reasons["unknown: timeout"] == 4


def test_whose_verdict_it_is_stands_beside_it_and_a_tag_is_none(world: Any, tables: Any, tmp_path: Path) -> None:
    """A second verify stage that finds every answer wrong, a tag that finds the same, and the verdicts."""
    of_all = tables["verdicts"]["scores"].to_pylist()
    wrong = [r | {"scorer": "regex", "verdict": "wrong", "value": 0.0, "reason": None} for r in of_all]
    tags = [r | {"scorer": "regex", "kind": "measure", "verdict": None, "value": 0.0} for r in of_all]
    seen = {}
    for name, use, rows in (("style", "verify.regex", wrong), ("style", "tag.regex", tags)):
        ancestors = [*world.ANCESTORS[:3], stage_info(name, use, ("scores",), ("verdicts",)), *world.ANCESTORS[3:]]
        held = tables | {name: {"scores": TABLES["scores"].from_rows(rows)}}
        inputs = MemoryInputs(ancestors, ("pairs",), held)
        for verdicts in (None, "verdicts", "style"):
            stage = ExportSft("export", ExportSft.Config(use=ExportSft.use, of="pairs", verdicts=verdicts))
            out = tmp_path / f"{use}-{verdicts}"
            out.mkdir()
            seen[use, verdicts] = [mistake[0] for mistake in stage.check(ancestors)]
            if not seen[use, verdicts]:
                world.released(stage, inputs, out)
                written = read(out, "sft") if (out / "sft").exists() else []
                seen[use, verdicts] = sorted({row["sf_verdict_stage"] for row in written})
    assert seen == {
        ("verify.regex", None): ["verdicts"],  # the field: say which of the two
        ("verify.regex", "verdicts"): ["verdicts"],
        ("verify.regex", "style"): [],
        ("tag.regex", None): ["verdicts"],
        ("tag.regex", "verdicts"): ["verdicts"],
        ("tag.regex", "style"): ["verdicts"],  # the field: a tag is no verify stage
    }


def test_sft_caps_a_problem(world: Any, tables: Any, tmp_path: Path) -> None:
    reasons = run(world, tables, tmp_path, ExportSft, max_per_problem=2)
    counts = Counter(r["sf_problem_id"] for r in read(tmp_path, "sft"))
    assert max(counts.values()) == 2 and reasons["over max_per_problem 2"] > 0


def test_sft_prefers_short_answers(world: Any, tables: Any, tmp_path: Path) -> None:
    longer = edited(
        tables, "rollouts", "rollouts", lambda r: r | {"n_tokens": 100 - r["index"], "completion_hash": str(r["index"])}
    )
    run(world, longer, tmp_path, ExportSft, max_per_problem=1, prefer="short")
    rollouts = {r["rollout_id"]: r for r in longer["rollouts"]["rollouts"].to_pylist()}
    verdicts = {r["target_id"]: r["verdict"] for r in longer["verdicts"]["scores"].to_pylist()}
    for row in read(tmp_path, "sft"):
        others = [r["n_tokens"] for r in rollouts.values() if r["problem_id"] == row["sf_problem_id"]
                  and verdicts[r["rollout_id"]] == "correct"]  # fmt: skip
        assert row["sf_n_tokens"] == min(others)


def test_sft_drops_repeated_answers(world: Any, tables: Any, tmp_path: Path) -> None:
    same = edited(tables, "rollouts", "rollouts", lambda r: r | {"completion": "42", "completion_hash": "t_same"})
    reasons = run(world, same, tmp_path / "one", ExportSft)
    rows = read(tmp_path / "one", "sft")
    assert len({r["sf_problem_id"] for r in rows}) == len(rows)
    assert sum(n for why, n in reasons.items() if why.startswith("duplicate of r_")) > 10
    assert "duplicate |" in (tmp_path / "one" / "README.md").read_text()
    run(world, same, tmp_path / "all", ExportSft, deduplicate=False)
    everything = read(tmp_path / "all", "sft")
    assert len(everything) > len(rows)
    assert {r["sf_problem_id"] for r in everything} == {r["sf_problem_id"] for r in rows}, "each problem keeps one"


def test_sft_trains_on_the_prompt_without_the_hint(world: Any, tables: Any, tmp_path: Path) -> None:
    hint = [{"role": "user", "content": "Hint: add. What is 1 + 1?"}]
    plain = [{"role": "user", "content": "What is 1 + 1?"}]

    def hinted(row: dict[str, Any]) -> dict[str, Any]:
        return row | {"condition": "hint", "prompt": hint, "train_prompt": plain if row["index"] else None}

    reasons = run(world, edited(tables, "rollouts", "rollouts", hinted), tmp_path, ExportSft)
    assert reasons["sampled under hint and has no train_prompt"] > 0
    rows = read(tmp_path, "sft")
    assert rows and all(r["messages"][:-1] == plain and r["sf_condition"] == "hint" for r in rows)


def test_sft_continuations_are_no_candidates(world: Any, tables: Any, tmp_path: Path) -> None:
    def continued(row: dict[str, Any]) -> dict[str, Any]:
        return row | ({"condition": "prefix"} if row["index"] == 0 else {})

    reasons = run(world, edited(tables, "rollouts", "rollouts", continued), tmp_path, ExportSft)
    n_first = sum(r["index"] > 0 for r in tables["rollouts"]["rollouts"].to_pylist())
    assert sum(reasons.values()) + len(read(tmp_path, "sft")) == n_first


def test_sft_does_not_teach_what_a_mask_hides(world: Any, tables: Any, tmp_path: Path) -> None:
    """Masked rollouts are no messages; as tokens they carry -100 where the mask says so, and on the prompt."""

    def tokenised(row: dict[str, Any]) -> dict[str, Any]:
        tokens = [ord(c) for c in row["completion"]]
        mask = [i % 5 > 0 for i in range(len(tokens))] if row["index"] == 0 else None
        return row | {"prompt_token_ids": [7, 8, 9], "token_ids": tokens, "n_tokens": len(tokens), "loss_mask": mask}

    masked = edited(tables, "rollouts", "rollouts", tokenised)
    reasons = run(world, masked, tmp_path / "plain", ExportSft)
    hidden = reasons["its loss mask leaves tokens out, which text cannot say: see sft_tokens"]
    plain = {r["sf_rollout_id"] for r in read(tmp_path / "plain", "sft")}
    assert hidden > 0 and plain and not (tmp_path / "plain" / "sft_tokens").exists()
    run(world, masked, tmp_path / "both", ExportSft, tokens=True)
    rows = {r["rollout_id"]: r for r in masked["rollouts"]["rollouts"].to_pylist()}
    found = read(tmp_path / "both", "sft_tokens")
    assert len(found) == hidden + len(plain) and plain < {r["sf_rollout_id"] for r in found}
    reasons = run(world, masked, tmp_path / "unpaired", ExportPreference, unpaired=True)
    assert reasons["unpaired: its loss mask leaves tokens out, which text cannot say: see sft_tokens"] > 0
    for row in found:
        source = rows[row["sf_rollout_id"]]
        mask = source["loss_mask"] or [True] * len(source["token_ids"])
        assert row["input_ids"] == [7, 8, 9, *source["token_ids"]]
        wanted = [t if on else -100 for t, on in zip(source["token_ids"], mask, strict=True)]
        assert row["labels"] == [-100] * 3 + wanted


def test_sft_tokens_are_of_the_prompt_that_is_trained_on(world: Any, tables: Any, tmp_path: Path) -> None:
    other = [{"role": "user", "content": "Another prompt."}]

    def changed(row: dict[str, Any]) -> dict[str, Any]:
        known = {"prompt_token_ids": [7], "token_ids": [1], "n_tokens": 1}
        return row | ({} if row["index"] == 0 else known) | ({"train_prompt": other} if row["index"] == 1 else {})

    reasons = run(world, edited(tables, "rollouts", "rollouts", changed), tmp_path, ExportSft, tokens=True)
    assert reasons["sft_tokens: no token ids"] > 0
    assert reasons["sft_tokens: it is trained on another prompt than its tokens are of"] > 0


def test_sft_pass_rate_bounds(world: Any, tables: Any, tmp_path: Path) -> None:
    run(world, tables, tmp_path, ExportSft, min_pass_rate=0.25, max_pass_rate=0.5)
    assert {r["sf_pass_rate"] for r in read(tmp_path, "sft")} == {0.25, 0.5}
    rejects = world.export(
        ExportSft("export", ExportSft.Config(use="export.sft", max_pass_rate=0.5)), tables, tmp_path / "b"
    )
    outside = [r["score"] for r in rejects.to_pylist() if r["reason"] == "pass_rate outside [0, 0.5]"]
    assert set(outside) == {0.75, 1.0}


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [([], "empty prompt"), ([("user", "q"), ("assistant", "a")], "prompt ends with the role assistant")],
)
def test_prompts_that_no_template_continues(
    world: Any, tables: Any, tmp_path: Path, prompt: list[tuple[str, str]], reason: str
) -> None:
    messages = [{"role": role, "content": content} for role, content in prompt]
    bad = edited(tables, "rollouts", "rollouts", lambda r: r | {"prompt": messages})
    assert run(world, bad, tmp_path, ExportSft)[reason] > 0
    assert not (tmp_path / "sft").exists()


def test_rollouts_without_a_verdict(world: Any, tables: Any, tmp_path: Path) -> None:
    some = edited(tables, "verdicts", "scores", lambda r: r if r["value"] else None)
    assert run(world, some, tmp_path, ExportSft)["no verdict"] > 0


def test_a_filtered_problem_takes_its_rows_along(world: Any, tables: Any, tmp_path: Path) -> None:
    target = tables["problems"]["problems"].column("problem_id")[1].as_py()
    drop = world.score({"problem_id": target}, "filter", "overlap", 0.0, target_kind="problem", reason="in a benchmark")
    tainted = extended(tables, "kept", "scores", [drop])
    for stage, config in ((ExportSft, "sft"), (ExportRl, "rl"), (ExportPreference, "preference")):
        reasons = run(world, tainted, tmp_path / config, stage)
        assert reasons["problem filtered: overlap: in a benchmark"] > 0
        assert target not in {r["sf_problem_id"] for r in read(tmp_path / config, config)}


# --- preference


def test_pairs_put_the_trunk_inside_both_answers(world: Any, tables: Any, tmp_path: Path) -> None:
    run(world, tables, tmp_path, ExportPreference)
    pairs = {p["pair_id"]: p for p in tables["pairs"]["pairs"].to_pylist()}
    rows = read(tmp_path, "preference")
    assert {r["sf_level"] for r in rows} == {"response", "step"}
    for row in rows:
        pair = pairs[row["sf_pair_id"]]
        assert row["prompt"] == pair["prompt"] and row["margin"] == 1.0
        for side in ("chosen", "rejected"):
            assert row[side] == [{"role": "assistant", "content": pair["prefix"] + pair[side]}]
            assert row[side][0]["content"][: row["sf_prefix_chars"]] == pair["prefix"]
    texts = {r["sf_pair_id"]: r for r in read(tmp_path, "preference_text")}
    for row in rows:
        text = texts.pop(row["sf_pair_id"])
        assert text["prompt"] == row["prompt"][0]["content"]
        assert [text[side] for side in ("chosen", "rejected")] == [
            row[side][0]["content"] for side in ("chosen", "rejected")
        ]
    assert not texts


def test_pairs_with_a_system_prompt_have_no_text_form(world: Any, tables: Any, tmp_path: Path) -> None:
    system = {"role": "system", "content": "Be brief."}
    dressed = edited(tables, "pairs", "pairs", lambda r: r | {"prompt": [system, *r["prompt"]]})
    reasons = run(world, dressed, tmp_path, ExportPreference)
    rows = read(tmp_path, "preference")
    assert rows and not (tmp_path / "preference_text").exists()
    assert reasons["preference_text: prompt is not one user message but system user"] == len(rows)


def test_margin_is_there_for_all_or_for_none(world: Any, tables: Any, tmp_path: Path) -> None:
    some = edited(tables, "pairs", "pairs", lambda r: r | {"margin": None if r["level"] == "step" else 1.0})
    run(world, some, tmp_path / "some", ExportPreference)
    row = read(tmp_path / "some", "preference")[0]
    assert "margin" not in row and "sf_margin" in row
    run(world, tables, tmp_path / "off", ExportPreference, margin=False)
    assert "margin" not in read(tmp_path / "off", "preference")[0]


def test_pairs_that_teach_nothing(world: Any, tables: Any, tmp_path: Path) -> None:
    def spoil(row: dict[str, Any]) -> dict[str, Any]:
        if row["level"] == "step":
            return row | {"rejected": row["chosen"]}
        return row | {"prefix": "", "chosen": " \n"}

    reasons = run(world, edited(tables, "pairs", "pairs", spoil), tmp_path, ExportPreference, unpaired=False)
    assert reasons["chosen equals rejected"] > 0 and reasons["chosen is empty"] > 0
    assert not (tmp_path / "preference").exists()


def test_pairs_by_margin(world: Any, tables: Any, tmp_path: Path) -> None:
    graded = edited(tables, "pairs", "pairs", lambda r: r | {"margin": 0.4 if r["level"] == "step" else 0.9})
    reasons = run(world, graded, tmp_path / "least", ExportPreference, min_margin=0.5)
    assert reasons["margin below 0.5"] > 0
    assert {r["sf_level"] for r in read(tmp_path / "least", "preference")} == {"response"}
    reasons = run(world, graded, tmp_path / "most", ExportPreference, max_per_problem=1)
    assert {r["sf_level"] for r in read(tmp_path / "most", "preference")} == {"response"}
    assert reasons["over max_per_problem 1"] > 0


def test_unpaired_labels_are_verdicts(world: Any, tables: Any, tmp_path: Path) -> None:
    reasons = run(world, tables, tmp_path, ExportPreference)
    rows = read(tmp_path, "unpaired")
    assert {(r["label"], r["sf_verdict"]) for r in rows} == {(True, "correct"), (False, "wrong")}
    assert reasons["unpaired: unknown: timeout"] == 4


# --- rl


def test_rl_keeps_mixed_groups_where_pass_rates_are_known(world: Any, tables: Any, tmp_path: Path) -> None:
    reasons = run(world, tables, tmp_path / "known", ExportRl)
    rows = read(tmp_path / "known", "rl")
    assert {r["sf_group_state"] for r in rows} == {"mixed"}
    assert set(reasons) == {"group all_correct (groups: mixed)", "group all_wrong (groups: mixed)"}
    gold = {p["problem_id"]: p for p in tables["problems"]["problems"].to_pylist()}
    for row in rows:
        problem = gold[row["sf_problem_id"]]
        assert row["prompt"] == problem["prompt"] and row["problem"] == problem["prompt"][-1]["content"]
        assert row["answer"] == row["reward_model"]["ground_truth"] == problem["answer"]
        assert row["solution"] == f"$\\boxed{{{problem['answer']}}}$"
        assert row["extra_info"]["pass_rate"] == row["metadata"]["pass_rate"] == row["sf_pass_rate"]
        assert 0 <= row["extra_info"]["index"] < 2**60
    assert len({r["extra_info"]["index"] for r in rows}) == len(rows)


def test_rl_takes_all_groups_where_nobody_knows(world: Any, tables: Any, tmp_path: Path) -> None:
    ancestors = world.ANCESTORS[:1]
    stage = ExportRl("export", ExportRl.Config(use="export.rl", of="problems"))
    inputs = world.PartitionedInputs(ancestors, ("problems",), {"problems": tables["problems"]}, 2)
    assert world.released(stage, inputs, tmp_path).num_rows == 0
    rows = read(tmp_path, "rl")
    assert len(rows) == 24 and "sf_pass_rate" not in rows[0]


def test_rl_options(world: Any, tables: Any, tmp_path: Path) -> None:
    run(
        world, tables, tmp_path, ExportRl, groups=["mixed", "all_wrong"], data_source="math_dapo", instruction="Box it."
    )
    rows = read(tmp_path, "rl")
    assert {r["sf_group_state"] for r in rows} == {"mixed", "all_wrong"}
    assert {r["data_source"] for r in rows} == {"math_dapo"}
    assert all(r["prompt"][-1]["content"].endswith("?\nBox it.") and r["problem"].endswith("Box it.") for r in rows)
    assert {r["ability"] for r in rows} == {"arithmetic", "math"}


def test_rl_needs_gold(world: Any, tables: Any, tmp_path: Path) -> None:
    golden = edited(tables, "problems", "problems", lambda r: r | {"answer": None if r["domain"] else r["answer"]})
    reasons = run(world, golden, tmp_path, ExportRl, groups=["all_correct", "mixed", "all_wrong"])
    assert reasons == {"no gold answer": 16}


@pytest.mark.parametrize(
    ("answer", "solution", "said"),
    [
        ("7", "$\\boxed{7}$", "7"),
        ("$x^2$", "$\\boxed{x^2}$", "x^2"),
        (" \\boxed{3} ", "\\boxed{3}", "3"),
        ("\\frac{1}{2}", "$\\boxed{\\frac{1}{2}}$", "0.5"),
    ],
)
def test_solutions_parse(world: Any, tables: Any, tmp_path: Path, answer: str, solution: str, said: str) -> None:
    from math_verify import parse, verify

    run(world, edited(tables, "problems", "problems", lambda r: r | {"answer": answer}), tmp_path, ExportRl)
    row = read(tmp_path, "rl")[0]
    assert row["solution"] == solution
    assert verify(parse(row["solution"]), parse("So it is \\boxed{" + said + "}."))


def test_rl_takes_the_group_of_the_last_round(world: Any, tables: Any, tmp_path: Path) -> None:
    later = [
        r | {"round": 1, "pass_rate": 0.5, "group_state": "mixed"}
        for r in tables["difficulty"]["problem_stats"].to_pylist()
    ]
    assert not run(world, extended(tables, "difficulty", "problem_stats", later), tmp_path, ExportRl)
    assert {(r["sf_round"], r["sf_pass_rate"]) for r in read(tmp_path, "rl")} == {(1, 0.5)}


# --- stepwise


def test_steps_join_to_the_response(world: Any, tables: Any, tmp_path: Path) -> None:
    run(world, tables, tmp_path, ExportStepwise)
    rollouts = {r["rollout_id"]: r for r in tables["rollouts"]["rollouts"].to_pylist()}
    for row in read(tmp_path, "stepwise"):
        rollout = rollouts[row["sf_rollout_id"]]
        assert isinstance(row["prompt"], str) and row["prompt"] == rollout["prompt"][0]["content"]
        assert "\n".join(row["completions"]) == rollout["completion"]
        assert len(row["completions"]) == len(row["labels"]) == len(row["sf_step_values"]) == 3
        assert row["labels"] == [value >= 0.5 for value in row["sf_step_values"]]
        assert all(isinstance(label, bool) for label in row["labels"])


def test_labels_by_advantage(world: Any, tables: Any, tmp_path: Path) -> None:
    run(world, tables, tmp_path, ExportStepwise, rule="advantage", threshold=0.25)
    assert {tuple(r["labels"]) for r in read(tmp_path, "stepwise")} == {(False, True, False), (False, False, False)}


@pytest.mark.parametrize(
    ("completion", "cuts", "steps"),
    [
        ("a\nb", [0, 2, 3], ["a", "b"]),
        ("a\n\nb\n", [0, 3, 5], ["a\n", "b\n"]),  # one line feed goes, the last step keeps its own
        ("\n\né🙂\nc", [0, 1, 2, 5, 6], ["", "", "é🙂", "c"]),
        ("a b", [0, 2, 3], None),  # a step that ends with a space
        ("a\nb", [0, 1, 3], None),  # the line feed belongs to the step after
        ("a\r\nb", [0, 3, 4], ["a\r", "b"]),
        ("abc", [0, 3], ["abc"]),
        ("abc", [0, 2], None),  # the steps do not tile
    ],
)
def test_step_separators(
    world: Any, tables: Any, tmp_path: Path, completion: str, cuts: list[int], steps: list[str] | None
) -> None:
    one = tables["rollouts"]["rollouts"].slice(0, 1).to_pylist()[0] | {"completion": completion}
    spans, values = [], []
    for index in range(len(cuts) - 1):
        common = {"step_id": f"s_{index}", "problem_id": one["problem_id"], "rollout_id": one["rollout_id"]}
        template = tables["steps"]["step_values"].slice(0, 1).to_pylist()[0]
        span = {"char_start": cuts[index], "char_end": cuts[index + 1], "segmenter": "s", "stage_id": "a"}
        spans.append(common | span | {"index": index})
        values.append(template | common | {"index": index})
    small = tables | {
        "rollouts": {"rollouts": TABLES["rollouts"].from_rows([one])},
        "steps": {"steps": TABLES["steps"].from_rows(spans), "step_values": TABLES["step_values"].from_rows(values)},
    }
    reasons = run(world, small, tmp_path, ExportStepwise)
    if steps is None:
        assert reasons == {"step_separator": 1}
    else:
        assert not reasons
        assert [r["completions"] for r in read(tmp_path, "stepwise")] == [steps]


FILTERED = {"filtered: length: too long": 1}


def counted(successes: int, n: int) -> Any:
    """Rows in which the value of the second step is `successes` of `n` continuations."""

    def change(row: dict[str, Any]) -> dict[str, Any]:
        if row["index"] != 1:
            return row | {"n": 0, "value_low": row["value"], "value_high": row["value"]}
        low, high = (float(end) for end in wilson(successes, n))
        value = successes / n
        return row | {"n": n, "successes": successes, "value": value, "value_low": low, "value_high": high}

    return change


@pytest.mark.parametrize(
    ("successes", "n", "options", "label"),
    [
        (0, 1, {}, None),  # one judged continuation of four says nothing
        (1, 1, {}, None),
        (0, 3, {"interval": False}, None),
        (0, 3, {"interval": False, "min_n": 3}, False),
        (0, 4, {}, False),
        (4, 4, {}, True),
        (3, 8, {}, None),  # [.14, .69]
        (3, 8, {"interval": False}, False),
        (1, 8, {}, False),  # [.02, .47]
        (1, 8, {"threshold": 0.4}, None),
        (1, 8, {"threshold": 0.001, "interval": False}, True),  # Math-Shepherd's hard estimate
        (0, 8, {"threshold": 0.001, "interval": False}, False),
    ],
)
def test_a_label_that_a_few_continuations_could_have_turned_is_none(
    world: Any, tables: Any, tmp_path: Path, successes: int, n: int, options: dict[str, Any], label: bool | None
) -> None:
    reasons = run(
        world, edited(tables, "steps", "step_values", counted(successes, n)), tmp_path, ExportStepwise, **options
    )
    texts = {r["rollout_id"]: r["completion"] for r in tables["rollouts"]["rollouts"].to_pylist()}
    rows = read(tmp_path, "stepwise")
    assert rows and all("\n".join(row["completions"]) == texts[row["sf_rollout_id"]] for row in rows)
    card = (tmp_path / "README.md").read_text()
    if label is None:
        assert reasons == {UNDECIDED: len(rows), **FILTERED}
        assert all(len(row["labels"]) == 2 and row["sf_joined"] == [0, 1] for row in rows)
        assert f"{len(rows)} of {3 * len(rows)} steps have less" in card
    else:
        assert reasons == FILTERED and "sf_joined" not in rows[0]
        assert {row["labels"][1] for row in rows} == {label}


def test_what_was_not_decided_has_a_row_of_its_own(world: Any, tables: Any, tmp_path: Path) -> None:
    changed = edited(tables, "steps", "step_values", counted(1, 2))
    rejects = world.export(ExportStepwise, changed, tmp_path).to_pylist()
    written = {row["sf_rollout_id"] for row in read(tmp_path, "stepwise")}
    values = changed["steps"]["step_values"].to_pylist()
    second = {r["step_id"] for r in values if r["index"] == 1 and r["rollout_id"] in written}
    told = [r for r in rejects if r["target_kind"] == "step"]
    assert {r["target_id"] for r in told} == second
    assert {(r["reason"], r["score"]) for r in told} == {(UNDECIDED, 2.0)}


CHANCE = {"scale": "chance", "n": 8, "value_before": 0.5, "advantage_se": 0.2}


def chance(step: str, successes: int, n: int = 8, **more: Any) -> dict[str, Any]:
    low, high = (float(end) for end in wilson(successes, n))
    value = {"value": successes / n, "value_low": low, "value_high": high, "successes": successes, "n": n}
    return CHANCE | {"step_id": step, "advantage": None} | value | more


def test_an_advantage_is_what_was_added_since_the_last_decided_step() -> None:
    """By hand: 8 of 8, then 5 of 8 (-.375 ± .38, undecided), then 0 of 8: -1 ± .36 since the first."""
    steps = [
        chance("a", 8, advantage=0.5, advantage_se=0.2),
        chance("b", 5, advantage=-0.375, advantage_se=0.21),
        chance("c", 0, advantage=-0.625, advantage_se=0.21),
    ]
    found = decide(steps, Demands("advantage", 0.0, 4, True))
    assert (found.kept, found.advantages, found.labels) == ((0, 2), (0.5, -1.0), (True, False))
    assert found.joined(3) == [1]
    assert decide(steps, Demands("advantage", 0.0, 4, False)).kept == (0, 1, 2)
    assert decide(steps, Demands("advantage", 0.0, 9, False)).kept == ()


def test_what_stands_for_itself_needs_no_continuations() -> None:
    """Rewards and judges' scores have no n and no interval."""
    steps = [
        {"step_id": "a", "value_before": 0.0, "value": 0.1, "value_low": None, "value_high": None, "advantage": 0.1,
         "advantage_se": None, "n": 0, "successes": 0, "scale": "reward"},
        {"step_id": "b", "value_before": 0.1, "value": -0.4, "value_low": None, "value_high": None, "advantage": -0.5,
         "advantage_se": None, "n": 0, "successes": 0, "scale": "reward"},
    ]  # fmt: skip
    assert decide(steps, Demands("advantage", 0.0, 4, True)).labels == (True, False)
    assert decide(steps, Demands("value", 0.0, 4, True)).labels == (True, False)


def test_rollouts_whose_steps_have_no_values(world: Any, tables: Any, tmp_path: Path) -> None:
    def forget(row: dict[str, Any]) -> dict[str, Any]:
        return row | ({"value": None} if row["index"] == 1 else {})

    reasons = run(world, edited(tables, "steps", "step_values", forget), tmp_path / "a", ExportStepwise)
    rows = read(tmp_path / "a", "stepwise")
    assert rows and reasons == {UNDECIDED: len(rows), **FILTERED}
    assert all(len(r["completions"]) == len(r["labels"]) == 2 and r["sf_joined"] == [0, 1] for r in rows)
    lacking = edited(tables, "steps", "step_values", lambda r: None if r["index"] == 2 else r)
    assert run(world, lacking, tmp_path / "b", ExportStepwise)["its last step is undecided"] > 0
    none = tables | {"steps": {}}
    assert run(world, none, tmp_path / "c", ExportStepwise)["no step values"] > 0


# --- graph


def test_graph_gives_the_tables_back(world: Any, tables: Any, tmp_path: Path) -> None:
    assert not run(world, tables, tmp_path, ExportGraph)
    for name in set(RAW) - {"rejects"}:
        want = pa.concat_tables([rows for stage in tables.values() for table, rows in stage.items() if table == name])
        got = pq.read_table(tmp_path / name)
        columns = [c for c in want.column_names if want.column(c).null_count < want.num_rows]
        assert got.column_names == columns
        key = [(k, "ascending") for k in TABLES[name].key]
        assert got.sort_by(key).to_pylist() == want.select(columns).sort_by(key).to_pylist()


def test_flat_rollouts(world: Any, tables: Any, tmp_path: Path) -> None:
    run(world, tables, tmp_path, ExportGraph)
    rows = read(tmp_path, "rollouts_flat")
    assert len(rows) == tables["rollouts"]["rollouts"].num_rows
    for row in rows:
        spans = [(s["start"], s["end"]) for s in row["step_spans"]]
        assert "".join(row["response"][start:end] for start, end in spans) == row["response"]
        assert len(spans) == len(row["step_values"]) == len(row["step_advantages"]) == 3
    assert {r["verdict"] for r in rows} == {"correct", "wrong", "unknown"}
    assert all((r["verdict_value"] is None) == (r["verdict"] == "unknown") for r in rows)


def test_a_rollout_that_two_stages_wanted_is_one_flat_row(world: Any, tables: Any, tmp_path: Path) -> None:
    ancestors = (
        world.ANCESTORS[0],
        stage_info("tree", "sample.tree", ("rollouts",), ("problems",)),
        *world.ANCESTORS[1:],
    )
    told_twice = {**tables, "tree": {"rollouts": tables["rollouts"]["rollouts"]}}
    stage = ExportGraph("graph", ExportGraph.Config(use=ExportGraph.use, of=("pairs",), verdicts="verdicts"))
    world.released(stage, MemoryInputs(ancestors, ("pairs",), told_twice), tmp_path)
    n = tables["rollouts"]["rollouts"].num_rows
    assert len(read(tmp_path, "rollouts_flat")) == n and len(read(tmp_path, "rollouts")) == 2 * n


# --- planning and the proof


def mistakes(stage: Any, ancestors: tuple[StageInfo, ...], **options: Any) -> list[str]:
    config = stage.Config(use=stage.use, of="x", **options)
    return [field for field, _, _ in stage("export", config).check(ancestors)]


def test_planning(world: Any) -> None:
    full = world.ANCESTORS
    bare = (*full[:2], stage_info("pairs", "mine.pairs", ("pairs", "steps", "step_values")))
    two = (*full, stage_info("again", "verify.exact", ("scores",)), stage_info("prm", "label.prm", ("step_values",)))
    for stage in (ExportSft, ExportPreference, ExportRl, ExportStepwise, ExportGraph):
        assert mistakes(stage, full) == []
    assert mistakes(ExportSft, bare) == ["of"]
    assert mistakes(ExportSft, two) == ["verdicts"]
    assert mistakes(ExportSft, two, verdicts="again") == []
    assert mistakes(ExportSft, full, verdicts="nobody") == ["verdicts"]
    assert mistakes(ExportSft, full, min_pass_rate=0.9, max_pass_rate=0.1) == ["min_pass_rate"]
    assert mistakes(ExportPreference, bare) == []
    assert mistakes(ExportPreference, bare, min_pass_rate=0.1) == ["min_pass_rate"]
    assert mistakes(ExportPreference, two) == ["verdicts"]
    assert mistakes(ExportRl, bare, groups=["mixed"]) == ["groups"]
    assert mistakes(ExportStepwise, two, verdicts="verdicts") == ["values"]
    assert mistakes(ExportStepwise, two, verdicts="verdicts", values="prm") == []
    assert mistakes(ExportStepwise, full, values="rollouts") == ["values"]
    assert mistakes(ExportGraph, two) == ["verdicts"]


def test_two_verdicts_on_one_rollout_are_caught(world: Any, tables: Any, tmp_path: Path) -> None:
    twice = tables["verdicts"]["scores"].to_pylist()[:1]
    with pytest.raises(InvariantBroken, match="told twice, 0 unasked, such as r_"):
        run(world, extended(tables, "verdicts", "scores", twice), tmp_path, ExportSft)
