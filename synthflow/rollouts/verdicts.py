"""The verifier that a stage's own configuration names: its mistakes, its identity, and what it says of paths.

Invariant: a path is judged as `verify.X` judges a rollout: by how it ended where that decides, without a gold answer
only if the verifier needs none, and in the same words.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from synthflow import ids, registry
from synthflow.contracts import Judgement, Services
from synthflow.errors import InvariantBroken, UserError
from synthflow.rollouts.eligibility import verdict_from_finish_reason
from synthflow.rollouts.plugin_options import option_mistakes
from synthflow.rollouts.questions import note, part_rows, question
from synthflow.schema import TELEMETRY


def mistakes(verifier: str, options: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    """Mistakes in the fields `verifier` and `verifier_options`, in the form of `Stage.check`."""
    known = registry.names("verifiers")
    if verifier not in known:
        yield "verifier", f"no verifier is called {verifier!r}", registry.suggest(verifier, known) or ", ".join(known)
        return
    try:
        wrapped = registry.load("verifiers", verifier)
        made = wrapped(wrapped.Config.model_validate(dict(options)))
        for field, what, fix in made.check():
            yield f"verifier_options.{field}", what, fix
    except ValidationError as error:
        yield from option_mistakes(error, wrapped.Config, "verifier_options")
    except UserError as error:
        yield "verifier", str(error), "install what it needs"


@dataclass(frozen=True, slots=True)
class Asked:
    """A path to be judged."""

    target_id: str
    text: str
    finish_reason: str
    problem: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Judging:
    """A verifier by name, with its options and the rule for truncated paths."""

    verifier: str
    options: Mapping[str, Any]
    truncated: str

    def judge(self, asked: Sequence[Asked], services: Services) -> tuple[list[Judgement], dict[str, str]]:
        """Judgements in order, and the columns of scores that say who judged.

        Raises:
            InvariantBroken: if the verifier gives another number of judgements.
        """
        needs_answer = registry.load("verifiers", self.verifier).needs_answer
        early = [self._early(a, needs_answer) for a in asked]
        questions = [
            question(a.target_id, a.text, a.problem) for a, known in zip(asked, early, strict=True) if known is None
        ]
        answers, version, config_hash = services.judge(self.verifier, self.options, questions)
        if len(answers) != len(questions):
            raise InvariantBroken(f"verifier {self.verifier!r}: {len(questions)} questions, {len(answers)} judgements")
        if self.truncated != "unknown":
            config_hash = ids.content_id("c", config_hash, self.truncated)
        given = iter(answers)
        who = {"scorer": self.verifier, "scorer_version": version, "config_hash": config_hash}
        return [known if known is not None else next(given) for known in early], who

    def _early(self, asked: Asked, needs_answer: bool) -> Judgement | None:
        ended = verdict_from_finish_reason(asked.finish_reason, self.truncated)
        if ended is None and needs_answer and asked.problem["answer"] is None:
            return Judgement.unknown("no_gold")
        return ended


def verdict_rows(
    problem_id: str, target_id: str, judgement: Judgement, who: Mapping[str, str], stage_id: str
) -> list[dict[str, Any]]:
    """The verdict on one rollout as rows of the scores table, with what stands behind it."""
    row = {
        "problem_id": problem_id,
        "target_kind": "rollout",
        "target_id": target_id,
        "kind": "verdict",
        "verdict": judgement.verdict,
        "value": judgement.value,
        "reason": note(judgement.reason),
        "detail": note(judgement.detail),
        "stage_id": stage_id,
    }
    return [row | dict(who), *part_rows(problem_id, target_id, judgement, stage_id)]


def elapsed_rows(judged: Iterable[tuple[str, str, Judgement]], services: Services) -> pa.Table:
    """Seconds that each judgement took, as (problem_id, target_id, judgement)."""
    worker = f"{platform.node()}:{os.getpid()}"
    return TELEMETRY.from_rows(
        [
            {
                "problem_id": problem,
                "target_kind": "score",
                "target_id": target,
                "metric": "elapsed_s",
                "value": judgement.elapsed_s,
                "worker": worker,
                "attempt": services.attempt,
                "stage_id": services.stage_id,
            }
            for problem, target, judgement in judged
        ]
    )
