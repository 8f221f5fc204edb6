"""Random edits of a file of problems and of the spec that reads it.

Every problem comes from a pool for which rollouts are recorded, so that whatever is asked has an answer.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from support.runs import write_spec
from synthflow import ids
from synthflow.demo import DemoProblem, generate_problems, reference_solutions
from synthflow.models.directories import resolve_model
from synthflow.schema import ROLLOUTS

Row = dict[str, Any]
Edit = Callable[["Edited"], None]

POOL, RECORDED = 20, 4


def write_recording(path: Path) -> list[DemoProblem]:
    """Some rollouts of every problem of the pool, right and wrong ones, as one file that `replay` answers from."""
    from synthflow.backends.renderer import PolicyRenderer

    renderer = PolicyRenderer.load(resolve_model("demo"))
    pool = list(generate_problems(POOL, split="train", seed=5, ops=(2, 3)))
    rows = []
    for problem in pool:
        prompt = [{"role": "user", "content": problem.prompt}]
        problem_id = ids.problem_id(prompt)
        [solution] = reference_solutions(problem, 1, 0)
        for index in range(RECORDED):
            wrong = [*solution[:-1], solution[-1].replace(problem.answer, str(int(problem.answer) + index))]
            text = "\n".join(solution if index % 2 == 0 else wrong)
            rollout = ids.rollout_id(problem_id, "m_recorded", 0, "g_recorded", ids.NO_PREFIX, index, 0)
            tokens = renderer.encode(text)
            rows.append(
                {
                    "rollout_id": rollout, "problem_id": problem_id, "policy_id": "m_recorded", "round": 0,
                    "sampling_id": "g_recorded", "prefix_id": ids.NO_PREFIX, "index": index, "seed": 0,
                    "stage_id": "e_recorded", "condition": "none", "turn": 0, "prompt": prompt, "completion": text,
                    "completion_hash": ids.text_hash(text), "on_policy": True, "finish_reason": "stop",
                    "prompt_token_ids": renderer.render([("user", problem.prompt)]), "token_ids": tokens,
                    "logprobs": [-0.5] * len(tokens), "n_tokens": len(tokens),
                }
            )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(ROLLOUTS.from_rows(rows), path)
    return pool


class Edited:
    """A file of problems and a spec, which `edit` changes at random; both are written into `folder`."""

    def __init__(self, folder: Path, recording: Path, pool: Sequence[DemoProblem], seed: int) -> None:
        self.folder, self.rng, self.told = folder, random.Random(seed), list[str]()
        self.pool = [{"prompt": p.prompt, "answer": p.answer, "domain": "math"} for p in pool]
        self.rows: list[Row] = [dict(row) for row in self.rng.sample(self.pool, 7)]
        self.stages: dict[str, Row] = {
            "problems": {"use": "source.jsonl", "path": "problems.jsonl"},
            "rollouts": {"use": "sample", "of": "problems", "n": 3, "max_tokens": 120},
            "verdicts": {"use": "verify.exact", "of": "rollouts", "extract": "last_line"},
            "difficulty": {"use": "curriculum.pass_rate", "of": "verdicts"},
            "order": {"use": "curriculum.order", "of": "difficulty"},
            "sft": {"use": "export.sft", "of": "order"},
        }
        self.whole: Row = {
            "name": "edited",
            "seed": 3,
            "policy": {"backend": "replay", "model": str(recording), "tokenizer": "demo", "missing": "resample"},
            "execution": {"partition_size": 3},
        }
        self.write()

    @property
    def spec(self) -> Path:
        return self.folder / "spec.yaml"

    def edit(self) -> None:
        """One to three changes, of what is told in `told`."""
        self.told = []
        for change in self.rng.sample(_EDITS, self.rng.randint(1, 3)):
            change(self)
            self.told.append(change.__name__.strip("_"))
        self.write()

    def write(self) -> None:
        lines = "".join(json.dumps(row) + "\n" for row in self.rows)
        (self.folder / "problems.jsonl").write_text(lines)
        write_spec(self.spec, {**self.whole, "stages": self.stages})

    def stage(self, use: str) -> str | None:
        """The name of the stage that does this kind of work, if there is one."""
        return next((name for name, fields in self.stages.items() if fields["use"].startswith(use)), None)

    def put(self, name: str, fields: Mapping[str, Any], below: str) -> None:
        """Put a stage between another and all that read it."""
        for other in self.stages.values():
            if other.get("of") == below:
                other["of"] = name
        self.stages[name] = {**fields, "of": below}

    def take_out(self, name: str) -> None:
        above = self.stages.pop(name)["of"]
        for other in self.stages.values():
            if other.get("of") == name:
                other["of"] = above


def _add_problems(edited: Edited) -> None:
    there = {row["prompt"] for row in edited.rows}
    others = [row for row in edited.pool if row["prompt"] not in there]
    for row in edited.rng.sample(others, min(len(others), edited.rng.randint(1, 4))):
        edited.rows.insert(edited.rng.randint(0, len(edited.rows)), dict(row))


def _remove_problems(edited: Edited) -> None:
    for _ in range(edited.rng.randint(1, 3)):
        if len(edited.rows) > 1:
            edited.rows.pop(edited.rng.randrange(len(edited.rows)))


def _edit_answers(edited: Edited) -> None:
    for chosen in edited.rng.sample(edited.rows, min(2, len(edited.rows))):
        answer = str(edited.rng.randint(0, 99))
        for row in edited.rows:  # two copies with different answers would be a mistake
            if row["prompt"] == chosen["prompt"]:
                row["answer"] = answer


def _retype_answers(edited: Edited) -> None:
    """The same answers, as numbers or as text."""
    kind = edited.rng.choice([int, str])
    for row in edited.rows:
        row["answer"] = kind(row["answer"])


def _reorder(edited: Edited) -> None:
    edited.rng.shuffle(edited.rows)


def _column(edited: Edited) -> None:
    """A column more, other values in it, or it is gone."""
    value = edited.rng.choice([None, 1, "a"])
    for row in edited.rows:
        row.pop("note", None)
        if value is not None and edited.rng.random() < 0.7:
            row["note"] = value


def _copy_a_row(edited: Edited) -> None:
    edited.rows.append(dict(edited.rng.choice(edited.rows)))


def _n(edited: Edited) -> None:
    edited.stages[edited.stage("sample") or ""]["n"] = edited.rng.randint(1, 5)


def _temperature(edited: Edited) -> None:
    edited.stages[edited.stage("sample") or ""]["temperature"] = edited.rng.choice([0.7, 1.0])


def _verifier(edited: Edited) -> None:
    fields = edited.stages[edited.stage("verify.") or ""]
    other = edited.rng.choice([
        {"use": "verify.exact", "extract": "last_line"},
        {"use": "verify.exact", "extract": "last_line", "normalise": "none"},
        {"use": "verify.regex", "text": "completion", "match": "search"},
    ])  # fmt: skip
    of = fields["of"]
    fields.clear()
    fields.update(other, of=of)


def _filter(edited: Edited) -> None:
    name = edited.stage("filter.")
    if name is not None:
        edited.take_out(name)
    else:
        edited.put("short", {"use": "filter.length", "min_tokens": 20}, edited.stage("verify.") or "")


def _labels(edited: Edited) -> None:
    """Step values come in or go: a stage whose requests depend on what was sampled."""
    name = edited.stage("label.")
    if name is not None:
        edited.stages.pop(name)
    else:
        fields = {"use": "label.monte_carlo", "of": edited.stage("curriculum.pass_rate"), "n": 2, "max_tokens": 60}
        edited.stages["steps"] = {**fields, "rollouts_per_problem": 1, "max_steps": 4}


def _rename(edited: Edited) -> None:
    old = edited.rng.choice(list(edited.stages))
    new = f"{old.partition('_')[0]}_{edited.rng.randint(0, 9)}"
    if new not in edited.stages:
        edited.stages = {new if name == old else name: fields for name, fields in edited.stages.items()}
        for other in edited.stages.values():
            if other.get("of") == old:
                other["of"] = new


def _export(edited: Edited) -> None:
    """Another release, or one less."""
    name = edited.stage("export.rl")
    if name is not None:
        edited.stages.pop(name)
    else:
        edited.stages["rl"] = {"use": "export.rl", "of": edited.stage("curriculum.order")}


def _partition_size(edited: Edited) -> None:
    edited.whole["execution"]["partition_size"] = edited.rng.randint(1, 5)


_EDITS: list[Edit] = [
    _add_problems, _remove_problems, _edit_answers, _retype_answers, _reorder, _column, _copy_a_row, _n, _temperature,
    _verifier, _filter, _labels, _rename, _export, _partition_size,
]  # fmt: skip
