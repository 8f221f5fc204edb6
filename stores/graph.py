"""What should exist: the stages of an attempt as it planned them, and their units of work, each with its key.

Invariant: equal keys mean equal rows, whatever attempt or name of a stage they come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from synthflow.ids import content_id
from synthflow.stores.old_records import told

if TYPE_CHECKING:
    from synthflow.contracts.stage_info import Capability, StageInfo

ALL = "all"
"""The unit of a stage of whole scope."""
_LISTS = ("parents", "writes", "capabilities")


@dataclass(frozen=True, slots=True)
class StageRecord:
    """A stage as an attempt planned it."""

    name: str
    use: str
    version: str
    fingerprint: str
    scope: Literal["source", "partition", "whole"]
    parents: tuple[str, ...]
    writes: tuple[str, ...]
    config: Mapping[str, Any]
    covers: Mapping[str, Any] | None = None
    capabilities: tuple[str, ...] = ()
    account: Mapping[str, Any] | None = None

    def has(self, capability: Capability) -> bool:
        return capability in self.capabilities

    def info(self) -> StageInfo:
        """What other stages may know of it."""
        from synthflow.contracts import StageInfo  # contracts load pydantic, which readers of a manifest need not

        return StageInfo(self.name, self.use, self.writes, self.parents, self.config, frozenset(self.capabilities))

    @property
    def stage_id(self) -> str:
        return content_id("e", self.name, self.fingerprint)

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.fingerprint[2:14]}"

    def to_json(self) -> dict[str, Any]:
        record = {name: getattr(self, name) for name in self.__slots__}
        return {**record, **{name: list(record[name]) for name in _LISTS}}

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> StageRecord:
        record = told(record)
        return StageRecord(**{**record, **{name: tuple(record[name]) for name in _LISTS}})


class Graph:
    """The stages of an attempt and the partitions of its sources: what should exist, by key."""

    def __init__(
        self,
        stages: Sequence[StageRecord],
        partitions: Mapping[str, Sequence[str]],
        left_out: Mapping[str, str] | None = None,
    ) -> None:
        self.stages = {s.name: s for s in stages}
        self.partitions = {name: tuple(pids) for name, pids in partitions.items()}
        self.left_out = dict(left_out or {})
        self._keys: dict[tuple[str, str], str] = {}
        self._wholes: dict[str, list[str]] = {}

    def sources_of(self, stage: str) -> list[str]:
        """The sources above a stage (itself, for a source), sorted."""
        record = self.stages[stage]
        if record.scope == "source":
            return [stage]
        return sorted({s for parent in record.parents for s in self.sources_of(parent)})

    def ancestors_of(self, stage: str) -> list[str]:
        """All stages above a stage, in topological order."""
        above: set[str] = set()
        todo = list(self.stages[stage].parents)
        while todo:
            name = todo.pop()
            if name not in above:
                above.add(name)
                todo.extend(self.stages[name].parents)
        return [name for name in self.stages if name in above]

    def units(self, stage: str) -> list[str]:
        """Units of work of a stage: the partitions of its sources, or `all`.

        A source has one more, if it left rows out: the unit that holds its `rejects`.
        """
        scope = self.stages[stage].scope
        if scope == "whole":
            return [ALL]
        if scope == "source":
            left_out = self.left_out.get(stage)
            return [*self.partitions.get(stage, ()), *([left_out] if left_out else [])]
        return [pid for source in self.sources_of(stage) for pid in self.partitions.get(source, ())]

    def key(self, stage: str, unit: str) -> str:
        """H(fingerprint, what the unit is made of): equal keys mean equal rows."""
        if (stage, unit) not in self._keys:
            self._keys[stage, unit] = self._key(stage, unit)
        return self._keys[stage, unit]

    def _key(self, stage: str, unit: str) -> str:
        record = self.stages[stage]
        if record.scope == "source":
            return content_id("k", record.fingerprint, unit)
        if record.scope == "whole":
            pids = sorted(pid for source in self.sources_of(stage) for pid in self.partitions.get(source, ()))
            return content_id("k", record.fingerprint, pids)
        if stage not in self._wholes:
            above = [a for a in self.ancestors_of(stage) if self.stages[a].scope == "whole"]
            self._wholes[stage] = [self.key(a, ALL) for a in above]
        return content_id("k", record.fingerprint, unit, self._wholes[stage])
