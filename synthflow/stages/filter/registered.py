"""`filter.x` of every registered filter `x`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import polars as pl
import pyarrow as pa

from synthflow import ids
from synthflow.contracts import Filter, Inputs, Services, StageConfig
from synthflow.contracts.foreign import told_in_one_line
from synthflow.errors import InvariantBroken, SynthflowError
from synthflow.rollouts.adapted import AdaptedStage
from synthflow.rollouts.questions import MAX_NOTE_CHARS
from synthflow.schema import SCORES


class FilterStageConfig(StageConfig):
    """What every filter stage has besides its filter's own fields."""


class FilterStage(AdaptedStage):
    """Keep-or-drop annotations of one filter on the nearest rollouts; `stage_class` binds the filter."""

    filter: ClassVar[str]
    wrapped: ClassVar[type[Filter]]
    reads = ("rollouts",)
    writes = ("scores",)

    @classmethod
    def packages(cls) -> Mapping[str, str]:
        return cls.wrapped.needs_packages

    def _annotated(self, judging: Filter, rollouts: pl.DataFrame) -> pl.DataFrame:
        """What the filter says of rollouts.

        Raises:
            PluginFailed: if it raises, with the first rollout on which it does so alone.
        """
        try:
            return judging.judge(rollouts)
        except SynthflowError:
            raise
        except Exception as error:
            alone = next((row for row in rollouts.iter_slices(1) if _raises(judging, row)), rollouts)
            on = f"rollout {alone['rollout_id'][0]}" if alone.height == 1 else f"{alone.height} rollouts together"
            with told_in_one_line(f"stage {self.name!r}: filter {self.filter!r}, on {on},", judging, log=True):
                raise error

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Scores of kind filter, one a rollout: value 1 keeps and 0 drops; the filter's own value is the detail.

        Raises:
            InvariantBroken: if the filter does not return one row a rollout with a keep that is true or false.
            PluginFailed: if it raises, or returns other columns.
        """
        rollouts, rejects = self.standing(inputs, None, services.stage_id)
        own = self.own_config()
        said = self._annotated(self.wrapped(self.wrapped.Config.model_validate(own)), rollouts)
        if said.height != rollouts.height or ("keep" in said.columns and said.get_column("keep").null_count()):
            raise InvariantBroken(f"filter {self.filter!r}: {rollouts.height} rollouts, {said.height} answers")
        with told_in_one_line(f"stage {self.name!r}: what filter {self.filter!r} returned", self.wrapped, log=True):
            said = said.select(
                pl.col("keep").cast(pl.Boolean).alias("_keep"),
                pl.col("value").cast(pl.Float64).alias("_value"),
                pl.col("reason").cast(pl.String).alias("_why"),
            )
        dropped = ~pl.col("_keep")
        scores = pl.concat([rollouts, said], how="horizontal").select(
            "problem_id",
            pl.lit("rollout").alias("target_kind"),
            pl.col("rollout_id").alias("target_id"),
            pl.lit("filter").alias("kind"),
            pl.lit(self.filter).alias("scorer"),
            pl.lit(self.wrapped.version).alias("scorer_version"),
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


def _raises(judging: Filter, row: pl.DataFrame) -> bool:
    try:
        judging.judge(row)
    except Exception:
        return True
    return False
