"""`label.progress`: each step's share of the outcome, from a small regressor that is fitted on the whole run.

Stepwise Progress Attribution (SPA-RL): an estimator of per-step contributions whose sum over a rollout matches its
outcome. The estimator is ours (`progress_features`, `progress_model`): linear in cheap features, in closed form, and
cross-fitted, so that the labels of a problem come from a model that never saw it. The paper's second signal, that an
action was executed (grounding), stands among the features: whether the step's equation holds. It samples nothing.

Invariants: a rollout that is read is labelled or in `rejects`; the value before the first step is 0 and every step
adds its contribution; with `conserve` the last value is the outcome, 1 or 0. Two passes over the partitions, the first
to fit, the second to label; memory holds one partition, one matrix a fold, and the rows that are written.

Reasons for rejects beside those of `selection`: unknown_verdict (it has no outcome to attribute), nothing_to_learn_from
(the other folds hold no two rollouts of one group with different outcomes).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from synthflow import ids
from synthflow.contracts import Coverage, Estimate, Inputs, Services, Stage, StageInfo
from synthflow.rollouts.cutting import Cut
from synthflow.rollouts.groups import GROUP
from synthflow.rollouts.step_rows import reject_rows, step_rows
from synthflow.rollouts.views import check_verdicts
from synthflow.schema import REJECTS, STEP_VALUES, STEPS
from synthflow.stages.label.config import LabelConfig
from synthflow.stages.label.cutting import PolicyCutter
from synthflow.stages.label.progress_features import FACTS, Features, Steps, features
from synthflow.stages.label.progress_model import F64, I64, ProgressModel, conserved, fold_of
from synthflow.stages.label.selection import select

LABELER, LABELER_VERSION = "progress", "1"
GUESSED_STEPS = 8
_DECIMALS = 6
"""Contributions are rounded: the last bits of a matrix product depend on the machine."""


class ProgressConfig(LabelConfig):
    """The regressor, beside the fields of every labeler."""

    buckets: int = Field(
        256, ge=16, le=1024, description="buckets that words and pairs are hashed into; time grows with the cube"
    )
    ridge: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="penalty on weights, in rollouts; null: by cross-validation"
    )
    folds: int = Field(5, ge=2, le=20, description="parts of the problems; each is labelled by a model of the others")
    conserve: bool = Field(
        True, description="whether contributions are made to add up to the outcome, the rest spread evenly"
    )


@dataclass(frozen=True, slots=True)
class Part:
    """The rollouts of a partition that can be labelled, cut into steps."""

    cuts: Sequence[Cut]
    rejects: list[tuple[str, str, str]]
    rollout: I64
    """Code of each step's rollout, from 0."""
    features: Features
    outcome: F64
    fold: I64
    group: I64


