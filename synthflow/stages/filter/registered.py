"""`filter.x` of every registered filter `x`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import polars as pl
import pyarrow as pa

from synthflow import ids
from synthflow.contracts import Filter, Inputs, Services, StageConfig
from synthflow.errors import InvariantBroken
from synthflow.rollouts.adapted import AdaptedStage
from synthflow.rollouts.questions import MAX_NOTE_CHARS
from synthflow.schema import SCORES


class FilterStageConfig(StageConfig):
    """What every filter stage has besides its filter's own fields."""


class FilterStage(AdaptedStage):
    """Keep-or-drop annotations of one filter on the nearest rollouts; `stage_class` binds the filter."""

    filter: ClassVar[str]
    filter_class: ClassVar[type[Filter]]
    reads = ("rollouts",)
    writes = ("scores",)

    @classmethod
    def packages(cls) -> Mapping[str, str]:
        return cls.filter_class.needs_packages

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Scores of kind filter, one a rollout: value 1 keeps and 0 drops; the filter's own value is the detail.

        Raises:
            InvariantBroken: if the filter does not return one row a rollout with a keep that is true or false.
        """
        rollouts, rejects = self.standing(inputs, None, services.stage_id)
        own = self.own_config()
        said = self.filter_class(self.filter_class.Config.model_validate(own)).judge(rollouts)
        if said.height != rollouts.height or said.get_column("keep").null_count():
            raise InvariantBroken(f"filter {self.filter!r}: {rollouts.height} rollouts, {said.height} answers")
        said = said.select(
            pl.col("keep").alias("_keep"), pl.col("value").alias("_value"), pl.col("reason").alias("_why")
        )
        dropped = ~pl.col("_keep")
        scores = pl.concat([rollouts, said], how="horizontal").select(
            "problem_id",
            pl.lit("rollout").alias("target_kind"),
            pl.col("rollout_id").alias("target_id"),
            pl.lit("filter").alias("kind"),
            pl.lit(self.filter).alias("scorer"),
            pl.lit(self.filter_class.version).alias("scorer_version"),
            pl.lit(ids.content_id("c", own)).alias("config_hash"),
            pl.lit(None, pl.String).alias("verdict"),
            pl.col("_keep").cast(pl.Float32).alias("value"),
            pl.when(dropped).then(pl.col("_why").fill_null("dropped").str.slice(0, MAX_NOTE_CHARS)).alias("reason"),
            pl.col("_value").cast(pl.String).alias("detail"),
            pl.lit(services.stage_id).alias("stage_id"),
        )
        kept = int(said.get_column("_keep").sum())
        services.count(rows=scores.height, kept=kept, dropped=scores.height - kept)
        return {"scores": SCORES.conform(scores.to_arrow()), "rejects": rejects}
