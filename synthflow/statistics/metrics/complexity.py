"""Complexity: how long a completion is and how much is computed in it, and how hard its problem.

Everything about a text is a proxy that needs no model, and the same for every tokenizer.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from synthflow.statistics.accumulate import group_sums
from synthflow.statistics.bins import SIZES
from synthflow.statistics.metrics.metric import GroupMetric, Metric, RolloutMetric, Values
from synthflow.statistics.metrics.population import Population

_TEXT = pl.col("text")
_LINE = r"\S[^\n]*"
_OPERATION = (
    r"[+×÷·±]|(?:[\d)\]}]|\b[A-Za-z])\s*[-−*/^]|\\(?:times|div|cdot|pm|[dt]?frac|sqrt|sum|prod|int|[dt]?binom)\b"
)
_EQUATION = r"[=≈≠≤≥]|\\(?:approx|neq?|leq?|geq?|equiv)\b"
_BRACKET = r"[()\[\]{}]"


def _depths(texts: pl.Series) -> pl.Series:
    """Deepest bracket of each text; a closing one that nothing opened is none."""
    brackets = texts.str.extract_all(_BRACKET)
    lengths = brackets.list.len().to_numpy().astype(np.int64)
    deepest = np.zeros(len(texts))
    if not lengths.sum():
        return pl.Series(deepest)
    opened = brackets.explode(empty_as_null=False).is_in(["(", "[", "{"]).to_numpy()
    running = np.cumsum(np.where(opened, 1, -1))
    starts = np.cumsum(lengths) - lengths
    some = lengths > 0
    before = np.where(starts[some] > 0, running[starts[some] - 1], 0)
    deepest[some] = np.maximum.reduceat(running, starts[some]) - before
    return pl.Series(np.maximum(deepest, 0.0))


def _difficulty(population: Population) -> Values:
    group, passed = population.chunk.group, population.chunk.observed["pass_rate"]
    judged = np.isfinite(passed)
    size = int(group[-1]) + 1
    n = np.bincount(group[judged], minlength=size)[population.groups]
    correct = group_sums(group[judged], passed[judged], size)[population.groups]
    return population.groups, np.divide(n - correct, n, out=np.full(len(n), np.nan), where=n > 0)


COMPLEXITY: tuple[Metric, ...] = (
    RolloutMetric(
        name="n_tokens",
        axis="complexity",
        formula="tokens of the completion",
        values=pl.col("n_tokens"),
        bins=SIZES,
        heading="tokens",
    ),
    RolloutMetric(
        name="n_lines",
        axis="complexity",
        formula="lines that are not blank",
        values=_TEXT.str.count_matches(_LINE),
        bins=SIZES,
    ),
    RolloutMetric(
        name="n_steps",
        axis="complexity",
        formula="steps, where a stage above cut it",
        values=pl.col("n_steps"),
        bins=SIZES,
    ),
    RolloutMetric(
        name="operations",
        axis="complexity",
        formula="arithmetic operators and LaTeX operator commands in the text",
        values=_TEXT.str.count_matches(_OPERATION),
        bins=SIZES,
        heading="ops",
    ),
    RolloutMetric(
        name="equations",
        axis="complexity",
        formula="=, ≈, ≠, ≤, ≥ and their LaTeX commands in the text",
        values=_TEXT.str.count_matches(_EQUATION),
        bins=SIZES,
    ),
    RolloutMetric(
        name="depth",
        axis="complexity",
        formula="deepest nesting of (), [] and {}",
        values=_TEXT.map_batches(_depths, return_dtype=pl.Float64),
        bins=SIZES,
    ),
    GroupMetric(
        name="difficulty",
        axis="complexity",
        formula="1 - pass rate of the whole group, whatever the stage retains of it",
        values=_difficulty,
        heading="difficulty",
    ),
)
