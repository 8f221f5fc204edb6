"""`source.demo`: word problems of a demo world, which the package ships or makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from synthflow.contracts import StageInfo
from synthflow.errors import UserError
from synthflow.io.json_lines import json_rows
from synthflow.io.rows import Mapped, Row
from synthflow.stages.source.base import Source, SourceConfig


class DemoConfig(SourceConfig):
    world: Literal["short", "long"] = Field(
        "short", description="short: 1 to 8 operations, for the model demo; long: 8 to 16, for demo-long"
    )
    split: Literal["heldout", "train"] = Field("heldout", description="the shipped problems, or newly generated ones")
    seed: int = Field(0, ge=0, description="of generated problems")
    ops: tuple[int, ...] | None = Field(None, description="numbers of operations; null: all", min_length=1)

    @model_validator(mode="after")
    def _fits_the_split(self) -> DemoConfig:
        if self.split == "train" and self.limit is None:
            raise ValueError("split: train is generated without end; say how many problems with limit: N")
        if self.split == "heldout" and self.seed:
            raise ValueError("split: heldout is a fixed file; seed belongs to split: train")
        return self


class DemoSource(Source):
    """Word problems of a demo world: the shipped held-out ones, or newly generated training ones."""

    use = "source.demo"
    summary = "Word problems that a demo policy was trained for; needs no download."
    Config = DemoConfig

    def __init__(self, name: str, config: Any) -> None:
        super().__init__(name, config)
        # The short world was there first: naming it changes no rows, so it changes no fingerprint either.
        self.identity_excludes = ("world",) if config.world == "short" else ()  # type: ignore[misc]

    def mapped(self) -> Mapped:
        from synthflow import demo

        split = "test" if self.config.split == "heldout" else "train"
        fixed = {"domain": self.config.domain, "source": self.config.source, "split": split}
        return Mapped(
            source=demo.WORLDS[self.config.world].source,
            system=self.config.system,
            template=self.config.template,
            fixed=fixed,
            max_prompt_chars=self.config.max_prompt_chars,
        )

    def rows(self) -> Iterator[Row]:
        from synthflow import demo

        ops = self.config.ops
        if self.config.split == "heldout":
            for row in json_rows(str(demo.heldout_path(self.config.world))):
                if ops is None or (isinstance(row.values, Mapping) and row.values["metadata"]["n_ops"] in ops):
                    yield row
            return
        wanted = {"seed": self.config.seed, "ops": ops, "world": self.config.world}
        try:
            made = demo.generate_problems(self.config.limit, split="train", **wanted)
            for i, problem in enumerate(made, start=1):
                yield Row("demo", i, problem.to_row(), "problem")
        except ValueError as error:
            raise UserError(f"{self.name} (source.demo): {error}") from error

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        try:
            next(self.rows(), None)
        except UserError as error:
            return [("ops", str(error), "")]
        return []

    def count_rows(self) -> tuple[float, str]:
        """Problems, counted or as generated."""
        if self.config.split == "train":
            return float(self.config.limit), ""
        return float(sum(1 for _ in self.rows())), ""
