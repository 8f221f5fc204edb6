"""From rules to annotations: what all filters share.

A rule is a Polars expression that is null where a row is fine and says why where it is not. A row is kept when every
rule is null; otherwise its reason joins what the rules say, in their order. Invariant: same height, same order; `value`
is 1 for kept and 0 for dropped rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


def when(broken: pl.Expr, why: pl.Expr | str) -> pl.Expr:
    """A rule: `why` where `broken`, else null."""
    reason = pl.lit(why, dtype=pl.String) if isinstance(why, str) else why
    return pl.when(broken).then(reason).otherwise(pl.lit(None, dtype=pl.String))


def annotate(rollouts: pl.DataFrame, rules: Sequence[pl.Expr]) -> pl.DataFrame:
    """Columns keep (bool), value (float) and reason (str, null where kept), one row a rollout."""
    said = pl.concat_str(rules, separator="; ", ignore_nulls=True) if rules else pl.lit("")
    reason = pl.when(said == "").then(pl.lit(None, dtype=pl.String)).otherwise(said)
    frame = rollouts.select(pl.col("rollout_id"), reason.alias("reason"))  # the id gives a literal its height
    return frame.select(
        pl.col("reason").is_null().alias("keep"),
        pl.col("reason").is_null().cast(pl.Float64).alias("value"),
        pl.col("reason"),
    )
