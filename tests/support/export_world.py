"""A small made-up run: real problems, right and wrong answers, steps with values, pairs, a curriculum.

Shared by the export tests and the trainer tests.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from support.stages import stage_info
from synthflow import ids
from synthflow.contracts import Inputs, MemoryInputs, StageInfo
from synthflow.schema import TABLES

POLICY, SAMPLING, STAGE = "m_demo", "g_one", "a_stage"

ANCESTORS = (
    stage_info("problems", "source.jsonl", ("problems",)),
    stage_info("rollouts", "sample", ("rollouts",), ("problems",)),
    stage_info("verdicts", "verify.math", ("scores",), ("rollouts",)),
    stage_info("kept", "filter.length", ("scores",), ("verdicts",)),
    stage_info("difficulty", "curriculum.pass_rate", ("problem_stats",), ("kept",)),
    stage_info("order", "curriculum.order", ("scores",), ("difficulty",)),
    stage_info("steps", "label.monte_carlo", ("rollouts", "steps", "step_values"), ("order",)),
    stage_info("pairs", "mine.pairs", ("pairs",), ("steps",)),
)


UNORDERED = tuple(
    replace(a, parents=("difficulty",)) if a.name == "steps" else a for a in ANCESTORS if not a.has("orders_problems")
)
"""The same run without a curriculum's order."""


class PartitionedInputs(MemoryInputs):
    """`MemoryInputs` that gives its problems in `parts` partitions, each row in a partition of its problem."""

    def __init__(
        self,
        ancestors: Sequence[StageInfo],
        parents: Sequence[str],
        tables: Mapping[str, Mapping[str, pa.Table]],
        parts: int,
        *,
        reverse: bool = False,
    ) -> None:
        super().__init__(ancestors, parents, tables)
        self._parts, self._reverse = parts, reverse

    def partitions(self) -> Iterator[Inputs]:
        problems = sorted(self._problems(), reverse=self._reverse)
        for part in range(self._parts):
            yield self._of(problems[part :: self._parts])

    def _problems(self) -> set[str]:
        found: set[str] = set()
        for by_name in self._tables.values():
            for rows in by_name.values():
                found.update(rows.column("problem_id").to_pylist())
        return found

    def _of(self, problems: Sequence[str]) -> Inputs:
        mine = pa.array(problems, pa.string())
        tables = {
            stage: {name: rows.filter(pc.is_in(rows.column("problem_id"), mine)) for name, rows in by_name.items()}
            for stage, by_name in self._tables.items()
        }
        return MemoryInputs(self.ancestors, self.parents, tables)


