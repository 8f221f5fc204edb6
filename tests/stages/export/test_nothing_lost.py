"""Whatever the tables hold: every candidate is written once or rejected once, in every export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow import ids
from synthflow.schema import TABLES
from synthflow.stages.export.preference import ExportPreference
from synthflow.stages.export.rl import ExportRl
from synthflow.stages.export.sft import ExportSft
from synthflow.stages.export.stepwise import ExportStepwise

VERDICT = st.sampled_from(["correct", "wrong", "unknown", None])
ROLE = st.sampled_from(["user", "assistant", "system", "tool"])
MESSAGE = st.fixed_dictionaries({"role": ROLE, "content": st.text(max_size=4)})
ROLLOUT = st.fixed_dictionaries(
    {
        "completion": st.sampled_from(["", " ", "a\nb", "a\nb", "x\x00\u2028🙂\n", "\n\n"]),
        "condition": st.sampled_from(["none", "none", "hint", "prefix", "critique"]),
        "train_prompt": st.none() | st.lists(MESSAGE, max_size=2),
        "verdict": VERDICT,
        "dropped": st.booleans(),
    }
)
PROBLEM = st.fixed_dictionaries(
    {
        "prompt": st.lists(MESSAGE, max_size=2),
        "answer": st.none() | st.sampled_from(["", "7"]),
        "rollouts": st.lists(ROLLOUT, max_size=4),
        "stats": st.booleans(),
    }
)


def build(world: Any, problems: list[dict[str, Any]]) -> dict[str, Any]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for number, made in enumerate(problems):
        row = world.problem(number) | {"answer": made["answer"], "prompt": made["prompt"]}
        group = [world.rollout(row, i, r["completion"]) for i, r in enumerate(made["rollouts"])]
        for rollout, how in zip(group, made["rollouts"], strict=True):
            rollout |= {"condition": how["condition"], "train_prompt": how["train_prompt"]}
            if how["verdict"]:
                rows.setdefault("verdicts", []).append(
                    world.score(rollout, "verdict", "math", None, verdict=how["verdict"])
                )
            if how["dropped"]:
                rows.setdefault("kept", []).append(world.score(rollout, "filter", "length", 0.0))
            steps, values = world.steps_of(rollout, right=True)
            rows.setdefault("steps", []).extend(steps)
            rows.setdefault("values", []).extend(values[: len(values) - how["dropped"]])
        for better in group[:1]:
            rows.setdefault("pairs", []).extend(world.pair(row, better, worse, 0) for worse in group)
        if made["stats"]:
            rows.setdefault("stats", []).append(world.problem_stat(row, 4, number % 5))
        rows.setdefault("problems", []).append({k: v for k, v in row.items() if not k.startswith("_")})
        rows.setdefault("rollouts", []).extend(group)
    names = {
        "problems": ("problems", "problems"),
        "rollouts": ("rollouts", "rollouts"),
        "verdicts": ("verdicts", "scores"),
        "kept": ("kept", "scores"),
        "stats": ("difficulty", "problem_stats"),
        "steps": ("steps", "steps"),
        "values": ("steps", "step_values"),
        "pairs": ("pairs", "pairs"),
    }
    tables: dict[str, Any] = {}
    for name, (stage, table) in names.items():
        tables.setdefault(stage, {})[table] = TABLES[table].from_rows(rows.get(name, []))
    return tables


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(problems=st.lists(PROBLEM, min_size=1, max_size=5), parts=st.integers(1, 3))
def test_nothing_is_lost(
    world: Any, tmp_path_factory: pytest.TempPathFactory, problems: list[dict[str, Any]], parts: int
) -> None:
    tables = build(world, problems)
    whole = [r for r in tables["rollouts"]["rollouts"].to_pylist() if r["condition"] != "prefix"]
    n_problems, n_pairs = tables["problems"]["problems"].num_rows, tables["pairs"]["pairs"].num_rows
    expected = {
        "sft": (ExportSft, "rollout", len(whole)),
        "stepwise": (ExportStepwise, "rollout", len(whole)),
        "rl": (ExportRl, "problem", n_problems),
        "preference": (ExportPreference, "pair", n_pairs),
        "unpaired": (ExportPreference, "rollout", len(whole)),
    }
    for config, (stage, kind, n) in expected.items():
        out = tmp_path_factory.mktemp(config)
        rejects = [r for r in world.export(stage, tables, out, parts).to_pylist() if r["target_kind"] == kind]
        if config == "preference":
            rejects = [r for r in rejects if not r["reason"].startswith("preference_text: ")]
        written = pq.read_table(out / config).num_rows if (out / config).exists() else 0
        assert written + len(rejects) == n
        assert len({r["target_id"] for r in rejects}) == len(rejects) and all(r["reason"] for r in rejects)
        manifest = json.loads((Path(out) / ".synthflow" / "manifest.json").read_text())
        assert sum(manifest["configs"].get(config, {}).values()) == written


def test_ids_are_hashes() -> None:
    """The cap's `any` and the shuffle rely on it: rollout ids say nothing of their index."""
    made = [ids.rollout_id("p", "m", 0, "g", ids.NO_PREFIX, i, 0) for i in range(50)]
    assert made != sorted(made)
