"""The hard rules of a rubric: registered verifiers and filters, asked as their own stages ask them.

Invariant: a rule sees what its stage would see (a verifier one completion at a time, a filter all first rollouts of the
partition's groups), so the same rule says the same in a rubric and alone.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import polars as pl

from synthflow import registry
from synthflow.contracts import Services
from synthflow.errors import InvariantBroken
from synthflow.rollouts.questions import question
from synthflow.stages.verify.criteria import Criterion
from synthflow.stages.verify.rubrics import Met

Said = dict[str, tuple[float | None, str | None]]
"""By rollout: how far the rule is met, and the reason."""


def check(
    criteria: Sequence[Criterion],
    rollouts: pl.DataFrame,
    rows: Sequence[Mapping[str, Any]],
    problems: Mapping[str, Mapping[str, Any]],
    services: Services,
    values: MutableMapping[tuple[str, str], Met],
) -> list[str]:
    """Check every rule on every row, and put what it says into `values`.

    Args:
        rollouts: all rollouts of the partition, for filters.
        rows: those that are judged.

    Returns:
        `rule version` of the rules that were asked, in order.

    Raises:
        InvariantBroken: if a rule gives another number of answers than it was asked for.
    """
    versions = []
    for criterion in criteria:
        if criterion.rule is None:
            continue
        kind, _, name = criterion.rule.partition(".")
        if kind == "verify":
            said, version = _verifier(name, criterion, rows, problems, services)
        else:
            said, version = _filter(name, criterion, rollouts)
        for row in rows:
            rollout = row["rollout_id"]
            value, reason = said[rollout]
            values[rollout, criterion.name] = Met(criterion.name, criterion.weight, value, criterion.required, reason)
        versions.append(f"{criterion.rule} {version}")
    return list(dict.fromkeys(versions))


def _verifier(
    name: str,
    criterion: Criterion,
    rows: Sequence[Mapping[str, Any]],
    problems: Mapping[str, Mapping[str, Any]],
    services: Services,
) -> tuple[Said, str]:
    own = registry.load("verifiers", name).Config.model_validate(criterion.options).model_dump(mode="json")
    questions = [question(row["rollout_id"], row["completion"], problems[row["problem_id"]]) for row in rows]
    answers, version, _ = services.judge(name, own, questions)
    if len(answers) != len(questions):
        raise InvariantBroken(f"verifier {name!r}: {len(questions)} questions, {len(answers)} judgements")
    said = {q.target_id: (answer.value, answer.reason) for q, answer in zip(questions, answers, strict=True)}
    return said, version


def _filter(name: str, criterion: Criterion, rollouts: pl.DataFrame) -> tuple[Said, str]:
    cls = registry.load("filters", name)
    said = cls(cls.Config.model_validate(criterion.options)).judge(rollouts)
    if said.height != rollouts.height or said.get_column("keep").null_count():
        raise InvariantBroken(f"filter {name!r}: {rollouts.height} rollouts, {said.height} answers")
    kept = zip(rollouts.get_column("rollout_id"), said.get_column("keep"), said.get_column("reason"), strict=True)
    found: Said = {rollout: (float(keep), None if keep else reason or "dropped") for rollout, keep, reason in kept}
    return found, str(cls.version)