class BundledInputs(PartitionedInputs):
    """The same in bundles that follow the problems, as a run gives them."""

    def bundles(self, parts: Collection[str] | None = None) -> Iterator[tuple[Inputs, str | None]]:
        problems = sorted(self._problems())
        size = -(-len(problems) // self._parts)
        for start in range(0, len(problems), size):
            following = problems[start + size : start + size + 1]
            yield self._of(problems[start : start + size]), following[0] if following else None


class NoServices:
    """The services of an export: it samples and judges nothing."""

    stage_id, run_seed, attempt, earlier, memory_mb = "a_export", 0, 1, None, 128

    def __init__(self) -> None:
        self.counted: dict[str, float] = {}

    def count(self, **counts: float) -> None:
        for name, value in counts.items():
            self.counted[name] = self.counted.get(name, 0) + value

    def renderer(self, policy: str) -> Any:
        raise AssertionError("no export renders")

    identity = sample = judge = renderer


def rollout(problem: Mapping[str, Any], index: int, completion: str, **more: Any) -> dict[str, Any]:
    rollout_id = ids.rollout_id(problem["problem_id"], POLICY, 0, SAMPLING, ids.NO_PREFIX, index, 0)
    row = {
        "rollout_id": rollout_id,
        "problem_id": problem["problem_id"],
        "policy_id": POLICY,
        "round": 0,
        "sampling_id": SAMPLING,
        "prefix_id": ids.NO_PREFIX,
        "index": index,
        "seed": ids.rollout_seed(rollout_id),
        "stage_id": STAGE,
        "condition": "none",
        "turn": 0,
        "prompt": problem["prompt"],
        "completion": completion,
        "completion_hash": ids.text_hash(completion),
        "finish_reason": "stop",
        "n_tokens": len(completion.split()),
        "on_policy": True,
    }
    return row | more


def score(row: Mapping[str, Any], kind: str, scorer: str, value: float | None, **more: Any) -> dict[str, Any]:
    base = {
        "problem_id": row["problem_id"],
        "target_kind": "rollout",
        "target_id": row.get("rollout_id", row["problem_id"]),
        "kind": kind,
        "scorer": scorer,
        "scorer_version": "1",
        "config_hash": "c",
        "value": value,
        "stage_id": STAGE,
    }
    return base | more


def problem(number: int) -> dict[str, Any]:
    left, right = number + 1, 2 * number + 3
    prompt = [{"role": "user", "content": f"Ann has {left} apples and gets {right} more. How many has she?"}]
    return {
        "problem_id": ids.problem_id(prompt),
        "prompt": prompt,
        "answer": str(left + right),
        "domain": "arithmetic" if number % 3 else None,
        "source": "made-up",
        "metadata": "{}",
        "content_hash": f"h{number}",
        "_left": left,
        "_right": right,
    }


def solution(row: Mapping[str, Any], index: int, right: bool) -> str:
    """Three steps, each on a line of its own; `index` makes texts differ."""
    result = row["_left"] + row["_right"] + (0 if right else 1 + index)
    start = f"She starts with {row['_left']} apples.\n"
    return start + f"{row['_left']} + {row['_right']} = {result}, take {index}\n" + f"\\boxed{{{result}}}"


def steps_of(row: Mapping[str, Any], right: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Steps by line, and values that fall at the second step of a wrong answer."""
    steps, values, at, before = [], [], 0, 0.5
    lines = row["completion"].splitlines(keepends=True)
    for index, line in enumerate(lines):
        step_id = ids.step_id(row["rollout_id"], "lines", index)
        value = 0.5 if index == 0 else (1.0 if right else 0.0)
        common = {"step_id": step_id, "problem_id": row["problem_id"], "rollout_id": row["rollout_id"], "index": index}
        steps.append(common | {"segmenter": "lines", "char_start": at, "char_end": at + len(line), "stage_id": STAGE})
        values.append(
            common
            | {
                "labeler": "monte_carlo",
                "labeler_version": "1",
                "config_hash": "c",
                "policy_id": POLICY,
                "scale": "chance",
                "value_before": before,
                "value": value,
                "n": 4,
                "successes": int(4 * value),
                "n_unknown": 0,
                "advantage": value - before,
                "is_first_error": not right and index == 1,
                "tokens_spent": 10,
                "stage_id": STAGE,
            }
        )
        at, before = at + len(line), value
    return steps, values


def pair(row: Mapping[str, Any], chosen: Mapping[str, Any], rejected: Mapping[str, Any], trunk: int) -> dict[str, Any]:
    """A response pair, or a step pair whose trunk is the first `trunk` characters."""
    level = "step" if trunk else "response"
    prefix = chosen["completion"][:trunk]
    ends = [text.find("\n", trunk) + 1 if trunk else None for text in (chosen["completion"], rejected["completion"])]
    return {
        "pair_id": ids.pair_id(level, prefix, chosen["rollout_id"], rejected["rollout_id"], "test"),
        "problem_id": row["problem_id"],
        "level": level,
        "prompt": row["prompt"],
        "prefix": prefix,
        "chosen": chosen["completion"][trunk : ends[0]],
        "rejected": rejected["completion"][trunk : ends[1]],
        "chosen_rollout_id": chosen["rollout_id"],
        "rejected_rollout_id": rejected["rollout_id"],
        "chosen_value": 1.0,
        "rejected_value": 0.0,
        "margin": 1.0,
        "margin_se": 0.0,
        "length_ratio": 1.0,
        "rule": "test",
        "stage_id": STAGE,
    }


def make_tables(n_problems: int = 12, n: int = 4) -> dict[str, dict[str, pa.Table]]:
    """Every problem has `n` rollouts: problem k has k mod (n + 1) right ones, so that every group state occurs."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("problems", "rollouts", "steps", "values", "pairs")}
    verdicts, filters, ranks, stats = [], [], [], []
    for number in range(n_problems):
        row = problem(number)
        n_right = number % (n + 1)
        group = [rollout(row, i, solution(row, i, i < n_right)) for i in range(n)]
        for i, each in enumerate(group):
            verdict = "correct" if i < n_right else "wrong"
            if number % 5 == 4 and i == n - 1:
                verdicts.append(score(each, "verdict", "math", None, verdict="unknown", reason="timeout"))
            else:
                verdicts.append(score(each, "verdict", "math", float(verdict == "correct"), verdict=verdict))
            keeps = not (number == 3 and i == 0)
            filters.append(score(each, "filter", "length", float(keeps), reason=None if keeps else "too long"))
            steps, values = steps_of(each, i < n_right)
            rows["steps"] += steps
            rows["values"] += values
        if 0 < n_right < n:
            trunk = group[0]["completion"].find("\n") + 1
            rows["pairs"] += [pair(row, group[0], group[-1], 0), pair(row, group[0], group[-1], trunk)]
        ranks.append(score(row, "measure", "curriculum.order", float(n_problems - number), target_kind="problem"))
        stats.append(problem_stat(row, n, n_right))
        rows["problems"].append({k: v for k, v in row.items() if not k.startswith("_")})
        rows["rollouts"] += group
    return {
        "problems": {"problems": TABLES["problems"].from_rows(rows["problems"])},
        "rollouts": {"rollouts": TABLES["rollouts"].from_rows(rows["rollouts"])},
        "verdicts": {"scores": TABLES["scores"].from_rows(verdicts)},
        "kept": {"scores": TABLES["scores"].from_rows(filters)},
        "difficulty": {"problem_stats": TABLES["problem_stats"].from_rows(stats)},
        "order": {"scores": TABLES["scores"].from_rows(ranks)},
        "steps": {
            "steps": TABLES["steps"].from_rows(rows["steps"]),
            "step_values": TABLES["step_values"].from_rows(rows["values"]),
        },
        "pairs": {"pairs": TABLES["pairs"].from_rows(rows["pairs"])},
    }


def problem_stat(row: Mapping[str, Any], n: int, n_right: int) -> dict[str, Any]:
    rate = n_right / n
    state = "all_correct" if rate == 1 else "all_wrong" if rate == 0 else "mixed"
    return {
        "problem_id": row["problem_id"],
        "policy_id": POLICY,
        "round": 0,
        "sampling_id": SAMPLING,
        "n": n,
        "n_correct": n_right,
        "n_wrong": n - n_right,
        "n_unknown": 0,
        "n_truncated": 0,
        "pass_rate": rate,
        "pass_low": max(0.0, rate - 0.3),
        "pass_high": min(1.0, rate + 0.3),
        "group_state": state,
        "difficulty": 1 - rate,
        "difficulty_bin": state,
        "stage_id": STAGE,
    }


def make_inputs(
    tables: Mapping[str, Mapping[str, pa.Table]], parts: int = 1, *, reverse: bool = False
) -> PartitionedInputs:
    return PartitionedInputs(ANCESTORS, ("pairs",), tables, parts, reverse=reverse)


def export(stage: Any, tables: Mapping[str, Mapping[str, pa.Table]], directory: Path, parts: int = 1) -> pa.Table:
    """Run an export class with its default options, or a configured stage; the rejects."""
    made = stage(name="export", config=stage.Config(use=stage.use, of="pairs")) if isinstance(stage, type) else stage
    directory.mkdir(parents=True, exist_ok=True)
    return released(made, make_inputs(tables, parts), directory)


def released(stage: Any, inputs: Inputs, directory: Path, services: Any = None) -> pa.Table:
    """Write a release into a folder that is there; its rejects, sorted by their key."""
    rejects = TABLES["rejects"]
    found = pa.concat_tables([rejects.empty(), *stage.release(inputs, directory, services or NoServices())])
    assert found.schema.equals(rejects.schema)
    return found.sort_by([(name, "ascending") for name in rejects.key])
