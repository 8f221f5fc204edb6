"""A made-up run whose steps several labelers valued: labels are given as functions of the true first error."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from support.made_up_run import problem, rollout, score
from support.stages import stage_info
from synthflow.contracts import Inputs, MemoryInputs, StageInfo
from synthflow.schema import PROBLEM_STATS, PROBLEMS, ROLLOUTS, SCORES, STEP_VALUES, STEPS

ABOVE = (
    stage_info("problems", "source.jsonl", ("problems",)),
    stage_info("rollouts", "sample", ("rollouts",), ("problems",)),
    stage_info("verdicts", "verify.math", ("scores",), ("rollouts",)),
    stage_info("difficulty", "curriculum.pass_rate", ("problem_stats",), ("verdicts",)),
)


@dataclass(frozen=True)
class Solution:
    """A rollout of `steps` steps, the first wrong one at `error` (-1: none), with kinds of the later ones."""

    name: str
    of: str
    steps: int
    error: int
    later: str = "inherited"

    def kind(self, index: int) -> str:
        if self.error < 0 or index < self.error:
            return "right"
        return "newly_wrong" if index == self.error else self.later


Row = dict[str, Any]
Says = Callable[[Solution, int], Row]
"""Fields of step_values for one step: value_before, value and, where the labeler says them, first, p_first, tokens."""


def truth(solution: Solution, index: int) -> Row:
    """What label.reference writes."""
    before = float(solution.error < 0 or index <= solution.error)
    value = float(solution.error < 0 or index < solution.error)
    is_first = index == solution.error
    return {
        "scale": "score",
        "value_before": before,
        "value": value,
        "is_first_error": is_first,
        "p_first_error": float(is_first),
    }


def noise(seed: int) -> Says:
    """A labeler that has seen nothing: random advantages, a random first error in every rollout."""

    def says(solution: Solution, index: int) -> Row:
        rng = random.Random(f"{seed}/{solution.name}")
        values = [rng.random() for _ in range(solution.steps + 1)]
        named = rng.randrange(solution.steps)
        return {"value_before": values[index], "value": values[index + 1], "is_first_error": index == named,
                "p_first_error": rng.random(), "tokens_spent": 10, "n": 4}  # fmt: skip

    return says


def solutions(
    n_problems: int, per_problem: int = 4, seed: int = 0, lengths: Sequence[int] = (2, 5, 9)
) -> list[Solution]:
    rng = random.Random(seed)
    made = []
    for p in range(n_problems):
        for r in range(per_problem):
            steps = rng.choice(lengths)
            error = rng.choice([-1, *range(steps)]) if r else -1
            later = rng.choice(["inherited", "right", "unjudgeable"])
            made.append(Solution(f"{p:03d}_{r}", f"{p:03d}", steps, error, later))
    return made


def stage_infos(labelers: Mapping[str, Says], of: Sequence[str] = ("difficulty",)) -> tuple[StageInfo, ...]:
    config = {"segmenter": "lines", "max_steps": 64, "overflow": "even"}
    uses = {"truth": "label.reference"}
    writes = ("steps", "step_values", "scores")
    return tuple(stage_info(name, uses.get(name, "label.monte_carlo"), writes, tuple(of), config) for name in labelers)


class Labelled(MemoryInputs):
    """Inputs of a stage that reads all labelers; `cuts` are lists of problems, one a partition."""

    def __init__(
        self, made: Sequence[Solution], labelers: Mapping[str, Says], cuts: Sequence[Sequence[str]] | None = None
    ) -> None:
        self.made, self.labelers, self.cuts = made, labelers, cuts
        super().__init__((*ABOVE, *stage_infos(labelers)), tuple(labelers), _tables(made, labelers))

    def partitions(self) -> Iterator[Inputs]:
        for cut in self.cuts if self.cuts is not None else [sorted({s.of for s in self.made})]:
            yield Labelled([s for s in self.made if s.of in cut], self.labelers)


def _tables(made: Sequence[Solution], labelers: Mapping[str, Says]) -> dict[str, dict[str, pa.Table]]:
    problems = sorted({s.of for s in made})
    stats = [
        {"problem_id": f"p_{of}", "policy_id": "m_1", "round": 0, "sampling_id": "g_1", "n": 4, "n_correct": 2,
         "n_wrong": 2, "n_unknown": 0, "n_truncated": 0, "group_state": "mixed", "stage_id": "e_difficulty",
         "difficulty_bin": "easy" if int(of) % 2 else "hard"}
        for of in problems
    ]  # fmt: skip
    found = {
        "problems": {
            "problems": PROBLEMS.from_rows([problem(of, metadata=f'{{"n_ops": {int(of) % 3}}}') for of in problems])
        },
        "rollouts": {"rollouts": ROLLOUTS.from_rows([rollout(s.name, s.of, "x" * s.steps) for s in made])},
        "verdicts": {"scores": SCORES.from_rows([score(s.name, s.of, "verdict", float(s.error < 0)) for s in made])},
        "difficulty": {"problem_stats": PROBLEM_STATS.from_rows(stats)},
    }
    for name, says in labelers.items():
        rows = [(s, i, says(s, i)) for s in made for i in range(s.steps)]
        found[name] = {
            "steps": STEPS.from_rows([_step(s, i, name) for s, i, _ in rows]),
            "step_values": STEP_VALUES.from_rows([_value(s, i, name, said) for s, i, said in rows]),
            "scores": SCORES.from_rows([_kind(s, i) for s, i, _ in rows] if name == "truth" else []),
        }
    return found


def _step(s: Solution, index: int, stage: str) -> Row:
    return {
        "step_id": f"s_{s.name}_{index}", "problem_id": f"p_{s.of}", "rollout_id": f"r_{s.name}", "segmenter": "lines",
        "index": index, "char_start": index, "char_end": index + 1, "stage_id": f"e_{stage}",
    }  # fmt: skip


def _value(s: Solution, index: int, stage: str, said: Row) -> Row:
    both = said.get("value") is not None and said.get("value_before") is not None
    return {
        "step_id": f"s_{s.name}_{index}", "problem_id": f"p_{s.of}", "rollout_id": f"r_{s.name}", "index": index,
        "labeler": stage, "labeler_version": "1", "config_hash": "c", "policy_id": "m_1", "scale": "chance", "n": 0,
        "successes": 0, "n_unknown": 0, "tokens_spent": 0, "stage_id": f"e_{stage}",
        "advantage": said["value"] - said["value_before"] if both else None,
    } | said  # fmt: skip


def _kind(s: Solution, index: int) -> Row:
    return {
        "problem_id": f"p_{s.of}", "target_kind": "step", "target_id": f"s_{s.name}_{index}", "kind": "measure",
        "scorer": "steps.toy", "scorer_version": "1", "config_hash": "c", "detail": s.kind(index),
        "stage_id": "e_truth",
    }  # fmt: skip
