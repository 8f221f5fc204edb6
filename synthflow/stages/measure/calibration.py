"""`measure.calibration`: every scorer against every other and against the truth, and what is demanded of them.

Invariants: one row of accumulators a (scorer, reference, policy, round, sampling, difficulty bin) and metric, and of
verdicts one a problem, since intervals are over problems; memory does not grow with the rollouts, and rows do not
depend on the partitions; an unknown verdict is a column of its own, never a wrong one. If a demand is not met, nothing
is written and no stage below runs.

Bins are those that a stage such as curriculum.pass_rate above has named (`all` where there is none). They come from
that stage's verdicts: within a bin, a scorer that named it looks better than it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import polars as pl
import pyarrow as pa

from synthflow.contracts import Estimate, Inputs, Services, Stage, StageConfig, StageInfo
from synthflow.contracts.stage_info import verifier_of
from synthflow.errors import NotCalibrated, UserError, suggest
from synthflow.rollouts.groups import GROUP
from synthflow.rollouts.views import verify_stages
from synthflow.schema import STATS
from synthflow.stages.measure.calibration_config import BOUNDED, CalibrationConfig, with_labels_hash
from synthflow.stages.measure.human_labels import read_labels
from synthflow.statistics.bins import VALUES
from synthflow.statistics.metrics.calibration import CONFUSION, VALUES_BY_TRUTH
from synthflow.statistics.scorer_agreement import VERDICTS, Clusters, Rate, auroc_rate

AGAINST = "against "
"""`stats.slice_key` of a calibration's rows: this and the reference."""

LABELS = "labels"
"""The reference's name where the truth is a file of human labels."""

ALL = "all"
_LONG = {"rollout_id": pl.String, "scorer": pl.String, "code": pl.Int64, "value": pl.Float64}
_VALUE_BINS = len(VALUES) - 1
_CELL_NAMES = [f"cell_{cell}" for cell in range(9)]


class Key(NamedTuple):
    scorer: str
    reference: str
    group: str
    difficulty_bin: str


_CELLS = dict.fromkeys([*Key._fields, "problem_id"], pl.String) | dict.fromkeys(_CELL_NAMES, pl.Int64)


@dataclass
class Values:
    """A scorer's values by the reference's verdict, correct and wrong: histograms and sums."""

    counts: tuple[Counter[int], Counter[int]] = field(default_factory=lambda: (Counter(), Counter()))
    sums: list[list[float]] = field(default_factory=lambda: [[0.0, 0.0], [0.0, 0.0]])

    def add(self, other: Values) -> None:
        for side in (0, 1):
            self.counts[side].update(other.counts[side])
            self.sums[side] = [a + b for a, b in zip(self.sums[side], other.sums[side], strict=True)]

    def histogram(self, side: int) -> list[int]:
        return [self.counts[side][i] for i in range(_VALUE_BINS)]


@dataclass(frozen=True)
class Shown:
    """What a scorer shows against the truth in one place."""

    clusters: Clusters
    values: Values

    def rate(self, name: str) -> Rate:
        if name == "auroc":
            problems = (self.clusters.with_truth(0), self.clusters.with_truth(1))
            return auroc_rate(self.values.histogram(0), self.values.histogram(1), problems)
        return self.clusters.rate(name)


