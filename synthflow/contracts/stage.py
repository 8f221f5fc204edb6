"""A stage: configuration that is data, and a `run` that turns tables into tables.

Invariants: a stage is a pure function of its configuration, its inputs and what its policy samples; it keeps no
state between partitions; every input row has at least one output row or a row in `rejects` (its `covers` says how
that is checked). Rows do not depend on partition size, worker count or input order. Whatever a stage costs in
samples goes through `Services.sample`, which journals every completion before anything else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

import pyarrow as pa
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from synthflow.contracts.backend import PolicyIdentity, SampleRequest, SampleResult
from synthflow.contracts.inputs import Inputs
from synthflow.contracts.renderer import Renderer
from synthflow.contracts.stage_info import CAPABILITIES, StageInfo
from synthflow.contracts.verifier import Judgement, Question

Scope = Literal["partition", "whole"]

ROWS_OF = "rows of "
"""Counts of a stage that begin so are the rows of one config of a release: `rows of sft`."""


OneOrMore = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]
"""Texts, of which one may stand for a list of one."""


class StageConfig(BaseModel):
    """Base of stage configurations: a stage's entry in the spec. Unknown fields are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    use: str = Field(description="the registered stage")
    of: OneOrMore = Field((), description="the stages it reads, one name or a list")


class VerifyConfig(StageConfig):
    """What every verify stage has besides its verifier's own fields."""

    truncated: Literal["unknown", "wrong", "judge"] = Field(
        "unknown",
        description="a rollout that ended at the token limit: unknown; wrong, as OREAL counts it; "
        "or judge, which asks the verifier as if it had ended",
    )


@dataclass(frozen=True, slots=True)
class Coverage:
    """Every id in `input_table.input_key` (nearest rows) must stand in one of `outputs` or in `rejects.target_id`.

    `outputs` maps an output table to the column that holds the input's id.
    """

    input_table: str
    input_key: str
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Account:
    """Candidates of an export: every row of `table` (of those `when`, SQL over `c`) by `key` is exported or rejected.

    `column` of the config `config` names the candidate that a row is about.
    """

    config: str
    column: str
    table: str
    key: str
    when: str = "true"


@dataclass(frozen=True, slots=True)
class Estimate:
    """How much flows: an estimate before a run. Counts are rows; tokens are sampled tokens.

    `asked` is what a budget tells the stages that read it to sample: `rollouts` or `tokens`, `most` rollouts in all.
    `most_requests` is the most that are asked, where `requests` is a guess; None: `requests` is the most.
    """

    problems: float = 0
    rollouts: float = 0
    requests: float = 0
    tokens: float = 0
    rows: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    asked: Mapping[str, float] = field(default_factory=dict)
    most_requests: float | None = None


Volume = Estimate
"""Its name until 0.1; plug-ins may use it until 0.3."""


@dataclass(slots=True)
class Earlier:
    """The release of an export that the one being written will replace, of the same configuration.

    Attributes:
        folder: where it lies; nothing in it may change.
        kept: set by an export that takes all of its rows over: the rejects that were told with them stay, too.
    """

    folder: Path
    kept: bool = False


class Services(Protocol):
    """What the engine lends a running stage. `earlier` is there for exports alone."""

    stage_id: str
    run_seed: int
    round: int
    attempt: int
    memory_mb: int
    """What a stage may hold beyond its partition before it goes to disk: DuckDB's memory_limit, a sort's buffers."""
    earlier: Earlier | None

    def renderer(self, policy: str) -> Renderer | None:
        """Tokenizer and chat template of a policy; None for a server whose tokenizer nobody has."""
        ...

    def identity(self, policy: str) -> PolicyIdentity: ...

    def sample(self, requests: Sequence[SampleRequest], policy: str) -> Sequence[SampleResult]:
        """Sample, or score given tokens, in the order of `requests`; what is journaled already is not asked again.

        Raises:
            InfrastructureError: if some requests are still owed after retries; the others are journaled.
        """
        ...

    def judge(
        self, verifier: str, config: Mapping[str, Any], questions: Sequence[Question]
    ) -> tuple[list[Judgement], str, str]:
        """Judgements in order, with the scorer's full version and the hash of its configuration."""
        ...

    def count(self, **counts: float) -> None:
        """Add to this stage's progress counters, such as rows=64, correct=40."""
        ...


