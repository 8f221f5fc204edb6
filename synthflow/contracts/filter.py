"""A filter annotates rollouts: keep or drop, with a value and a reason. It never removes a row.

Invariant: `judge` returns a frame of the same height and order as its input.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import polars as pl


class FilterConfig(BaseModel):
    """Base of filter configurations."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Filter(ABC):
    """Base of the filters; registered in the entry-point group `synthflow.filters`.

    A registered filter `x` is the stage `filter.x`. It sees first rollouts a partition of problems at a time.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    Config: ClassVar[type[FilterConfig]] = FilterConfig
    needs_packages: ClassVar[Mapping[str, str]] = {}
    """Packages that it imports when it runs, each with what to install for it."""

    def __init__(self, config: Any = None) -> None:
        self.config: Any = config if config is not None else self.Config()

    @abstractmethod
    def judge(self, rollouts: pl.DataFrame) -> pl.DataFrame:
        """Annotate rollouts.

        Args:
            rollouts: columns of the rollouts table; several problems, each with all of its rollouts.

        Returns:
            Columns keep (bool), value (float, nullable) and reason (str, null where kept), one row a rollout.
        """
