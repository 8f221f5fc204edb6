"""What all exports share: the options, the loop over partitions, and the proof that nothing was lost.

An export is a projection of one partition into ledgers. A ledger belongs to one config and names its candidates,
its rows and its rejects; the base checks that every candidate is either a row or a reject, never both, before
anything of it is kept. Rows of one problem come from one partition, so that whatever compares rows (duplicates,
a cap a problem) is a matter of the partition.
"""

from __future__ import annotations

import hashlib
import shutil
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa
from pydantic import Field, field_validator

from synthflow.contracts import ExportStage, Inputs, OneOrMore, Services, StageConfig, StageInfo
from synthflow.contracts.stage import ROWS_OF
from synthflow.errors import InvariantBroken
from synthflow.stages.export.about import About
from synthflow.stages.export.columns import ConfigSpec, carried_columns
from synthflow.stages.export.growth import Growth, growth, write_record
from synthflow.stages.export.ordering import no_rank
from synthflow.stages.export.rejects import Rejects
from synthflow.stages.export.release import Release
from synthflow.stages.export.remembered import Remembered
from synthflow.stages.export.shards import ColumnsDiffer, ShardLimits
from synthflow.stages.export.views import carried_values, curriculum_ranks, has_stats, is_ordered

REJECT_SCHEMA = {"problem_id": pl.String, "target_id": pl.String, "reason": pl.String, "score": pl.Float32}
SLICE_ROWS = 16_384


class ExportConfig(StageConfig):
    """Options of every export."""

    verdicts: str | None = Field(None, description="the verify stage to believe, where several are above")
    validation: float = Field(0.0, ge=0.0, le=0.5, description="share of the problems held out as validation")
    max_rows_per_shard: int = Field(200_000, ge=1, description="rows of a Parquet shard")
    max_shard_mb: int = Field(512, ge=1, description="uncompressed megabytes of a Parquet shard")
    sort_memory_mb: int = Field(1024, ge=64, description="memory for ordering rows; what is beyond it goes to disk")
    carry: OneOrMore = Field(
        (),
        description="columns of the source, which stand in the metadata, that every row gets as text: `level` as "
        "sf_meta_level",
    )
    license: str | None = Field(None, pattern=r"^[A-Za-z0-9.+-]+$", description="licence id for the card")

    @field_validator("carry")
    @classmethod
    def _plain_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not name.isidentifier():
                raise ValueError(f"names of letters, digits and _, not {name!r}")
        return names


@dataclass(frozen=True)
class Ledger:
    """One config's share of a partition.

    `candidates` are the ids that may be exported. `rows` holds `_id` and `_problem` beside the config's columns;
    `rejects` the columns of `REJECT_SCHEMA`. Reasons of a config that is not the `primary` one carry its name,
    for the same target may stand in another config.
    """

    config: str
    target_kind: str
    candidates: pl.Series
    rows: pl.DataFrame
    rejects: pl.DataFrame
    primary: bool = True

    def check(self, stage: str) -> None:
        """Every candidate is a row or a reject, once.

        Raises:
            InvariantBroken: with the counts and one offending id.
        """
        told = pl.concat([self.rows.get_column("_id"), self.rejects.get_column("target_id")])
        asked = self.candidates
        if len(told) == len(asked) and told.n_unique() == len(told) and told.sort().equals(asked.sort()):
            return
        twice = told.filter(told.is_duplicated())
        lost = asked.filter(~asked.is_in(told.implode()))
        strange = told.filter(~told.is_in(asked.implode()))
        example = next((f", such as {s[0]}" for s in (twice, lost, strange) if len(s)), "")
        raise InvariantBroken(
            f"stage {stage}, config {self.config}: of {len(asked)} candidates {self.rows.height} were written, "
            f"{self.rejects.height} rejected; {len(lost)} lost, {len(twice)} told twice, {len(strange)} unasked"
            f"{example}"
        )


@dataclass(frozen=True)
class Copy:
    """Rows of one config that stand as they were read: nothing is chosen, so nothing is to be accounted for.

    `rows` has the config's columns, with `_id` and `_problem`.
    """

    config: str
    rows: pa.Table


Projection = Callable[[Inputs, Services], Iterable["Ledger | Copy"]]


@dataclass(frozen=True)
class Rule:
    """Leave out the rows where `when` holds (null does not hold); `score` is the number that decided."""

    when: pl.Expr
    reason: str | pl.Expr
    score: pl.Expr | None = None


