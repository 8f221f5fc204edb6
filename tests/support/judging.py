"""Problems, rollouts and services in memory: a judge that answers by a script, and the real math verifier."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from support.stages import stage_info
from synthflow import ids
from synthflow.contracts import (
    Judgement,
    MemoryInputs,
    PolicyIdentity,
    Question,
    SampleRequest,
    SampleResult,
)
from synthflow.schema import ARTIFACTS, PROBLEMS, ROLLOUTS, SCORES
from synthflow.stages.adapters import stage_class
from synthflow.verifiers.opening import open_verifier

JUDGE = "m_judge"
Script = Callable[[str, int], str]


def between(prompt: str, tag: str) -> str:
    """What stands in a prompt between the tags called `tag`."""
    found = re.search(rf'<{tag} id="(\w+)">\n(.*?)\n</{tag} id="\1">', prompt, re.DOTALL)
    assert found is not None, prompt
    return found.group(2)


class Services:
    """A journal in memory. `script(prompt, seed)` is what the judge writes; `sampled` lists what was paid for."""

    stage_id, run_seed, attempt, round = "e_judge", 7, 1, 0

    def __init__(self, script: Script = lambda prompt, seed: "", finish: str = "stop") -> None:
        self.script, self.finish = script, finish
        self.journal: dict[str, SampleResult] = {}
        self.sampled: list[SampleRequest] = []
        self.counts: dict[str, float] = {}
        self.asked: list[Question] = []

    def renderer(self, policy: str) -> Any:
        return None

    def identity(self, policy: str) -> PolicyIdentity:
        return PolicyIdentity(JUDGE, "w", "t", "c")

    def sample(self, requests: Sequence[SampleRequest], policy: str) -> list[SampleResult]:
        assert len({r.rollout_id for r in requests}) == len(requests), "nothing is asked for twice"
        for request in requests:
            if request.rollout_id not in self.journal:
                self.sampled.append(request)
                text = self.script(request.messages[-1][1], request.seed)
                result = SampleResult(request.rollout_id, text, self.finish, n_tokens=len(text), elapsed_s=0.5)  # type: ignore[arg-type]
                self.journal[request.rollout_id] = result
        return [self.journal[r.rollout_id] for r in requests]

    def judge(
        self, verifier: str, config: Mapping[str, Any], questions: Sequence[Question]
    ) -> tuple[list[Judgement], str, str]:
        self.asked += questions
        opened = open_verifier(verifier, config)
        try:
            return opened.judge(questions), opened.full_version(), "c_1"
        finally:
            opened.close()

    def count(self, **counts: float) -> None:
        self.counts.update(counts)


def problem(name: str, answer: str | None = "4", metadata: str = "{}") -> dict[str, Any]:
    return {
        "problem_id": name,
        "prompt": [{"role": "user", "content": f"What is the answer to {name}?"}],
        "answer": answer,
        "source": "s",
        "metadata": metadata,
        "content_hash": "h",
    }


def rollout(name: str, completion: str, problem_id: str = "p_1", **changed: Any) -> dict[str, Any]:
    zeros = dict.fromkeys(("round", "index", "seed", "turn"), 0)
    texts = dict.fromkeys(("policy_id", "sampling_id", "prefix_id", "stage_id", "completion_hash"), "x")
    row = {
        "rollout_id": name, "problem_id": problem_id, "completion": completion, "finish_reason": "stop",
        "condition": "none", "prompt": [], "on_policy": True, "n_tokens": max(1, len(completion.split())),
    }  # fmt: skip
    return zeros | texts | row | changed


def score(rollout_id: str, value: float | None, **changed: Any) -> dict[str, Any]:
    return {
        "problem_id": "p_1", "target_kind": "rollout", "target_id": rollout_id, "kind": "measure", "scorer": "reward",
        "scorer_version": "1", "config_hash": "c", "value": value, "stage_id": "e_reward",
    } | changed  # fmt: skip


def inputs_of(
    rollouts: Sequence[Mapping[str, Any]],
    problems: Sequence[Mapping[str, Any]] = (problem("p_1"),),
    scores: Sequence[Mapping[str, Any]] = (),
    artifacts: Sequence[Mapping[str, Any]] = (),
) -> MemoryInputs:
    ancestors = [
        stage_info("problems", "source.x", ("problems", "artifacts")),
        stage_info("rollouts", "sample", ("rollouts",), ("problems",)),
        stage_info("reward", "my.reward", ("scores",), ("rollouts",)),
    ]
    tables = {
        "problems": {"problems": PROBLEMS.from_rows(problems), "artifacts": ARTIFACTS.from_rows(artifacts)},
        "rollouts": {"rollouts": ROLLOUTS.from_rows(rollouts)},
        "reward": {"scores": SCORES.from_rows(scores)},
    }
    return MemoryInputs(ancestors, ["reward"], tables)


def run(use: str, inputs: MemoryInputs, services: Services, **fields: Any) -> dict[str, Any]:
    """A stage's tables as rows by table; its spec must be sound."""
    cls = stage_class(use)
    stage = cls("judged", cls.Config(use=use, of="reward", **fields))
    assert not list(stage.check(inputs.ancestors))
    return {name: table.to_pylist() for name, table in stage.run(inputs, services).items()}  # type: ignore[arg-type]


def mistakes(use: str, **fields: Any) -> dict[str, str]:
    """What a stage's `check` finds, by field."""
    cls = stage_class(use)
    stage = cls("judged", cls.Config(use=use, of="reward", **fields))
    return {field: f"{what} ({fix})" for field, what, fix in stage.check(inputs_of([]).ancestors)}


def verdicts(tables: Mapping[str, Any]) -> dict[str, tuple[str, float | None, str | None]]:
    """Verdict, value and reason by rollout."""
    return {
        row["target_id"]: (row["verdict"], row["value"], row["reason"])
        for row in tables["scores"]
        if row["kind"] == "verdict"
    }


def measures(tables: Mapping[str, Any], scorer: str) -> dict[str, float | None]:
    return {row["target_id"]: row["value"] for row in tables["scores"] if row["scorer"] == scorer}


__all__ = [
    "ARTIFACTS", "JUDGE", "Services", "between", "ids", "inputs_of", "measures", "mistakes", "problem", "rollout",
    "run", "score", "verdicts",
]  # fmt: skip