class Progress(Stage):
    """Attribute the outcome to steps by a regressor that is fitted on the run."""

    use: ClassVar[str] = "label.progress"
    version: ClassVar[str] = LABELER_VERSION
    Config = ProgressConfig
    scope = "whole"
    reads = ("rollouts", "scores")
    writes = ("steps", "step_values")
    covers = Coverage("rollouts", "rollout_id", {"step_values": "rollout_id"})
    summary = "Attribute the outcome to steps by a small regressor fitted on the run; samples nothing."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        return check_verdicts(ancestors, self.config.verdicts)

    def estimate(self, upstream: Estimate) -> Estimate:
        rows = upstream.rollouts * GUESSED_STEPS
        return Estimate(
            upstream.problems,
            upstream.rollouts,
            rows={"steps": rows, "step_values": rows},
            note=f"guessed: {GUESSED_STEPS} steps a rollout, all rollouts labelled",
        )

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Steps, their values and rejects."""
        config: ProgressConfig = self.config
        model = ProgressModel(config.buckets + len(FACTS), config.folds, config.ridge)
        for part in self._parts(inputs, services):
            summed = part.features.summed(part.rollout, len(part.cuts))
            for fold in np.unique(part.fold):
                own = part.fold == fold
                _, group = np.unique(part.group[own], return_inverse=True)
                model.sums[fold].add(summed[own], part.outcome[own], group.astype(np.int64))
        weights = model.weights()
        tables: dict[str, list[pa.Table]] = {"steps": [], "step_values": [], "rejects": []}
        for part in self._parts(inputs, services):
            for name, rows in self._label(part, weights, services).items():
                tables[name].append(rows)
        empty = {"steps": STEPS, "step_values": STEP_VALUES, "rejects": REJECTS}
        return {name: pa.concat_tables([empty[name].empty(), *parts]) for name, parts in tables.items()}

    def _parts(self, inputs: Inputs, services: Services) -> Iterator[Part]:
        cutter = PolicyCutter.of(self.config, inputs, services)
        for part in inputs.partitions():
            yield _read(part, self.config, cutter)

    def _label(self, part: Part, weights: Sequence[F64 | None], services: Services) -> dict[str, pa.Table]:
        config: ProgressConfig = self.config
        contribution = np.zeros(part.features.n_steps)
        fold = part.fold[part.rollout] if len(part.rollout) else part.rollout
        for number, found in enumerate(weights):
            if found is not None and (fold == number).any():
                contribution = np.where(fold == number, part.features.times(found), contribution)
        if config.conserve:
            contribution = conserved(contribution, part.rollout, part.outcome)
        starts = np.searchsorted(part.rollout, np.arange(len(part.cuts) + 1))
        common = {
            "labeler": LABELER,
            "labeler_version": LABELER_VERSION,
            "config_hash": config.labeler_hash(),
            "scale": "reward",
            "stage_id": services.stage_id,
        }
        rejects = list(part.rejects)
        steps: list[dict[str, Any]] = []
        values: list[dict[str, Any]] = []
        for k, cut in enumerate(part.cuts):
            if weights[part.fold[k]] is None:
                rejects.append((cut.row["problem_id"], cut.row["rollout_id"], "nothing_to_learn_from"))
                continue
            own = contribution[starts[k] : starts[k + 1]]
            last = float(part.outcome[k]) if config.conserve else None
            steps += step_rows(cut, services.stage_id)
            values += [row | common for row in _value_rows(cut, own, last)]
        services.count(rows=len(part.cuts), labelled=len(part.cuts) - len(rejects) + len(part.rejects))
        return {
            "steps": STEPS.from_rows(steps),
            "step_values": STEP_VALUES.from_rows(values),
            "rejects": reject_rows(rejects, services.stage_id),
        }


def _read(part: Inputs, config: ProgressConfig, cutter: PolicyCutter) -> Part:
    selected, left_out = select(part, config, tokens=False)
    known = selected.filter(pl.col("verdict") != "unknown").sort(*GROUP, "rollout_id")
    unknown = selected.filter(pl.col("verdict") == "unknown")
    rejects = left_out.rows() + [(*row, "unknown_verdict") for row in unknown.select("problem_id", "rollout_id").rows()]
    known = known.with_columns(pl.struct(GROUP).rle_id().alias("_group"))
    cuts = [cutter.cut(row) for row in known.drop("_group").iter_rows(named=True)]
    said = [text for cut in cuts for text in cut.texts()]
    rollout = np.repeat(np.arange(len(cuts)), [len(cut.spans) for cut in cuts]).astype(np.int64)
    per_step = [lp for cut in cuts for lp in _of_steps(cut)]
    return Part(
        cuts,
        rejects,
        rollout,
        features(Steps(pl.Series(said, dtype=pl.String), rollout, per_step), config.buckets),
        (known["verdict"] == "correct").cast(pl.Float64).to_numpy(),
        np.array([fold_of(problem, config.folds) for problem in known["problem_id"]], np.int64),
        known["_group"].cast(pl.Int64).to_numpy(),
    )


def _of_steps(cut: Cut) -> Iterable[Sequence[float]]:
    """The log probabilities of each step's tokens; empty where they are not known."""
    told = cut.logprobs
    if told is None:
        return [()] * len(cut.spans)
    return [[-16.0 if v is None else v for v in step] for step in told]


def _value_rows(cut: Cut, contribution: F64, last: float | None) -> Iterable[dict[str, Any]]:
    """Rows of one rollout. Values are sums of contributions; `last` replaces the last one, whatever rounding left."""
    value = np.round(np.cumsum(contribution), _DECIMALS)
    if last is not None:
        value[-1] = last
    before = np.concatenate(([0.0], value[:-1]))
    for index in range(len(value)):
        yield {
            "step_id": ids.step_id(cut.row["rollout_id"], cut.label, index),
            "problem_id": cut.row["problem_id"],
            "rollout_id": cut.row["rollout_id"],
            "index": index,
            "policy_id": cut.row["policy_id"],
            "value_before": float(before[index]),
            "value": float(value[index]),
            "n": 0,
            "successes": 0,
            "n_unknown": 0,
            "advantage": float(value[index] - before[index]),
            "tokens_spent": 0,
        }
