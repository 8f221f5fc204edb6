"""From rows to questions for a verifier, and from what stands behind its judgements to rows of scores.

Invariant: every verdict, on a rollout or on a continuation of one, is asked for in the same words, so that the same
verifier judges both alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from synthflow.contracts import Inputs, Judgement, Question

MAX_NOTE_CHARS = 2000
"""Longest reason or detail that is kept: it may quote model text, which has no bound."""

_COLUMNS = ["problem_id", "answer", "metadata", "prompt", "domain", "source"]


def problems_by_id(inputs: Inputs) -> dict[str, dict[str, Any]]:
    """What a verifier may know of each problem, the first row of it where sources share one."""
    problems = inputs.frame("problems", _COLUMNS).unique("problem_id", keep="first", maintain_order=True)
    return {row["problem_id"]: row for row in problems.iter_rows(named=True)}


def question(target_id: str, completion: str, problem: Mapping[str, Any]) -> Question:
    """A completion beside its problem, one of `problems_by_id`."""
    return questions([(target_id, completion, problem)])[0]


def questions(asked: Iterable[tuple[str, str, Mapping[str, Any]]]) -> list[Question]:
    """Completions (id, text) beside their problems; what those of one problem share is read once."""
    known: dict[str, tuple[Any, ...]] = {}
    made = []
    for target_id, completion, problem in asked:
        name = problem["problem_id"]
        shared = known.get(name)
        if shared is None:
            prompt = tuple((message["role"], message["content"]) for message in problem["prompt"] or ())
            rest = (problem["answer"], problem["metadata"] or "{}", prompt, problem["domain"], problem["source"])
            shared = known[name] = rest
        made.append(Question(target_id, name, completion, *shared))
    return made


def part_rows(problem_id: str, target_id: str, judgement: Judgement, stage_id: str) -> list[dict[str, Any]]:
    """A row of scores for each part of a judgement; of two with one key the first."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for part in judgement.parts:
        row = {
            "problem_id": problem_id,
            "target_kind": "rollout",
            "target_id": target_id,
            "kind": part.kind,
            "scorer": part.scorer,
            "scorer_version": part.scorer_version,
            "config_hash": part.config_hash,
            "verdict": part.verdict,
            "value": part.value,
            "reason": note(part.reason),
            "detail": note(part.detail),
            "stage_id": stage_id,
        }
        rows.setdefault((part.scorer, part.config_hash), row)
    return list(rows.values())


def note(text: str | None) -> str | None:
    """Text that Arrow can hold: bounded, and without the lone surrogates that model text may bring."""
    if text is None or (len(text) <= MAX_NOTE_CHARS and text.isascii()):
        return text
    return text[:MAX_NOTE_CHARS].encode("utf-8", "replace").decode()
