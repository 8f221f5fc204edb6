"""What had no answer and is asked again: when somebody asks for it, when the policy's settings have changed, and after
a run that did not end.

Invariant: `plan` counts by the same `Standing` as the attempt after it samples by.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from synthflow.contracts import UNANSWERED
from synthflow.ids import canonical
from synthflow.plan.planned import PlannedRun
from synthflow.stores.journal import Standing


def asked_again(planned: PlannedRun, wanted: Collection[str] = ()) -> dict[str, list[str]]:
    """What is asked again if it had no answer: finish_reasons by policy.

    Args:
        wanted: finish_reasons that are asked again of every policy. Of one whose settings are not those of the latest
            attempt all are.
    """
    pipeline = planned.pipeline
    before = planned.manifest.latest_attempt.get("spec", {}).get("policies", {})
    now = pipeline.resolved()["policies"]
    used = {name for node in pipeline.nodes for name in type(node.stage).policies(node.config)}
    changed = {name for name in used if name in before and canonical(before[name]) != canonical(now[name])}
    found = {name: sorted(UNANSWERED if name in changed else wanted) for name in sorted(used)}
    return {name: endings for name, endings in found.items() if endings}


def units_without_answers(planned: PlannedRun, again: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """Finished units (stage -> units) with rows that ended so, of the stages that sample from these policies."""
    found: dict[str, list[str]] = {}
    for node in planned.pipeline.nodes:
        wanted = {ending for name in type(node.stage).policies(node.config) for ending in again.get(name, ())}
        for unit in planned.graph.units(node.name) if wanted else ():
            commit = planned.manifest.find(node.name, unit, planned.graph)
            if commit is not None and wanted.intersection(commit.unanswered):
                found.setdefault(node.name, []).append(unit)
    return found


def standing_of(planned: PlannedRun, policy: str, again: Mapping[str, Collection[str]]) -> Standing:
    """Which records of the journal will count for the next attempt, if it asks this again."""
    manifest = planned.manifest
    attempt = manifest.attempt + 1
    since = {**manifest.again.get(policy, {}), **dict.fromkeys(again.get(policy, ()), attempt)}
    return Standing(attempt, manifest.done_attempt, since)
