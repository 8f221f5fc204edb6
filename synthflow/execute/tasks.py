"""What travels to workers: plain data, no open files, no engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from synthflow.contracts import PolicyConfig, PolicyIdentity, SampleRequest, StageInfo
from synthflow.stores.manifest import Commit, StageRecord

ENGINE = "synthflow_engine"
"""Dask resource of workers that hold an engine; sampling runs there and nothing else does."""

CPU = "synthflow_cpu"
"""Dask resource of workers that run stages."""

PROGRESS = "synthflow-progress"
"""Dask topic on which workers report counts."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What every unit of work of an attempt shares. `journal_only` forbids to sample what is not journaled;
    `keep_notes` keeps the notes of what was handed to engines."""

    root: Path
    attempt: int
    run_seed: int
    round: int
    policies: Mapping[str, PolicyConfig]
    identities: Mapping[str, PolicyIdentity]
    retries: int = 3
    max_error_rate: float = 0.25
    requests_in_flight: int | None = None
    journal_only: bool = False
    keep_notes: bool = False


@dataclass(frozen=True, slots=True)
class UnitTask:
    """One stage over one unit of work. `done` holds the ancestors' commits that were there before."""

    context: RunContext
    record: StageRecord
    ancestors: tuple[StageInfo, ...]
    sources: tuple[str, ...]
    unit: str
    key: str
    done: Mapping[str, Mapping[str, Commit]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineTask:
    """Requests for one policy's engine, journaled as they finish.

    `read_segments` are journal segments of earlier attempts, which the sender has read: nothing new can be in them.
    """

    context: RunContext
    policy: str
    stage: str
    requests: tuple[SampleRequest, ...]
    read_segments: frozenset[str]