def take(frame: pl.DataFrame, key: str, rules: Sequence[Rule]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Divide rows by the first rule that holds: (kept rows, rejects)."""
    if not rules:
        return frame, no_rejects()
    which = pl.coalesce([pl.when(rule.when.fill_null(False)).then(pl.lit(n)) for n, rule in enumerate(rules)])
    reason = [pl.when(pl.col("_rule") == n).then(_text(rule.reason)) for n, rule in enumerate(rules)]
    score = [pl.when(pl.col("_rule") == n).then(rule.score) for n, rule in enumerate(rules) if rule.score is not None]
    marked = frame.with_columns(which.alias("_rule"))
    rejects = marked.filter(pl.col("_rule").is_not_null()).select(
        "problem_id",
        pl.col(key).alias("target_id"),
        pl.coalesce(reason).alias("reason"),
        (pl.coalesce(score) if score else pl.lit(None)).cast(pl.Float32).alias("score"),
    )
    return marked.filter(pl.col("_rule").is_null()).drop("_rule"), rejects


def _text(reason: str | pl.Expr) -> pl.Expr:
    return pl.lit(reason) if isinstance(reason, str) else reason


def pass_rate_rules(low: float | None, high: float | None) -> list[Rule]:
    """Rules for a column `pass_rate` that must lie in [low, high]."""
    if low is None and high is None:
        return []
    floor, ceiling = (0.0 if low is None else low), (1.0 if high is None else high)
    rate = pl.col("pass_rate")
    return [
        Rule(rate.is_null(), "pass_rate unknown"),
        Rule((rate < floor) | (rate > ceiling), f"pass_rate outside [{floor:g}, {ceiling:g}]", rate),
    ]


def filter_rules(kind: str) -> list[Rule]:
    """Rules for the columns that `views.dropped` gives the target itself and its problem."""
    rules = [Rule(pl.col("problem_dropped").is_not_null(), pl.lit("problem filtered: ") + pl.col("problem_dropped"))]
    if kind != "problem":
        rules.append(Rule(pl.col("dropped").is_not_null(), pl.lit("filtered: ") + pl.col("dropped")))
    return rules


def prompt_rules(column: str) -> list[Rule]:
    """A prompt must end with a user's or a tool's message: chat templates answer nothing else."""
    last = pl.col(column).list.last().struct.field("role")
    return [
        Rule(pl.col(column).list.len().fill_null(0) == 0, "empty prompt"),
        Rule(~last.is_in(["user", "tool"]), pl.lit("prompt ends with the role ") + last),
    ]


def check_pass_rate(config: Any, ancestors: Sequence[StageInfo]) -> Iterator[tuple[str, str, str]]:
    """Mistakes in min_pass_rate and max_pass_rate, in the form of `Stage.check`."""
    asked = [n for n in ("min_pass_rate", "max_pass_rate") if getattr(config, n) is not None]
    if asked and not has_stats(ancestors):
        yield asked[0], "no stage above knows pass rates", "read a stage such as curriculum.pass_rate"
    if len(asked) == 2 and config.min_pass_rate > config.max_pass_rate:
        yield "min_pass_rate", f"{config.min_pass_rate:g} is above max_pass_rate {config.max_pass_rate:g}", "swap them"


def no_rejects() -> pl.DataFrame:
    return pl.DataFrame(schema=REJECT_SCHEMA)


def held_out(problems: pl.Series, share: float) -> pl.Series:
    """Whether a problem is held out: by a hash of its id, so that all its rows are on one side everywhere."""
    limit = int(share * 2**64)
    unique = problems.unique()
    sides = [_hash64(problem) < limit for problem in unique]
    return problems.replace_strict(unique, pl.Series(sides, dtype=pl.Boolean), return_dtype=pl.Boolean)


def _hash64(problem: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"validation:{problem}".encode(), digest_size=8).digest(), "big")


class ParquetExport(ExportStage):
    """Base of the exports: says what its configs are and projects a partition; the rest is here."""

    added: ClassVar[tuple[str, ...]] = ("carry",)
    grows: ClassVar[bool] = False
    """A large release may grow by new partitions: nothing that it says, in `notes` say, is of all rows together."""

    @abstractmethod
    def configs(self, ancestors: Sequence[StageInfo]) -> Sequence[ConfigSpec]:
        """The configs this export may write, the default one first."""

    @abstractmethod
    def project(self, part: Inputs, services: Services) -> Iterable[Ledger | Copy]:
        """What becomes of some partitions; an export may yield several ledgers for one config."""

    def projections(self, ancestors: Sequence[StageInfo]) -> Sequence[Projection]:
        """What is done in turn, each in a pass of its own over the partitions.

        Configs with much in a row take a pass each, so that the rows of one are in memory at a time.
        """
        return [self.project]

    def copies(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows as often as they are to be written: once, unless an export says otherwise."""
        return rows

    def notes(self, ancestors: Sequence[StageInfo]) -> Iterator[str]:
        """Sentences for the card about choices that were made."""
        yield from ()

    def release(self, inputs: Inputs, directory: Path, services: Services) -> Iterator[pa.Table]:
        """Write the release; its rejects as they come, problem after problem.

        Raises:
            InvariantBroken: if a candidate is neither written nor rejected, or both.
        """
        parts, earlier = inputs.parts(), services.earlier
        if self.grows and earlier is not None and not is_ordered(inputs.ancestors):
            grown = growth(earlier.folder, parts, self._specs(inputs.ancestors))
            try:
                if grown is not None:
                    yield from self._write(inputs, directory, services, parts, grown)
                    earlier.kept = True
                    return
            except ColumnsDiffer:
                for path in directory.iterdir():
                    shutil.rmtree(path)
        yield from self._write(inputs, directory, services, parts, None)

    def _write(
        self, inputs: Inputs, directory: Path, services: Services, parts: Mapping[str, str], grown: Growth | None
    ) -> Iterator[pa.Table]:
        config = self.config
        memory_mb = min(config.sort_memory_mb, services.memory_mb)
        limits = ShardLimits(config.max_rows_per_shard, config.max_shard_mb, memory_mb)
        specs = self._specs(inputs.ancestors)
        ranked = is_ordered(inputs.ancestors)
        rejects = Rejects(directory / ".synthflow" / "left-out", limits.waiting_bytes, services.stage_id)
        with Release(directory, list(specs.values()), limits, ranked=ranked, growth=grown) as release:
            for project in self.projections(inputs.ancestors):
                for bundle, before in inputs.bundles(None if grown is None else grown.added):
                    part = Remembered(bundle)
                    ranks = curriculum_ranks(part) if ranked else None
                    carried = carried_values(part, config.carry) if config.carry else None
                    for made in project(part, services):
                        if isinstance(made, Ledger):
                            made.check(self.name)
                            prefix = "" if made.primary else f"{made.config}: "
                            rejects.add(made.rejects, made.target_kind, prefix)
                            services.count(rejected=made.rejects.height)
                        for rows in self._keyed(made, ranks, carried, specs[made.config].shuffled):
                            release.add(made.config, rows)
                        services.count(rows=len(made.rows), **{ROWS_OF + made.config: len(made.rows)})
                    release.advance(before)
                    # a release that may turn out not to grow has told nothing until then
                    yield from rejects.advance(before if grown is None else None)
                release.end_pass()
            yield from rejects.finish()
            reasons = rejects.reasons + Counter({} if grown is None else grown.rejected)
            written = release.finish(self._about(inputs.ancestors, reasons))
            if self.grows and not ranked:
                write_record(directory, parts, written, grown)

    def _specs(self, ancestors: Sequence[StageInfo]) -> dict[str, ConfigSpec]:
        more = carried_columns(self.config.carry)
        return {spec.name: spec.with_columns(more) for spec in self.configs(ancestors)}

    def _about(self, ancestors: Sequence[StageInfo], reasons: Counter[str]) -> About:
        return About(
            stage=self.name,
            use=self.use,
            version=self.version,
            for_analysis=self.for_analysis,
            ancestors=tuple(ancestors),
            license=self.config.license,
            summary=self.summary,
            notes=tuple(self.notes(ancestors)),
            rejected=dict(reasons),
        )

    def _keyed(
        self, made: Ledger | Copy, ranks: pl.DataFrame | None, carried: pl.DataFrame | None, shuffled: bool
    ) -> Iterator[pa.Table]:
        share = self.config.validation
        if isinstance(made, Copy) and ranks is None and carried is None and not share:
            never = pa.repeat(pa.scalar(False), made.rows.num_rows)
            yield made.rows.append_column("_rank", no_rank(len(never))).append_column("_held", never)
            return
        rows = _frame(made.rows) if isinstance(made, Copy) else made.rows
        for more in (frame for frame in (ranks, carried) if frame is not None):
            rows = rows.join(more, left_on="_problem", right_on="problem_id", how="left", maintain_order="left")
        if ranks is None:
            rows = rows.with_columns(pl.lit(None, pl.Int64).alias("_place"))
        rank = pl.lit(None, pl.Float64) if shuffled else pl.col("_place").cast(pl.Float64)
        rows = rows.with_columns(
            rank.alias("_rank"),
            pl.lit("").alias("_problem") if shuffled else pl.col("_problem"),
            (held_out(rows.get_column("_problem"), share) if share else pl.lit(False)).alias("_held"),
            pl.col("_place").alias("sf_curriculum_rank"),
        )
        for slice_ in self.copies(rows).iter_slices(SLICE_ROWS):
            yield slice_.to_arrow()


def _frame(rows: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(rows)
    assert isinstance(frame, pl.DataFrame)
    return frame
