"""What a metric is: its name, its formula in words and in code, its bins and its heading.

Invariants: a metric says everything about itself, so that one entry in one file adds it; what computes it reads a
group's own rollouts only, so that rows do not depend on the partition; a value that is NaN or null is no observation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from synthflow.statistics.accumulate import Accumulators, one_each, sketched
from synthflow.statistics.metrics.population import Population

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Axis = Literal["quality", "diversity", "complexity", "exploration"]
Unit = Literal["rollout", "group", "element"]
T = TypeVar("T")

Values = tuple[I64, F64]
"""Codes of groups, ascending, and the observation of each."""

Elements = tuple[I64, I64, F64]
"""Group and hash of each distinct element, sorted by both; elements seen by group code, repetitions included."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Metric:
    """What the catalog, the summary and docs/statistics.md say of a metric.

    A name that ends in `*` is a family, such as pass_at_* for pass_at_1, pass_at_2, pass_at_4.

    Attributes:
        unit: what one observation stands for: a rollout, a group, or an element of a sketched set.
        formula: the observation, in words.
        bins: edges of the histogram that is stored; None for none, as where a group has one observation.
        heading: column of the summary's table, which shows the mean; None leaves it out.
        headings: of a family: the heading of each member that is shown, by its full name.
    """

    unit: ClassVar[Unit] = "rollout"

    name: str
    axis: Axis
    formula: str
    source: str = "our default"
    bins: tuple[float, ...] | None = None
    heading: str | None = None
    headings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.is_family and (self.bins or self.heading):
            raise ValueError(f"{self.name} is a family: its members have `headings`, and no bins")

    @property
    def is_family(self) -> bool:
        return self.name.endswith("*")

    def covers(self, name: str) -> bool:
        """Whether `name` is this metric or a member of this family."""
        return name.startswith(self.name[:-1]) if self.is_family else name == self.name

    def shown(self) -> Mapping[str, str]:
        """Headings by name."""
        return {self.name: self.heading} if self.heading is not None else self.headings


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RolloutMetric(Metric):
    """One observation a rollout: an expression over its columns.

    They are n_tokens, finish_reason, logprobs and text of the rollout (of the text its first MAX_CHARS characters);
    verdict, value and answer of its verdict; n_steps; and for every other stage that judged it `verdict_of_STAGE` or
    `score_STAGE`. A family's expression selects several columns and names its members.
    """

    values: pl.Expr

    def column(self) -> pl.Expr:
        """The observations under the metric's name, NaN where there is none."""
        named = self.values if self.is_family else self.values.alias(self.name)
        return named.cast(pl.Float64).fill_null(np.nan)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class GroupMetric(Metric):
    """One observation a group. A family returns one for each member, by what stands for the `*`."""

    unit: ClassVar[Unit] = "group"
    values: Callable[[Population], Values | Mapping[int, Values]]

    def measured(self, population: Population, sketch_size: int) -> Iterable[Accumulators]:
        """Accumulators of a population, by group."""
        for name, values in _members(self.name, self.values(population)):
            yield one_each(name, *values)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ElementMetric(Metric):
    """Distinct elements of a set, counted over any number of groups by a sketch."""

    unit: ClassVar[Unit] = "element"
    elements: Callable[[Population], Elements | Mapping[int, Elements]]

    def measured(self, population: Population, sketch_size: int) -> Iterable[Accumulators]:
        """Accumulators of a population, by group."""
        for name, elements in _members(self.name, self.elements(population)):
            yield sketched(name, *elements, sketch_size)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ComparisonMetric(Metric):
    """One observation a rollout that a scorer and a reference both judged, written by `measure.calibration`.

    Attributes:
        cell: its bin, over the columns code and truth, the places in VERDICTS of what each said, and the scorer's
            value.
    """

    cell: pl.Expr


def _members(name: str, found: T | Mapping[int, T]) -> Iterator[tuple[str, T]]:
    if isinstance(found, Mapping):
        yield from ((f"{name[:-1]}{member}", one) for member, one in found.items())
    else:
        yield name, found
