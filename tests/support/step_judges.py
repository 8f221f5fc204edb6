"""Services with a judge of steps: it answers by a script, and its journal pays for nothing twice."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from support.toy_world import ToyRenderer, ToyServices, inputs_of
from synthflow.contracts import MemoryInputs, PolicyIdentity, SampleRequest, SampleResult
from synthflow.stages.label.judge import JudgeSteps

JUDGE = "m_judge"
Script = Callable[[str, int], str]


def between(prompt: str, tag: str) -> str:
    """What stands in a prompt between the tags called `tag`."""
    found = re.search(rf'<{tag} id="(\w+)">\n(.*?)\n</{tag} id="\1">', prompt, re.DOTALL)
    assert found is not None, prompt
    return found.group(2)


def shown_steps(prompt: str) -> list[str]:
    """The steps of the solution, as the judge sees them; their indices count up."""
    parts = re.split(r"(?:^|\n)\[step (\d+), [0-9a-f]{8}\]\n", between(prompt, "solution"))
    assert parts[0] == "" and list(map(int, parts[1::2])) == list(range(len(parts) // 2))
    return parts[2::2]


def earliest(steps: Sequence[str]) -> int:
    """The first bad line of the toy world; -1 where there is none."""
    return next((k for k, step in enumerate(steps) if "bad" in step), -1)


def knows(prompt: str, seed: int) -> str:
    """A judge that is right."""
    return f"I looked.\nEarliest: {earliest(shown_steps(prompt))}"


class JudgedServices(ToyServices):
    """The toy world, and a judge behind the policy `judge` whose tokenizer nobody has."""

    def __init__(self, script: Script = knows, finish: str = "stop", renderer: ToyRenderer | None = None) -> None:
        super().__init__(renderer)
        self.script, self.finish = script, finish
        self.journal: dict[str, SampleResult] = {}
        self.prompts: list[str] = []

    def renderer(self, policy: str) -> Any:
        return None if policy == "judge" else super().renderer(policy)

    def identity(self, policy: str) -> PolicyIdentity:
        return PolicyIdentity(JUDGE, "w", "t", "c") if policy == "judge" else super().identity(policy)

    def sample(self, requests: Sequence[SampleRequest], policy: str) -> list[SampleResult]:
        if policy != "judge":
            return super().sample(requests, policy)
        for request in requests:
            if request.rollout_id not in self.journal:
                self.prompts.append(request.messages[-1][1])
                text = self.script(self.prompts[-1], request.seed)
                result = SampleResult(request.rollout_id, text, self.finish, n_tokens=5)  # type: ignore[arg-type]
                self.journal[request.rollout_id] = result
        return [self.journal[r.rollout_id] for r in requests]


def stage(**fields: Any) -> JudgeSteps:
    return JudgeSteps("steps", JudgeSteps.Config(use=JudgeSteps.use, of="keep", policy="judge", **fields))


def judged(
    world: tuple[Sequence[Any], Sequence[Any], Sequence[Any]] | MemoryInputs, services: ToyServices, **fields: Any
) -> dict[str, list[dict[str, Any]]]:
    """The tables of `label.judge` as rows; its spec must be sound."""
    inputs = world if isinstance(world, MemoryInputs) else inputs_of(*world)
    made = stage(**{"groups": "all", **fields})
    assert not list(made.check(inputs.ancestors))
    tables: dict[str, pa.Table] = dict(made.run(inputs, services))
    return {name: table.to_pylist() for name, table in tables.items()}


def of_rollouts(tables: dict[str, list[dict[str, Any]]], column: str) -> dict[str, list[Any]]:
    """A column of step_values, in the order of the steps, by rollout."""
    found: dict[str, list[Any]] = {}
    for row in sorted(tables["step_values"], key=lambda r: (r["rollout_id"], r["index"])):
        found.setdefault(row["rollout_id"], []).append(row[column])
    return found


def measures(tables: dict[str, list[dict[str, Any]]], scorer: str) -> dict[str, tuple[float | None, str | None]]:
    """Value and reason by rollout."""
    rows = [row for row in tables["scores"] if row["scorer"] == scorer]
    assert {row["kind"] for row in rows} <= {"measure"} and len({row["target_id"] for row in rows}) == len(rows)
    return {row["target_id"]: (row["value"], row["reason"]) for row in rows}
