"""Problems made by the generators of reasoning-gym.

Invariants: the same data sets, parameters, sizes and seeds give the same problems, on every machine, since they are
generated in a process whose set order is fixed, and a data set that cannot promise it is refused; a generator that
hangs or fails stops the run with its name. What the scorer needs (`verify.reasoning_gym`) stands in the metadata.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from importlib.metadata import version
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from synthflow.contracts import StageInfo
from synthflow.errors import UserError, suggest
from synthflow.ids import content_id
from synthflow.io.rows import Mapped, Row
from synthflow.stages.source.base import Source, SourceConfig
from synthflow.verifiers.reasoning_gym import KEY
from synthflow.verifiers.workers.pool import WorkerPool

_CHUNK = 64
_TIMEOUT_S = 300.0
_MEMORY_MB = 4096
_NOT_REPEATABLE = {"codeio": "it runs programs that give other results each time"}


class GymDataset(BaseModel):
    """One data set; every other field is a parameter of its generator."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(description="name in reasoning-gym, such as chain_sum")
    size: int | None = Field(None, ge=1, description="how many problems; null: the source's size")
    seed: int | None = Field(None, ge=0, lt=2**32, description="null: the source's seed")

    def parameters(self) -> dict[str, Any]:
        """What is given to the generator, size and seed apart."""
        return dict(self.model_extra or {})


def _by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class ReasoningGymConfig(SourceConfig):
    """Configuration of `source.reasoning_gym`."""

    datasets: tuple[Annotated[GymDataset, BeforeValidator(_by_name, json_schema_input_type=str | GymDataset)], ...] = (
        Field(min_length=1, description="names, or {name: NAME, size: ..., seed: ...} with the generator's parameters")
    )
    size: int = Field(100, ge=1, description="problems of each data set")
    seed: int = Field(0, ge=0, lt=2**32, description="of the generators")


class ReasoningGymSource(Source):
    """Procedurally generated problems of reasoning-gym, with what its scorers need."""

    use = "source.reasoning_gym"
    summary = "Problems of reasoning-gym's generators; judge them with verify.reasoning_gym."
    Config = ReasoningGymConfig

    def mapped(self) -> Mapped:
        c = self.config
        return Mapped(
            source="reasoning-gym",
            prompt_column="question",
            system=c.system,
            template=c.template,
            fixed={"domain": c.domain, "source": c.source},
            require_answer=False,
            max_prompt_chars=c.max_prompt_chars,
        )

    def content(self) -> str | None:
        return content_id("z", version("reasoning-gym"))

    def rows(self) -> Iterator[Row]:
        import reasoning_gym

        pool = WorkerPool("synthflow.verifiers.gym_child:generate", timeout_s=_TIMEOUT_S, memory_mb=_MEMORY_MB)
        try:
            for wanted in self.config.datasets:
                category = reasoning_gym.factory.DATASETS[wanted.name][0].__module__.split(".")[1]
                for place, entry in enumerate(self._entries(pool, wanted), start=1):
                    how = {"dataset": wanted.name, "parameters": wanted.parameters()}
                    values = {
                        "question": entry["question"],
                        "answer": entry["answer"],
                        "domain": category,
                        "source": f"reasoning-gym/{wanted.name}",
                        "metadata": {**entry["metadata"], KEY: how},
                    }
                    yield Row(wanted.name, place, values, "entry")
        finally:
            pool.close()

    def _entries(self, pool: WorkerPool, wanted: GymDataset) -> Iterator[Mapping[str, Any]]:
        size, parameters = self._size(wanted), self._parameters(wanted)
        for start in range(0, size, _CHUNK):
            chunk = {"start": start, "stop": min(size, start + _CHUNK)}
            (outcome,) = pool.map([{"dataset": wanted.name, "parameters": parameters, **chunk}])
            if outcome.reason is not None:
                raise UserError(
                    f"{self.name} (source.reasoning_gym): the generator of {wanted.name} failed on entries {start} to "
                    f"{chunk['stop']} ({outcome.reason}: {outcome.detail}); change its parameters"
                )
            yield from outcome.value

    def _size(self, wanted: GymDataset) -> int:
        return int(wanted.size if wanted.size is not None else self.config.size)

    def _parameters(self, wanted: GymDataset) -> dict[str, Any]:
        seed = wanted.seed if wanted.seed is not None else self.config.seed
        return {**wanted.parameters(), "size": self._size(wanted), "seed": seed}

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        """Names of data sets, names of their parameters, and what their own validation says."""
        from reasoning_gym.factory import DATASETS

        for i, wanted in enumerate(self.config.datasets):
            if wanted.name not in DATASETS:
                hint = suggest(wanted.name, DATASETS) or f"known: {', '.join(sorted(DATASETS))}"
                yield f"datasets.{i}.name", f"reasoning-gym has no data set {wanted.name!r}", hint
                continue
            if wanted.name in _NOT_REPEATABLE:
                what = f"{wanted.name} does not give the same problems twice: {_NOT_REPEATABLE[wanted.name]}"
                yield f"datasets.{i}.name", what, "write its entries to a file once, and read them with source.jsonl"
                continue
            made = DATASETS[wanted.name][1]
            known = sorted({field.name for field in fields(made)} - {"size", "seed"})
            strange = [name for name in wanted.parameters() if name not in known]
            for name in strange:
                hint = suggest(name, known) or f"known: {', '.join(known)}"
                yield f"datasets.{i}.{name}", f"{wanted.name} has no such parameter", hint
            if not strange:
                try:
                    config = made(**self._parameters(wanted))
                    if hasattr(config, "validate"):
                        config.validate()
                except (AssertionError, ValueError, TypeError) as error:
                    what = f"{wanted.name} refuses its parameters: {str(error) or type(error).__name__}"
                    yield f"datasets.{i}", what, "see the data set's documentation"

    def count_rows(self) -> tuple[float, str]:
        """Problems as asked for."""
        return float(sum(self._size(wanted) for wanted in self.config.datasets)), ""
