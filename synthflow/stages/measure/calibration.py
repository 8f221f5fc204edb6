"""`measure.calibration`: every scorer against every other and against the truth, and what is demanded of them.

Invariants: one row of accumulators a (scorer, reference, policy, round, sampling, difficulty bin) and metric, so that
memory does not grow with the rollouts, and rows do not depend on the partitions; an unknown verdict is a column of its
own, never a wrong one. If a demand is not met, nothing is written and no stage below runs.

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
from synthflow.statistics.scorer_agreement import VERDICTS, Confusion, Rate, auroc_rate

AGAINST = "against "
"""`stats.slice_key` of a calibration's rows: this and the reference."""

LABELS = "labels"
"""The reference's name where the truth is a file of human labels."""

ALL = "all"
_LONG = {"rollout_id": pl.String, "scorer": pl.String, "code": pl.Int64, "value": pl.Float64}
_VALUE_BINS = len(VALUES) - 1


class Key(NamedTuple):
    scorer: str
    reference: str
    group: str
    difficulty_bin: str


@dataclass
class Tally:
    """What is known of a scorer against a reference: confusion cells, and values by the reference's verdict."""

    cells: Counter[int] = field(default_factory=Counter)
    values: tuple[Counter[int], Counter[int]] = field(default_factory=lambda: (Counter(), Counter()))
    sums: list[list[float]] = field(default_factory=lambda: [[0.0, 0.0], [0.0, 0.0]])

    def add(self, other: Tally) -> None:
        self.cells.update(other.cells)
        for side in (0, 1):
            self.values[side].update(other.values[side])
            self.sums[side] = [a + b for a, b in zip(self.sums[side], other.sums[side], strict=True)]

    @property
    def confusion(self) -> Confusion:
        return Confusion(tuple(self.cells[i] for i in range(9)))

    def histogram(self, side: int) -> list[int]:
        return [self.values[side][i] for i in range(_VALUE_BINS)]

    def rate(self, name: str) -> Rate:
        if name == "auroc":
            return auroc_rate(self.histogram(0), self.histogram(1))
        found: Rate = getattr(self.confusion, name)
        return found


class MeasureCalibration(Stage):
    """Calibrates the verify stages above against each other, and against a stage or labels that are the truth."""

    use: ClassVar[str] = "measure.calibration"
    version: ClassVar[str] = "1"
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
        tallies: dict[Key, Tally] = {}
        for part in inputs.partitions():
            for key, tally in _tallied(_long(part, labels), _places(part)):
                tallies.setdefault(key, Tally()).add(tally)
        truth = LABELS if c.labels is not None else c.truth
        if labels and not any(key.reference == LABELS for key in tallies):
            raise UserError(f"{self.name}: none of the {len(labels)} labels belongs to a judged rollout of this run")
        tallies = {key: tally for key, tally in sorted(tallies.items()) if self._wanted(key)}
        if truth is not None and c.require is not None:
            self._demand(tallies, truth)
        rows = [row for key, tally in tallies.items() for row in _rows(key, tally, services.stage_id)]
        services.count(rows=len(rows))
        return {"stats": STATS.from_rows(rows)}

    def _wanted(self, key: Key) -> bool:
        """Pairs of calibrated scorers, and those against the truth. A part of a stage belongs to its stage."""
        if self.config.scorers is None:
            return True
        scorers = {*self.config.scorers, self.config.truth, LABELS}
        return all(name.partition("/")[0] in scorers for name in (key.scorer, key.reference))

    def _demand(self, tallies: Mapping[Key, Tally], truth: str) -> None:
        pooled: dict[tuple[str, str], Tally] = {}
        for key, tally in tallies.items():
            if key.reference == truth and key.scorer != truth and "/" not in key.scorer and key.scorer != LABELS:
                places = [ALL, key.difficulty_bin] if self.config.require.per_bin else [ALL]
                for place in dict.fromkeys(places):
                    pooled.setdefault((key.scorer, place), Tally()).add(tally)
        missed = [said for (scorer, place), tally in pooled.items() for said in self._missed(scorer, place, tally)]
        if not pooled:
            missed = [f"no rollout was judged by a scorer and by {truth}"]
        if missed:
            lines = "\n".join(f"  {line}" for line in missed)
            raise NotCalibrated(
                f"stage {self.name!r}: not calibrated against {truth}, so no stage below it may run:\n{lines}\n"
                "mend the scorer, judge more rollouts, or change `require`"
            )

    def _missed(self, scorer: str, place: str, tally: Tally) -> Iterator[str]:
        require = self.config.require
        where = scorer if place == ALL else f"{scorer}, bin {place}"
        if tally.confusion.n < require.n:
            yield f"{where}: {tally.confusion.n} rollouts that both are sure of, at least {require.n} are required"
        for name in BOUNDED:
            bound, found = getattr(require, name), tally.rate(name)
            if bound is None:
                continue
            if found.low is None or found.high is None:
                yield f"{where}: {name} cannot be told from {found.n} rollouts"
                continue
            said = f"{where}: {name} {found.value:.4f} [{found.low:.4f}, {found.high:.4f}] of {found.n}"
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
    """Group and difficulty bin of every rollout: rollout_id, group, difficulty_bin."""
    rollouts = part.frame("rollouts", ["rollout_id", *GROUP]).unique("rollout_id")
    named = part.frame("problem_stats", [*GROUP, "difficulty_bin"]).unique(GROUP, keep="first", maintain_order=True)
    return rollouts.join(named, on=GROUP, how="left").select(
        "rollout_id",
        pl.concat_str(["policy_id", pl.col("round").cast(pl.String), "sampling_id"], separator="/").alias("group"),
        pl.col("difficulty_bin").fill_null(ALL),
    )


