"""Why work is owed: what is different of a stage since the latest attempt, in a few words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from synthflow.plan.planned import PlannedRun
from synthflow.stores.graph import ALL, Graph, StageRecord
from synthflow.stores.manifest import Manifest

_MOST_FIELDS = 3


def why_owed(planned: PlannedRun, name: str, owed: Sequence[str], again: Collection[str]) -> str:
    """What made these units of a stage owed; empty if no attempt was there before.

    Args:
        again: stages that ask again for what had no answer.
    """
    latest, record = planned.manifest.graph, planned.graph.stages[name]
    if not latest.stages:
        return ""
    before = latest.stages.get(name)
    if before is None:
        twins = [s.name for s in latest.stages.values() if s.fingerprint == record.fingerprint]
        gone = [twin for twin in twins if twin not in planned.graph.stages]
        return f"renamed, was {gone[0]}" if gone else "new"
    if before.fingerprint != record.fingerprint:
        return _changed(planned, before, record)
    known = {latest.key(name, unit) for unit in latest.units(name)}
    if all(planned.graph.key(name, unit) in known for unit in owed):
        if name in again:
            return "no answer, asked again"
        if above := [a for a in planned.graph.ancestors_of(name) if a in again]:
            return f"follows {above[0]}"
        return "release to be written again" if record.scope == "whole" and _was_done(planned, name) else "not finished"
    above = [a for a in planned.graph.ancestors_of(name) if _is_other_whole(planned, a)]
    return f"follows {above[0]}" if above else "other problems"


def _was_done(planned: PlannedRun, name: str) -> bool:
    record = planned.graph.stages[name]
    return planned.manifest.was_done(record.fingerprint, planned.graph.key(name, ALL))


def _is_other_whole(planned: PlannedRun, name: str) -> bool:
    latest = planned.manifest.graph
    was = latest.stages.get(name)
    return was is not None and was.scope == "whole" and was.fingerprint != planned.graph.stages[name].fingerprint


def _changed(planned: PlannedRun, before: StageRecord, record: StageRecord) -> str:
    fields = _differences(before, record)
    if fields:
        more = len(fields) - _MOST_FIELDS
        return ", ".join(fields[:_MOST_FIELDS]) + (f", {more} more" if more > 0 else "")
    latest = planned.manifest.graph.stages
    was, now = ({latest[p].fingerprint for p in before.parents if p in latest},
                {planned.graph.stages[p].fingerprint for p in record.parents})  # fmt: skip
    if was != now:
        others = [p for p in record.parents if planned.graph.stages[p].fingerprint not in was]
        return f"follows {others[0]}" if others else "reads fewer stages"
    return "another policy, seed or round"


def _differences(before: StageRecord, record: StageRecord) -> list[str]:
    if before.use != record.use:
        return [f"{before.use} → {record.use}"]
    were, are = dict(before.config), dict(record.config)
    names = [name for name in are if name not in ("of", "path") and are[name] != were.get(name, are[name])]
    found = [f"{name}: {_short(were.get(name))} → {_short(are[name])}" for name in names]
    if before.version != record.version:
        found.append(f"version {before.version} → {record.version}")
    return found


def _short(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 24 else text[:23] + "…"


def gone_stages(latest: Graph, graph: Graph, manifest: Manifest) -> tuple[Mapping[str, Any], ...]:
    """Stages of the latest attempt that a plan has no more."""
    return tuple(
        {
            "stage": name,
            "use": record.use,
            "units": sum(manifest.find(name, unit, latest) is not None for unit in latest.units(name)),
            "has_release": manifest.released(name) is not None,
        }
        for name, record in latest.stages.items()
        if name not in graph.stages
    )
