"""Edges of the fixed bins of `stats.histogram`, which metrics share.

Invariant: the bins of a metric never change under its name, so histograms of any two runs add up. Bin i holds
values in [edges[i], edges[i+1]); the first and last bin also take what lies beyond them.
"""

from __future__ import annotations

SIZES: tuple[float, ...] = (0.0, *(round(2.0 ** (half / 2), 6) for half in range(41)))
"""Half octaves from 1 to 2**20, with [0, 1) before them: for counts of tokens, lines, operations. 41 bins."""

LOGPROBS: tuple[float, ...] = tuple(-10.0 + quarter / 4 for quarter in range(41))
"""Quarters of a nat from -10 to 0: for mean log probabilities. 40 bins."""

CELLS: tuple[float, ...] = tuple(float(cell) for cell in range(10))
"""Nine cells: 3 times the reference's verdict plus the scorer's, in the order correct, wrong, unknown."""

VALUES: tuple[float, ...] = tuple(hundredth / 100 for hundredth in range(102))
"""Hundredths from 0 to 1, and 1 itself: for the values of scorers. 101 bins."""
