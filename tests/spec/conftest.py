"""A registry of small fake stages, so that these tests say nothing about the real ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from synthflow import registry
from synthflow.contracts import Filter, FilterConfig, Stage, StageConfig, StageInfo, Verifier, VerifierConfig
from synthflow.errors import UserError
from synthflow.io.rows import Row
from synthflow.stages.source.base import Source, SourceConfig


class _Fake(Stage):
    """A stage that declares no Config has the fields of every stage."""

    version = "1"

    def run(self, inputs: Any, services: Any) -> Mapping[str, Any]:
        raise AssertionError("planning runs nothing")


class FakeSource(Source):
    use = "source.fake"

    class Config(SourceConfig):
        path: str | None = None

    def rows(self) -> Iterator[Row]:
        raise AssertionError("planning reads no rows of this one")

    @classmethod
    def resolve_paths(cls, given: Mapping[str, Any], base_dir: Any) -> dict[str, Any]:
        path = given.get("path")
        return {**given, "path": str(base_dir / path)} if isinstance(path, str) else dict(given)

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        if self.config.path is not None and self.config.path.endswith("gone"):
            yield "path", "no such file", "did you mean 'here'?"


class Stop(BaseModel):
    model_config = ConfigDict(extra="forbid")
    half_width: float = Field(0.15, gt=0, lt=1)
    most: int | None = None


class FakeSample(_Fake):
    use, reads, writes = "sample", ("problems",), ("rollouts",)

    class Config(StageConfig):
        policy: str = "default"
        n: int = Field(8, ge=1)
        temperature: float = Field(1.0, ge=0)
        order: Literal["as_given", "easy_first"] = "as_given"
        stop: Stop | None = None
        bins: tuple[float, ...] | str = ()


class FakeLabel(_Fake):
    use, reads, writes = "label.fake", ("rollouts", "scores"), ("steps", "rollouts")

    class Config(StageConfig):
        low: float = 0.0
        high: float = 1.0

        @model_validator(mode="after")
        def _ordered(self) -> Any:
            if self.low > self.high:
                raise ValueError("low must not exceed high")
            return self


class FakeExport(_Fake):
    use, reads, writes = "export.fake", ("steps",), ("rejects",)

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        if sum(a.use == "verify.fake" for a in ancestors) > 1:
            yield "of", "several verify stages above", "read one"


class FakeVerifier(Verifier):
    """A verifier for tests."""

    name, version = "fake", "2"

    class Config(VerifierConfig):
        timeout_s: float = Field(2.0, gt=0)

    def judge(self, questions: Any) -> Any:
        raise AssertionError("planning judges nothing")


class FakeFilter(Filter):
    """A filter for tests."""

    name, version = "long", "3"

    class Config(FilterConfig):
        most: int = 10

    def judge(self, rollouts: Any) -> Any:
        raise AssertionError("planning judges nothing")


class FakeBackend:
    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")
        dtype: Literal["auto", "bfloat16"] = "auto"
        max_batch: int | None = Field(None, ge=1)


class Entry:
    """Stands for an entry point."""

    dist = None

    def __init__(self, value: Any) -> None:
        self.value = value

    def load(self) -> Any:
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


FAKES: dict[str, dict[str, Any]] = {
    "stages": {
        "source.fake": FakeSource,
        "sample": FakeSample,
        "label.fake": FakeLabel,
        "export.fake": FakeExport,
        "needs.extra": ModuleNotFoundError("x", name="rare_package"),
    },
    "verifiers": {"fake": FakeVerifier},
    "filters": {"long": FakeFilter},
    "backends": {"transformers": FakeBackend},
}


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the fakes are registered."""
    monkeypatch.setattr(registry, "_entries", lambda kind: {n: Entry(v) for n, v in FAKES[kind].items()})


@pytest.fixture
def refuses() -> Any:
    """Run something that must fail with a user's mistake, and give its message."""

    def run(action: Any) -> str:
        with pytest.raises(UserError) as caught:
            action()
        return str(caught.value)

    return run