def _tallied(long: pl.DataFrame, places: pl.DataFrame) -> Iterator[tuple[Key, Tally]]:
    """Tallies of a partition, by key."""
    told = long.join(places, on="rollout_id")
    reference = long.select("rollout_id", pl.col("scorer").alias("reference"), pl.col("code").alias("truth"))
    # Labels are no scorer: they have no values, and nobody asks how they do.
    both = told.join(reference, on="rollout_id").filter(
        pl.col("scorer") != pl.col("reference"), pl.col("scorer") != LABELS
    )
    key = ["scorer", "reference", "group", "difficulty_bin"]
    found: dict[Key, Tally] = {}
    for *of, cell, n in both.group_by([*key, CONFUSION.cell.alias("cell")]).len().iter_rows():
        found.setdefault(Key(*of), Tally()).cells[cell] += n
    valued = both.filter(pl.col("value").is_not_null(), pl.col("value").is_finite())
    sums = (pl.len(), pl.col("value").sort().sum().alias("total"), (pl.col("value").sort() ** 2).sum().alias("square"))
    for truth, metric in enumerate(VALUES_BY_TRUTH):
        cells = valued.filter(truth=truth).group_by([*key, metric.cell.alias("cell")])
        for *of, at, n, total, square in cells.agg(*sums).iter_rows():
            tally = found[Key(*of)]
            tally.values[truth][at] += n
            tally.sums[truth] = [tally.sums[truth][0] + total, tally.sums[truth][1] + square]
    yield from found.items()


def _rows(key: Key, tally: Tally, stage_id: str) -> Iterator[dict[str, Any]]:
    common = {
        "problem_id": "",
        "stage": key.scorer,
        "slice_key": f"{AGAINST}{key.reference}",
        "slice_value": f"{key.group}/{key.difficulty_bin}",
        "stage_id": stage_id,
    }
    cells = list(tally.confusion.cells)
    same = float(cells[0] + cells[4] + cells[8])
    yield {**common, "metric": CONFUSION.name, "axis": CONFUSION.axis, "count": float(sum(cells)), "total": same,
           "total_sq": same, "histogram": cells}  # fmt: skip
    for side, metric in enumerate(VALUES_BY_TRUTH):
        histogram = tally.histogram(side)
        if any(histogram):
            # Rounded, because a sum over partitions depends on their order in its last bits.
            total, square = (round(value, 6) for value in tally.sums[side])
            yield {**common, "metric": metric.name, "axis": metric.axis, "count": float(sum(histogram)),
                   "total": total, "total_sq": square, "histogram": histogram}  # fmt: skip
