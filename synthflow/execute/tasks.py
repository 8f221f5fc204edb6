"""What travels to workers: plain data, no open files, no engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from synthflow.contracts import PolicyConfig, PolicyIdentity, SampleRequest, StageInfo
from synthflow.stores.graph import StageRecord
from synthflow.stores.journal import Standing
from synthflow.stores.manifest import Commit

ENGINE = "synthflow_engine"
"""Dask resource of workers that hold an engine; sampling runs there and nothing else does."""

CPU = "synthflow_cpu"
"""Dask resource of workers that run stages."""

PROGRESS = "synthflow-progress"
"""Dask topic on which workers report counts."""

SPILL_MB = 128
"""What a process may hold of rows that can go to disk, where the spec does not say: our default."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What every unit of work of an attempt shares.

    Attributes:
        token: tells this attempt from others on the same scheduler, whatever their directories and specs.
        journal_only: what is not journaled may not be sampled.
        one_engine: no process but one samples, so nobody else writes into the journal.
        keep_notes: the notes of what was handed to engines stay.
        ended: the last attempt before this one that ended, or whose records without an answer count as if it had.
        again: by policy, the latest attempt that asked again for what had no answer, by finish_reason.
        memory_mb: what a stage may hold beyond its partition.
    """

    root: Path
    attempt: int
    run_seed: int
    round: int
    policies: Mapping[str, PolicyConfig]
    identities: Mapping[str, PolicyIdentity]
    retries: int = 3
    max_error_rate: float = 0.25
    requests_in_flight: int | None = None
    token: str = ""
    journal_only: bool = False
    one_engine: bool = False
    keep_notes: bool = False
    ended: int = 0
    again: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    memory_mb: int = SPILL_MB

    def standing(self, policy: str) -> Standing:
        """Which records of the journal without an answer count for this policy."""
        return Standing(self.attempt, self.ended, self.again.get(policy, {}))


@dataclass(frozen=True, slots=True)
class UnitTask:
    """One stage over one unit of work.

    `done` holds the ancestors' commits that were there before; `released` the commit of the release that lies in the
    place of an export's.
    """

    context: RunContext
    record: StageRecord
    ancestors: tuple[StageInfo, ...]
    sources: tuple[str, ...]
    unit: str
    key: str
    done: Mapping[str, Mapping[str, Commit]] = field(default_factory=dict)
    released: Commit | None = None


@dataclass(frozen=True, slots=True)
class EngineTask:
    """Requests for one policy's engine, journaled as they finish.

    `read_segments` are journal segments of earlier attempts, which the sender has read: nothing new can be in them.
    `answered` is one that the journal has an answer to, if the sender knows any.
    """

    context: RunContext
    policy: str
    stage: str
    requests: Sequence[SampleRequest]
    read_segments: frozenset[str]
    answered: SampleRequest | None = None

    @property
    def standing(self) -> Standing:
        return self.context.standing(self.policy)