class Stage(ABC):
    """Base of the stages; registered in the entry-point group `synthflow.stages`.

    `reads` names tables that some ancestor must write (`table` or `table.column=value` is not supported: keep it
    to tables); `writes` the tables this stage writes. `cost` says where it runs: `cpu`, or `sample` for stages
    that sample and therefore mostly wait.
    """

    use: ClassVar[str]
    version: ClassVar[str]
    Config: ClassVar[type[StageConfig]] = StageConfig
    scope: ClassVar[Scope] = "partition"
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ()
    covers: ClassVar[Coverage | None] = None
    summary: ClassVar[str] = ""
    identity_excludes: ClassVar[tuple[str, ...]] = ()
    """Configuration fields that are no part of the stage's fingerprint, such as the path of a source."""
    added: ClassVar[tuple[str, ...]] = ()
    """Fields that finished runs do not know: no part of the fingerprint while they have their default values, which
    mean what was done before there were such fields."""

    needs_tokens: ClassVar[bool] = False
    """It reads or continues the tokens that its `policy` sampled; a policy whose tokens nobody knows will not do."""
    needs_packages: ClassVar[Mapping[str, str]] = {}
    """Packages that it imports when it runs, each with what to install for it, such as synthflow[datatrove]."""

    # What other stages, the plan and the check may ask of it: see `stage_info`.
    gives_verdicts: ClassVar[bool] = False
    """Its scores of kind verdict are about rollouts that stand for themselves; a labeler's are about continuations."""
    combines_verdicts: ClassVar[bool] = False
    """Its verdicts are what the verdicts of the stages it reads say together."""
    writes_rollouts: ClassVar[bool] = False
    """It asks its `policy` for rollouts that are read as such; a labeler's continuations are not."""
    samples_groups: ClassVar[bool] = False
    """It writes the first rollouts 0 to n - 1 of every problem, n a field of its configuration."""
    enlarges_groups: ClassVar[bool] = False
    """It adds first rollouts to the groups of a stage above, as many as a budget that it reads gives each problem."""
    sets_budgets: ClassVar[bool] = False
    """Its scores, under its `use` as scorer, say in `detail` how many further rollouts each problem gets."""
    orders_problems: ClassVar[bool] = False
    """Its scores, under its `use` as scorer, are places of problems in an order that exports follow."""
    repeats_problems: ClassVar[bool] = False
    """Its scores, under its `use` as scorer, say how often a problem is repeated in training."""
    weighs_rollouts: ClassVar[bool] = False
    """Its scores are advantages or rewards of rollouts."""
    marks_examples: ClassVar[bool] = False
    """Its scores say which rollouts are positive and which negative examples."""
    mines_pairs: ClassVar[bool] = False
    """Both sides of its pairs are rollouts, or parts of them, as they were sampled."""
    finds_flaws: ClassVar[bool] = False
    """Its scores may say of a right answer that the way to it is wrong (FAPO's flawed positives)."""

    def __init__(self, name: str, config: Any) -> None:
        self.name = name
        self.config: Any = config

    @classmethod
    def capabilities(cls) -> frozenset[str]:
        """Names of the capabilities that the class declares."""
        return frozenset(name for name in CAPABILITIES if getattr(cls, name))

    @classmethod
    def packages(cls) -> Mapping[str, str]:
        """Packages that it imports when it runs, each with what to install for it."""
        return cls.needs_packages

    @classmethod
    def policies(cls, config: Any) -> tuple[str, ...]:
        """Names of the policies this stage samples from; their identity is part of its fingerprint."""
        return (config.policy,) if getattr(config, "policy", None) else ()

    @classmethod
    def scorers(cls, config: Any) -> tuple[str, ...]:
        """Those of its policies that score given tokens, which not every backend can."""
        return ()

    @classmethod
    def resolve_paths(cls, given: Mapping[str, Any], base_dir: Path) -> dict[str, Any]:
        """`given` with paths that are relative to the spec made absolute, before it is validated."""
        return dict(given)

    def identity(self) -> Mapping[str, Any]:
        """Fields as the fingerprint sees them where that is not as given: a model's hash in place of its path."""
        return {}

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        """Mistakes that only the graph shows, as (field, what is wrong, what to do). Loads nothing."""
        return ()

    def full_version(self) -> str:
        """Version of this stage and of the libraries that decide its rows: part of its fingerprint. Starts nothing."""
        return self.version

    def samplings(self) -> Iterable[Mapping[str, Any]]:
        """Rows of the samplings table for what this stage samples."""
        return ()

    def estimate(self, upstream: Estimate) -> Estimate:
        """What this stage will produce from `upstream` (the sum over its parents)."""
        return upstream

    @abstractmethod
    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Tables by name, each conforming to its declaration. `rejects` and `telemetry` may always be written."""


class ExportStage(Stage):
    """A stage that writes a release for trainers and says what it left out.

    `release` writes files under `directory` (empty, private, renamed into `exports/<stage>/` afterwards) and
    returns the rejects, or yields them in tables that share no key. It reads some partitions at a time, so its memory
    does not grow with the data set.
    """

    scope: ClassVar[Scope] = "whole"
    writes: ClassVar[tuple[str, ...]] = ("rejects",)
    account: ClassVar[Account | None] = None
    """What its candidates are, if `check` is to find each in the release or in `rejects`."""
    for_analysis: ClassVar[bool] = False
    """Its release is read by people and SQL: columns may have names that mean something to trainers."""

    @abstractmethod
    def release(self, inputs: Inputs, directory: Path, services: Services) -> pa.Table | Iterable[pa.Table]: ...

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        raise TypeError("an export is run through release()")
