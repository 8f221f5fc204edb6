"""Pass rates as orders and budgets read them: one number a problem, and no group counted twice.

Invariant: where several waves of a group were counted, one above the other, the largest count stands for all; two
stages never add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from synthflow.contracts import Inputs, StageInfo
from synthflow.rollouts.groups import GROUP

COLUMNS = (*GROUP, "n", "n_correct", "n_wrong")
RATES = {"problem_id": pl.String, "rate": pl.Float64}


def largest_groups(part: Inputs, stage: str | None = None) -> pl.DataFrame:
    """`GROUP`, n, n_correct, n_wrong of the nearest pass rates, or of those of one stage."""
    if stage is None:
        stats = part.frame("problem_stats", COLUMNS, nearest=True)
    else:
        read = pl.from_arrow(part.of_stage(stage, "problem_stats", list(COLUMNS)))
        assert isinstance(read, pl.DataFrame)
        stats = read
    return stats.sort(*GROUP, "n", descending=[*(False for _ in GROUP), True]).unique(
        GROUP, keep="first", maintain_order=True
    )


def latest_rates(stats: pl.DataFrame) -> pl.DataFrame:
    """problem_id, rate of its latest round, its policies and samplings pooled (our default); null: nothing judged."""
    correct, wrong = pl.col("n_correct").sum(), pl.col("n_wrong").sum()
    return (
        stats.filter(pl.col("round") == pl.col("round").max().over("problem_id"))
        .group_by("problem_id")
        .agg(pl.when(correct + wrong > 0).then(correct / (correct + wrong)).alias("rate"))
        .sort("problem_id")
    )


def rates_of_run(inputs: Inputs, stage: str | None = None) -> pl.DataFrame:
    """`latest_rates` of all partitions, sorted by problem_id: one row a problem in memory."""
    parts = [latest_rates(largest_groups(part, stage)) for part in inputs.partitions()]
    return pl.concat([pl.DataFrame(schema=RATES), *parts]).unique("problem_id", keep="first").sort("problem_id")


def check_stats(
    ancestors: Sequence[StageInfo], wanted: str | None, field: str = "stats"
) -> Iterable[tuple[str, str, str]]:
    """Mistakes in a field that names a stage which writes problem_stats, in the form of `Stage.check`."""
    known = [a.name for a in ancestors if "problem_stats" in a.writes]
    if wanted is not None and wanted not in known:
        yield field, f"{wanted!r} gives no pass rates above this one", f"known: {', '.join(known) or 'none'}"
