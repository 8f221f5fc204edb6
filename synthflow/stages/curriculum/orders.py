"""Orders of problems by their pass rates, as pure functions; the stages that write them are elsewhere.

Invariants: an order is a permutation of the problems it is given, and depends on their ids, pass rates and the seed
alone: what is drawn at random is drawn from a hash of seed and problem_id, so that neither the order of the input nor
the partitions decide, and another seed gives another draw.

None of these is from a paper: `cyclic` and `annealed` are named after what they do, and the details are our defaults.
Frames have the columns problem_id and rate (in [0, 1], never null).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from synthflow.ids import digest
from synthflow.stages.curriculum.bins import IMPOSSIBLE, PERFECT, bin_names
from synthflow.stages.curriculum.knapsack import Floats


def uniforms(problems: pl.Series, seed: int, purpose: str) -> Floats:
    """A number in (0, 1) for each problem, from H(purpose, seed, problem_id). Shape (problems,)."""
    heads = [int(digest(f"{purpose}:{seed}:{problem}")[:13], 16) for problem in problems]  # 52 bits: exact as floats
    return (np.array(heads, np.float64) + 0.5) / 2.0**52


def by_rate(known: pl.DataFrame, easy_first: bool) -> pl.DataFrame:
    """Easy to hard or hard to easy; equal pass rates by problem_id, which is a hash."""
    return known.sort("rate", "problem_id", descending=[easy_first, False])


def cyclic(known: pl.DataFrame, bins: Mapping[str, float], cycles: int, easy_first: bool, seed: int) -> pl.DataFrame:
    """`cycles` passes over the bins, each pass with its share of every bin.

    A bin's problems are shuffled and dealt out over the passes, as evenly as their number allows, the first passes
    first; within a pass the bins follow each other by difficulty.
    """
    hard_to_easy = [IMPOSSIBLE, *bins, PERFECT]
    places = {name: place for place, name in enumerate(reversed(hard_to_easy) if easy_first else hard_to_easy)}
    return (
        known.with_columns(
            bin_names(pl.col("rate"), bins).replace_strict(places, return_dtype=pl.Int32).alias("_bin"),
            pl.Series("_draw", uniforms(known["problem_id"], seed, "cyclic")),
        )
        .sort("_bin", "_draw", "problem_id")
        .with_columns((pl.int_range(pl.len()).over("_bin") * cycles // pl.len().over("_bin")).alias("_pass"))
        .sort("_pass", "_bin", "_draw", "problem_id")
        .drop("_bin", "_draw", "_pass")
    )


def annealed(known: pl.DataFrame, phases: int, temperature: float, easy_first: bool, seed: int) -> pl.DataFrame:
    """Draws without replacement whose weights move from easy to hard, phase by phase.

    In phase k of K the problems that are left are drawn with weights exp(-max(0, target_k - pass rate) / temperature);
    the target falls from 1 in the first phase to 0 in the last. So what is harder than the target is held back, and
    what is easier never is, or it would be left over for the end. (Hard to easy is the same with the sides changed.)
    Each phase takes an equal share, by the Gumbel-top-k trick (Efraimidis and Spirakis 2006; Kool et al. 2019): the k
    largest of log weight plus Gumbel noise are k draws without replacement, in the order in which they were drawn.
    """
    rates, ids = known["rate"].to_numpy(), known["problem_id"]
    left = np.arange(known.height)
    taken: list[int] = []
    for phase in range(phases):
        along = phase / (phases - 1) if phases > 1 else 0.5
        target = 1.0 - along if easy_first else along
        gumbel = -np.log(-np.log(uniforms(ids[left], seed, f"annealed {phase}")))
        ahead = target - rates[left] if easy_first else rates[left] - target
        keys = gumbel - np.maximum(ahead, 0.0) / temperature
        share = known.height * (phase + 1) // phases - len(taken)
        drawn = left[np.lexsort((left, -keys))[:share]]
        taken.extend(drawn.tolist())
        left = np.setdiff1d(left, drawn)
    return known[taken]


def reestimated(known: pl.DataFrame, batch: int, easy_first: bool) -> pl.DataFrame:
    """An order by `rate`, cut into batches of `batch`, each sorted again by `now` (`rate` where that is null).

    The part of ADCL (Learning Like Humans, adaptive difficulty curriculum learning) that a data set can have: perceived
    difficulty shifts as the policy learns, so upcoming batches are sorted anew by what the current policy can do. The
    size of a batch is ours.
    """
    return (
        by_rate(known, easy_first)
        .with_columns((pl.int_range(pl.len()) // batch).alias("_batch"), pl.coalesce("now", "rate").alias("_now"))
        .sort("_batch", "_now", "problem_id", descending=[False, easy_first, False])
        .drop("_now", "_batch")
    )


def rank_correlation(one: Floats, other: Floats) -> float | None:
    """Spearman's rho, ties at their mean rank; None where fewer than two problems, or one side all alike."""
    frame = pl.DataFrame({"a": one, "b": other}).with_columns(pl.all().rank("average"))
    if frame.height < 2 or frame["a"].n_unique() < 2 or frame["b"].n_unique() < 2:
        return None
    return float(np.corrcoef(frame["a"].to_numpy(), frame["b"].to_numpy())[0, 1])
