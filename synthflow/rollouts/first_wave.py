"""Waves of first rollouts: which `sample` stage's groups a budget enlarges, and what is known of them.

Invariant: a later wave has the policy, round, sampling and run seed of the first, so that its rollouts are the first
wave's with further indices, and both are one group wherever groups are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from synthflow.contracts import Inputs, StageInfo
from synthflow.rollouts.groups import GROUP

BUDGET = "curriculum.budget"
FORECAST = "curriculum.budget.p_mixed"
"""Scorers of the two measures that a budget writes of a problem: further rollouts, and the chance of a mixed group."""


def sample_stages(ancestors: Sequence[StageInfo]) -> list[str]:
    return [a.name for a in ancestors if a.has("samples_groups")]


def first_wave(ancestors: Sequence[StageInfo], wanted: str | None) -> StageInfo:
    """The `sample` stage of a budget's groups; `check_first_wave` makes sure at planning that there is one."""
    name = wanted if wanted is not None else sample_stages(ancestors)[-1]
    return next(a for a in ancestors if a.name == name)


def check_first_wave(ancestors: Sequence[StageInfo], wanted: str | None) -> Iterable[tuple[str, str, str]]:
    """Mistakes in a stage's `rollouts` field, in the form of `Stage.check`."""
    known = sample_stages(ancestors)
    if wanted is not None and wanted not in known:
        yield "rollouts", f"{wanted!r} is not a sample stage above this one", f"known: {', '.join(known) or 'none'}"
    elif wanted is None and not known:
        yield "of", "no sample stage above this one", "read a stage such as curriculum.pass_rate, after sample"
    elif wanted is None and len(known) > 1:
        yield "rollouts", f"several sample stages above: {', '.join(known)}", "say which with rollouts: NAME"


def group_costs(part: Inputs, stage: str) -> pl.DataFrame:
    """The groups of a `sample` stage in one partition: `GROUP` and `tokens`, the mean of a completion."""
    rollouts = pl.from_arrow(part.of_stage(stage, "rollouts", [*GROUP, "n_tokens"]))
    assert isinstance(rollouts, pl.DataFrame)
    return rollouts.group_by(GROUP).agg(pl.col("n_tokens").mean().alias("tokens"))