class MeasureCalibration(Stage):
    """Calibrates the verify stages above against each other, and against a stage or labels that are the truth."""

    use: ClassVar[str] = "measure.calibration"
    version: ClassVar[str] = "2"
    Config: ClassVar[type[StageConfig]] = CalibrationConfig
    scope: ClassVar[Any] = "whole"
    reads: ClassVar[tuple[str, ...]] = ("rollouts", "scores")
    writes: ClassVar[tuple[str, ...]] = ("stats",)
    summary: ClassVar[str] = "Precision, recall, false accepts of scorers against a truth; may demand them."
    identity_excludes: ClassVar[tuple[str, ...]] = ("labels",)

    @classmethod
    def resolve_paths(cls, given: Mapping[str, Any], base_dir: Path) -> dict[str, Any]:
        return with_labels_hash(given, base_dir)

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        known, c = verify_stages(ancestors), self.config
        for name, wanted in (("truth", [c.truth] if c.truth else []), ("scorers", c.scorers or ())):
            for stage in wanted:
                if stage not in known:
                    hint = suggest(stage, known) or f"known: {', '.join(known) or 'none'}"
                    yield name, f"{stage!r} is not a verify stage above this one", hint
        if c.truth is not None and c.truth in (c.scorers or ()):
            yield "scorers", f"{c.truth!r} is the truth as well", "remove it from one of both"
        if len(known) + (c.labels is not None) < 2:
            what = f"there is nothing to compare: {len(known)} verify stage above" + " and no labels" * (not c.labels)
            yield "of", what, "read a second verify stage, or give labels: FILE"
        if c.labels is not None:
            try:
                read_labels(c.labels, c.labels_sha256)
            except UserError as error:
                yield "labels", str(error), ""

    def estimate(self, upstream: Estimate) -> Estimate:
        return Estimate(upstream.problems, upstream.rollouts, note="one row a pair of scorers, bin and metric")

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Rows of `stats`.

        Raises:
            NotCalibrated: if a scorer does not show what `require` demands.
            UserError: if no label belongs to a rollout of the run.
        """
        c = self.config
        labels = read_labels(c.labels, c.labels_sha256) if c.labels is not None else {}
        parts, values = [pl.DataFrame(schema=_CELLS)], dict[Key, Values]()
        for part in inputs.partitions():
            both = _compared(_long(part, labels), _places(part))
            parts.append(_cells(both))
            for key, held in _values(both):
                values.setdefault(key, Values()).add(held)
        cells = pl.concat(parts)
        truth = LABELS if c.labels is not None else c.truth
        if labels and not (cells["reference"] == LABELS).any():
            raise UserError(f"{self.name}: none of the {len(labels)} labels belongs to a judged rollout of this run")
        cells = cells.filter(self._wanted()).sort(*Key._fields, "problem_id")
        if truth is not None and c.require is not None:
            self._demand(cells, values, truth)
        keys = {Key(*key) for key in cells.select(Key._fields).unique().iter_rows()}
        of_values = [
            row for key in sorted(keys & set(values)) for row in _value_rows(key, values[key], services.stage_id)
        ]
        stats = pa.concat_tables([_confusion_rows(cells, services.stage_id), STATS.from_rows(of_values)])
        services.count(rows=stats.num_rows)
        return {"stats": stats}

    def _wanted(self) -> pl.Expr:
        """Pairs of calibrated scorers, and those against the truth. A part of a stage belongs to its stage."""
        if self.config.scorers is None:
            return pl.lit(True)
        scorers = [*self.config.scorers, *filter(None, [self.config.truth]), LABELS]
        stages = (pl.col(name).str.split("/").list.first() for name in ("scorer", "reference"))
        return pl.all_horizontal(stage.is_in(scorers) for stage in stages)

    def _demand(self, cells: pl.DataFrame, values: Mapping[Key, Values], truth: str) -> None:
        told = cells.filter(
            pl.col("reference") == truth, ~pl.col("scorer").is_in([truth, LABELS]), ~pl.col("scorer").str.contains("/")
        )
        by_bin = told if self.config.require.per_bin else told.clear()
        pooled = pl.concat([told.with_columns(place=pl.lit(ALL)), by_bin.with_columns(place="difficulty_bin")])
        missed: list[str] = []
        for (scorer, place), rows in pooled.unique().group_by(["scorer", "place"], maintain_order=True):
            of_problems = rows.group_by("problem_id").agg(pl.col(_CELL_NAMES).sum()).select(_CELL_NAMES).to_numpy()
            held = Values()
            for key in {Key(*key) for key in rows.select(Key._fields).unique().iter_rows()} & set(values):
                held.add(values[key])
            missed += self._missed(str(scorer), str(place), Shown(Clusters(of_problems), held))
        if not told.height:
            missed = [f"no rollout was judged by a scorer and by {truth}"]
        if missed:
            lines = "\n".join(f"  {line}" for line in missed)
            raise NotCalibrated(
                f"stage {self.name!r}: not calibrated against {truth}, so no stage below it may run:\n{lines}\n"
                "mend the scorer, judge more problems, or change `require`"
            )

    def _missed(self, scorer: str, place: str, shown: Shown) -> Iterator[str]:
        require = self.config.require
        where = scorer if place == ALL else f"{scorer}, bin {place}"
        n, problems = shown.clusters.confusion.n, shown.clusters.problems
        if n < require.n:
            yield f"{where}: {n} rollouts that both are sure of, at least {require.n} are required"
        if problems < require.problems:
            yield f"{where}: {problems} problems that both are sure of, at least {require.problems} are required"
        for name in BOUNDED:
            bound, found = getattr(require, name), shown.rate(name)
            if bound is None:
                continue
            if found.low is None or found.high is None:
                yield f"{where}: {name} cannot be told from {found.n} rollouts"
                continue
            of = f"{found.n} rollouts of {problems} problems"
            said = f"{where}: {name} {found.value:.4f} [{found.low:.4f}, {found.high:.4f}] of {of}"
            if bound.at_most is not None and found.high > bound.at_most:
                yield f"{said}, but its interval must end at {bound.at_most:g} or below"
            if bound.at_least is not None and found.low < bound.at_least:
                yield f"{said}, but its interval must begin at {bound.at_least:g} or above"


def _long(part: Inputs, labels: Mapping[str, str]) -> pl.DataFrame:
    """Verdicts on rollouts: rollout_id, scorer, code (of `VERDICTS`), value. One row a scorer and rollout."""
    codes = {verdict: code for code, verdict in enumerate(VERDICTS)}
    frames = [pl.DataFrame(schema=_LONG)]
    stages = {a.name: verifier_of(a.use) for a in part.ancestors}
    for stage in verify_stages(part.ancestors):
        scores = pl.from_arrow(part.of_stage(stage, "scores"))
        assert isinstance(scores, pl.DataFrame)
        # A stage that keeps the scores of its parts: theirs are told apart by the part's name.
        name = pl.when(pl.col("scorer") == stages[stage]).then(pl.lit(stage)).otherwise(stage + "/" + pl.col("scorer"))
        frames.append(
            scores.filter(pl.col("kind") == "verdict", pl.col("target_kind") == "rollout").select(
                pl.col("target_id").alias("rollout_id"),
                name.alias("scorer"),
                pl.col("verdict").replace_strict(codes, return_dtype=pl.Int64).alias("code"),
                pl.col("value").cast(pl.Float64),
            )
        )
    if labels:
        human = pl.DataFrame({"rollout_id": list(labels), "verdict": list(labels.values())})
        frames.append(
            human.select(
                "rollout_id",
                pl.lit(LABELS).alias("scorer"),
                pl.col("verdict").replace_strict(codes, return_dtype=pl.Int64).alias("code"),
                pl.lit(None, pl.Float64).alias("value"),
            )
        )
    return pl.concat(frames).unique(["rollout_id", "scorer"], keep="first", maintain_order=True)


def _places(part: Inputs) -> pl.DataFrame:
    """Problem, group and difficulty bin of every rollout: rollout_id, problem_id, group, difficulty_bin."""
    rollouts = part.frame("rollouts", ["rollout_id", *GROUP]).unique("rollout_id")
    named = part.frame("problem_stats", [*GROUP, "difficulty_bin"]).unique(GROUP, keep="first", maintain_order=True)
    return rollouts.join(named, on=GROUP, how="left").select(
        "rollout_id",
        "problem_id",
        pl.concat_str(["policy_id", pl.col("round").cast(pl.String), "sampling_id"], separator="/").alias("group"),
        pl.col("difficulty_bin").fill_null(ALL),
    )


def _compared(long: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """Verdicts beside those of every other scorer on the same rollout, in a place."""
    reference = long.select("rollout_id", pl.col("scorer").alias("reference"), pl.col("code").alias("truth"))
    # Labels are no scorer: they have no values, and nobody asks how they do.
    return (
        long.join(places, on="rollout_id")
        .join(reference, on="rollout_id")
        .filter(pl.col("scorer") != pl.col("reference"), pl.col("scorer") != LABELS)
    )


def _cells(both: pl.DataFrame) -> pl.DataFrame:
    """Confusions by key and problem: a column a cell."""
    marked = both.with_columns(CONFUSION.cell.alias("cell"))
    counts = ((pl.col("cell") == cell).sum().cast(pl.Int64).alias(name) for cell, name in enumerate(_CELL_NAMES))
    return marked.group_by([*Key._fields, "problem_id"]).agg(*counts).select(list(_CELLS))


def _values(both: pl.DataFrame) -> Iterator[tuple[Key, Values]]:
    """Values by key."""
    found: dict[Key, Values] = {}
    valued = both.filter(pl.col("value").is_not_null(), pl.col("value").is_finite())
    sums = (pl.len(), pl.col("value").sort().sum().alias("total"), (pl.col("value").sort() ** 2).sum().alias("square"))
    for truth, metric in enumerate(VALUES_BY_TRUTH):
        cells = valued.filter(truth=truth).group_by([*Key._fields, metric.cell.alias("cell")])
        for *of, at, n, total, square in cells.agg(*sums).iter_rows():
            held = found.setdefault(Key(*of), Values())
            held.counts[truth][at] += n
            held.sums[truth] = [held.sums[truth][0] + total, held.sums[truth][1] + square]
    yield from found.items()


def _confusion_rows(cells: pl.DataFrame, stage_id: str) -> pa.Table:
    """Rows of `stats`, one a key and problem."""
    same = (pl.col("cell_0") + pl.col("cell_4") + pl.col("cell_8")).cast(pl.Float64)
    rows = cells.select(
        "problem_id",
        pl.col("scorer").alias("stage"),
        pl.lit(CONFUSION.axis).alias("axis"),
        pl.lit(CONFUSION.name).alias("metric"),
        (pl.lit(AGAINST) + pl.col("reference")).alias("slice_key"),
        (pl.col("group") + "/" + pl.col("difficulty_bin")).alias("slice_value"),
        pl.sum_horizontal(_CELL_NAMES).cast(pl.Float64).alias("count"),
        same.alias("total"),
        same.alias("total_sq"),
        pl.lit(None, pl.Float64).alias("minimum"),
        pl.lit(None, pl.Float64).alias("maximum"),
        pl.concat_list(_CELL_NAMES).alias("histogram"),
        pl.lit(None, pl.List(pl.Int64)).alias("sketch"),
        pl.lit(stage_id).alias("stage_id"),
    )
    return STATS.conform(rows.to_arrow())


def _value_rows(key: Key, held: Values, stage_id: str) -> Iterator[dict[str, Any]]:
    for side, metric in enumerate(VALUES_BY_TRUTH):
        histogram = held.histogram(side)
        if any(histogram):
            # Rounded, because a sum over partitions depends on their order in its last bits.
            total, square = (round(value, 6) for value in held.sums[side])
            yield {
                "problem_id": "",
                "stage": key.scorer,
                "axis": metric.axis,
                "metric": metric.name,
                "slice_key": f"{AGAINST}{key.reference}",
                "slice_value": f"{key.group}/{key.difficulty_bin}",
                "count": float(sum(histogram)),
                "total": total,
                "total_sq": square,
                "histogram": histogram,
                "stage_id": stage_id,
            }
