"""A small made-up run in memory: two problems under one policy, verified, filtered, cut and paired."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from support.stages import stage_info
from synthflow import ids
from synthflow.contracts import MemoryInputs, StageInfo
from synthflow.schema import PAIRS, PROBLEMS, REJECTS, ROLLOUTS, SCORES, STEP_VALUES, STEPS

ANCESTORS = (
    stage_info("problems", "source.jsonl", ("problems",)),
    stage_info("rollouts", "sample", ("rollouts",), ("problems",)),
    stage_info("verdicts", "verify.math", ("scores",), ("rollouts",)),
    stage_info("second", "verify.exact", ("scores",), ("verdicts",)),
    stage_info("short", "filter.length", ("scores",), ("second",)),
    stage_info("steps", "label.monte_carlo", ("rollouts", "steps", "step_values"), ("short",)),
    stage_info("pairs", "mine.pairs", ("pairs",), ("steps",)),
)


def problem(name: str, **fields: Any) -> dict[str, Any]:
    row = {
        "problem_id": f"p_{name}", "prompt": [{"role": "user", "content": f"What is {name}?"}], "answer": "4",
        "domain": "arithmetic", "source": "made up", "metadata": '{"n_ops": 2}', "content_hash": f"h_{name}",
    }  # fmt: skip
    return {**row, **fields}


def rollout(name: str, problem: str, text: str, **fields: Any) -> dict[str, Any]:
    row = {
        "rollout_id": f"r_{name}", "problem_id": f"p_{problem}", "policy_id": "m_1", "round": 0, "sampling_id": "g_1",
        "prefix_id": ids.NO_PREFIX, "index": 0, "seed": 1, "stage_id": "e_rollouts", "condition": "none", "turn": 0,
        "prompt": [{"role": "user", "content": "?"}], "completion": text, "completion_hash": ids.text_hash(text),
        "finish_reason": "stop", "n_tokens": len(text.split()), "on_policy": True,
    }  # fmt: skip
    return {**row, **fields}


def score(
    target: str, problem: str, kind: str, value: float | None, scorer: str = "math", **fields: Any
) -> dict[str, Any]:
    verdict = {1.0: "correct", 0.0: "wrong", None: "unknown"}.get(value) if kind == "verdict" else None
    row = {
        "problem_id": f"p_{problem}", "target_kind": "rollout", "target_id": f"r_{target}", "kind": kind,
        "scorer": scorer, "scorer_version": "1", "config_hash": "c", "verdict": verdict, "value": value,
        "reason": "parse_failure" if value is None else None, "stage_id": f"e_{scorer}",
    }  # fmt: skip
    return {**row, **fields}


def step(rollout: str, problem: str, index: int, start: int, end: int) -> dict[str, Any]:
    return {
        "step_id": f"s_{rollout}{index}", "problem_id": f"p_{problem}", "rollout_id": f"r_{rollout}",
        "segmenter": "line", "index": index, "char_start": start, "char_end": end, "stage_id": "e_steps",
    }  # fmt: skip


def step_value(rollout: str, problem: str, index: int, before: float, value: float) -> dict[str, Any]:
    return {
        "step_id": f"s_{rollout}{index}", "problem_id": f"p_{problem}", "rollout_id": f"r_{rollout}", "index": index,
        "labeler": "monte_carlo", "labeler_version": "1", "config_hash": "c", "policy_id": "m_1", "scale": "chance",
        "value_before": before, "value": value, "n": 16, "successes": 8, "n_unknown": 0,
        "advantage": value - before, "tokens_spent": 100, "stage_id": "e_steps",
    }  # fmt: skip


def pair(problem: str, chosen: str, rejected: str, **fields: Any) -> dict[str, Any]:
    row = {
        "pair_id": f"d_{chosen}{rejected}", "problem_id": f"p_{problem}", "level": "response",
        "prompt": [{"role": "user", "content": "?"}], "prefix": "", "chosen": "good", "rejected": "bad",
        "chosen_rollout_id": f"r_{chosen}", "rejected_rollout_id": f"r_{rejected}", "margin": 1.0,
        "length_ratio": 1.0, "rule": "verdict", "stage_id": "e_pairs",
    }  # fmt: skip
    return {**row, **fields}


@dataclass
class World:
    """Rows by stage and table; `inputs()` gives them to a stage."""

    ancestors: tuple[StageInfo, ...] = ANCESTORS
    parents: tuple[str, ...] = ("pairs",)
    rows: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)

    def tables(self, problems: set[str] | None = None) -> dict[str, dict[str, pa.Table]]:
        specs = {s.name: s for s in (PAIRS, PROBLEMS, REJECTS, ROLLOUTS, SCORES, STEPS, STEP_VALUES)}
        return {
            stage: {
                table: specs[table].from_rows([r for r in rows if problems is None or r["problem_id"] in problems])
                for table, rows in by_table.items()
            }
            for stage, by_table in self.rows.items()
        }

    def inputs(self, problems: set[str] | None = None) -> MemoryInputs:
        return MemoryInputs(self.ancestors, self.parents, self.tables(problems))


@dataclass
class FakeServices:
    """The two things a measuring stage asks of the engine."""

    stage_id: str = "e_report"
    run_seed: int = 0
    attempt: int = 1
    counts: dict[str, float] = field(default_factory=dict)

    def count(self, **counts: float) -> None:
        for name, value in counts.items():
            self.counts[name] = self.counts.get(name, 0) + value


def made_up_world() -> World:
    """Problem a: four rollouts, b: two. The filter drops a4; a1 and a2 are cut; a1 beats a2."""
    texts = {
        "a1": ("a", "2 + 2 = 4\nso 4"), "a2": ("a", "2 + 2 = 5\nso 5"), "a3": ("a", "it is (2 + (2)) = 4"),
        "a4": ("a", ""), "b1": ("b", "3 * 3 = 9"), "b2": ("b", "3 * 3 = 9"),
    }  # fmt: skip
    values: dict[str, float | None] = {"a1": 1.0, "a2": 0.0, "a3": 1.0, "a4": None, "b1": 0.0, "b2": 0.0}
    answers = {"a1": "4", "a2": "5", "a3": "4", "a4": None, "b1": "9", "b2": "9"}
    firsts = [rollout(name, p, text, logprobs=[-0.5, -1.5]) for name, (p, text) in texts.items()]
    firsts[3].update(finish_reason="length", logprobs=None)
    continued = [
        rollout(f"a1c{i}", "a", "so 4", condition="prefix", parent_rollout_id="r_a1", prefix_id="x_1", index=i)
        for i in range(2)
    ]
    return World(
        rows={
            "problems": {"problems": [problem("a"), problem("b", domain="algebra")]},
            "rollouts": {"rollouts": firsts},
            "verdicts": {"scores": [score(r, texts[r][0], "verdict", v, detail=answers[r]) for r, v in values.items()]},
            "second": {
                "scores": [
                    score(r, texts[r][0], "verdict", 0.0 if r == "a3" else v, "exact") for r, v in values.items()
                ]
            },
            "short": {
                "scores": [
                    score(r, texts[r][0], "filter", 0.0 if r == "a4" else 1.0, "length", reason="too short")
                    for r in texts
                ]
            },
            "steps": {
                "rollouts": continued,
                "steps": [step(r, "a", i, *span) for r in ("a1", "a2") for i, span in enumerate([(0, 10), (10, 14)])],
                "step_values": [
                    step_value("a1", "a", 0, 0.5, 0.75), step_value("a1", "a", 1, 0.75, 1.0),
                    step_value("a2", "a", 0, 0.5, 0.25), step_value("a2", "a", 1, 0.25, 0.0),
                ],
            },
            "pairs": {"pairs": [pair("a", "a1c0", "a2")]},
        }
    )  # fmt: skip
