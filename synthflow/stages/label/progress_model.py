"""The regressor of `label.progress`: per-step contributions whose sum over a rollout explains its outcome.

SPA-RL ("Stepwise Progress Attribution") trains a language model with a linear head, read at the end of each step, so
that the sum of the heads' outputs over a trajectory matches the final reward in squared error. Ours is the linear case
(our default): contribution of step k c_k = w · f_k, with features f_k; so the sum over a rollout is w · F, F = sum f_k,
and w is a ridge regression of the outcome on F, in closed form.

Rollouts of one problem are compared with each other only: with the rollouts i, j of one group,

    minimise  sum over pairs i < j of one group of (y_i - y_j - w · (F_i - F_j))²
              + ridge / R · sum over columns of D_c w_c²

where R is the number of rollouts and D_c the column's own sum of squared differences, so that `ridge` counts rollouts
and no column's scale matters. What a problem is about, and how hard it is, thereby explains nothing (our default).
The sum over pairs is n · sum F Fᵀ - S Sᵀ with S = sum F over the group: no difference is ever formed.

Invariants: sums of a fold hold one matrix, whatever the number of rollouts; features are sixteenths and outcomes whole,
so they are exact and do not depend on the order of partitions; the model of a fold never saw a rollout of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from synthflow import ids

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

RIDGES = tuple(4.0**k for k in range(1, 9))
"""Penalties that are tried, in rollouts: 4 to 65,536."""


def fold_of(problem_id: str, folds: int) -> int:
    """The fold of a problem: a hash of its id."""
    return int(ids.digest("fold:" + problem_id)[:8], 16) % folds


@dataclass(slots=True)
class Sums:
    """Sums over pairs of one fold: `square` [columns, columns] of differences, `product` [columns] with outcomes."""

    square: F64
    product: F64
    rollouts: int = 0
    contrasts: int = 0
    """Pairs with different outcomes: without one there is nothing to learn."""

    @staticmethod
    def zero(columns: int) -> Sums:
        return Sums(np.zeros((columns, columns)), np.zeros(columns))

    def add(self, summed: F64, outcome: F64, group: I64) -> None:
        """Add rollouts of whole groups.

        Args:
            summed: features summed over each rollout, [rollouts, columns].
            outcome: 1 or 0 of each.
            group: code of each, from 0.
        """
        if not len(outcome):
            return
        n_groups = int(group.max()) + 1
        size = np.bincount(group, minlength=n_groups).astype(np.float64)
        right = np.bincount(group, outcome, n_groups)
        of_group = np.zeros((n_groups, summed.shape[1]))
        np.add.at(of_group, group, summed)
        weighted = summed * size[group][:, None]
        self.square += weighted.T @ summed - of_group.T @ of_group
        self.product += weighted.T @ outcome - of_group.T @ right
        self.rollouts += len(outcome)
        self.contrasts += int((right * (size - right)).sum())

    def error(self, weights: F64) -> float:
        """Squared error of weights over the pairs, less that of no weights at all: below 0 is better than nothing."""
        return float(weights @ self.square @ weights - 2 * weights @ self.product)


@dataclass(frozen=True, slots=True)
class Solver:
    """Ridge weights from some folds for any penalty: the eigenvectors of their sums, each column scaled by its own."""

    values: F64
    vectors: F64
    turned: F64
    """The products with outcomes along the eigenvectors."""

    scale: F64
    rollouts: int

    @staticmethod
    def of(sums: Sequence[Sums]) -> Solver | None:
        """None where no pair differs in its outcome."""
        if not sum(s.contrasts for s in sums):
            return None
        square, product = np.sum([s.square for s in sums], axis=0), np.sum([s.product for s in sums], axis=0)
        own = np.diag(square)
        # A column that never differs has weight 0, not none.
        scale = np.divide(1.0, np.sqrt(own), out=np.zeros_like(own), where=own > 0)
        values, vectors = np.linalg.eigh(square * scale[:, None] * scale)
        return Solver(values, vectors, vectors.T @ (product * scale), scale, sum(s.rollouts for s in sums))

    def weights(self, ridge: float) -> F64:
        # Rounding leaves tiny eigenvalues below 0.
        found: F64 = self.scale * (self.vectors @ (self.turned / (np.maximum(self.values, 0) + ridge / self.rollouts)))
        return found


@dataclass(slots=True)
class ProgressModel:
    """Sums by fold, and from them the weights for each fold.

    Attributes:
        ridge: the penalty, in rollouts; None: for each fold that of `RIDGES` with the least squared error over pairs
            when every other fold is predicted from the rest: neither weights nor penalty saw the fold (our default).
    """

    columns: int
    folds: int
    ridge: float | None
    sums: list[Sums] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sums = [Sums.zero(self.columns) for _ in range(self.folds)]

    def weights(self) -> list[F64 | None]:
        """For each fold the weights from all others; None where these have nothing to learn from."""
        errors = np.zeros((self.folds, len(RIDGES)))
        if self.ridge is None:
            for one, other in combinations(range(self.folds), 2):
                solver = self._without(one, other)
                if solver is None:
                    continue
                for held, labelled in ((one, other), (other, one)):
                    errors[labelled] += [self.sums[held].error(solver.weights(ridge)) for ridge in RIDGES]
        found: list[F64 | None] = []
        for fold in range(self.folds):
            solver = self._without(fold)
            ridge = RIDGES[int(np.argmin(errors[fold]))] if self.ridge is None else self.ridge
            found.append(None if solver is None else solver.weights(ridge))
        return found

    def _without(self, *folds: int) -> Solver | None:
        return Solver.of([s for k, s in enumerate(self.sums) if k not in folds])


def conserved(contribution: F64, rollout: I64, outcome: F64) -> F64:
    """Contributions that add up to the outcome: what is missing is spread evenly over the rollout's steps.

    Our default. It keeps the differences between the steps of a rollout as the model sees them, where a factor would
    turn them around for a sum below 0 and blow them up near it.

    Args:
        contribution: one a step. rollout: code of each step's rollout, from 0. outcome: one a rollout.
    """
    size = np.bincount(rollout, minlength=len(outcome))
    missing = outcome - np.bincount(rollout, contribution, len(outcome))
    found: F64 = contribution + (missing / np.maximum(size, 1))[rollout]
    return found
