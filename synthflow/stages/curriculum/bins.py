"""Named bins of the pass rate.

Invariant: every pass rate in [0, 1] falls into exactly one bin, and a group without one into `undecided`. The two
ends are bins of their own: a problem that was never solved is not a very hard one, since it may be broken. Names and
edges after the seven bins of Reasoning360's model filtering; that a missing pass rate is a bin and not 0 is ours.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

IMPOSSIBLE, PERFECT, UNDECIDED = "impossible", "perfect", "undecided"

DEFAULT_BINS: Mapping[str, float] = {"very_hard": 0.2, "hard": 0.4, "medium": 0.6, "easy": 0.8, "very_easy": 1.0}
"""Name to upper edge, which is not in the bin; each begins where the one before it ends, the first above 0."""


def bin_problem(bins: Mapping[str, float]) -> str | None:
    """What is wrong with `bins`; None if nothing is."""
    if not bins:
        return "no bins; expected at least one, such as {solvable: 1.0}"
    reserved = sorted(set(bins) & {IMPOSSIBLE, PERFECT, UNDECIDED})
    if reserved:
        return f"{reserved[0]!r} is a bin already (pass rate 0, pass rate 1, or none)"
    edges = list(bins.values())
    if any(low >= high for low, high in zip([0.0, *edges], edges, strict=False)):
        return f"upper edges must rise from above 0; found {edges}"
    if edges[-1] != 1.0:
        return f"the last upper edge must be 1.0; found {edges[-1]}"
    return None


def bin_names(pass_rate: pl.Expr, bins: Mapping[str, float]) -> pl.Expr:
    """Bin of each pass rate; null is undecided."""
    name = pl.when(pass_rate.is_null()).then(pl.lit(UNDECIDED))
    chain = name.when(pass_rate <= 0).then(pl.lit(IMPOSSIBLE)).when(pass_rate >= 1).then(pl.lit(PERFECT))
    for label, edge in bins.items():
        chain = chain.when(pass_rate < edge).then(pl.lit(label))
    return chain.otherwise(pl.lit(UNDECIDED))
