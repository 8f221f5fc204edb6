"""Group advantages: what a rollout's reward says of it beside the other rollouts of its group.

Invariants: an estimator is a Polars expression over rows of `reward` (null: unknown) and the columns of `GROUP`; a row
without a reward has no advantage and counts in nobody's; n, mean and std are over the rewards that are known. What
compares rollouts is null in a group with one known reward, which has nobody to be compared with.

With r the rewards of a group of n, here 1 for right and 0 for wrong:

- `grpo`: (r - mean) / (std + eps). Shao et al. 2024 (DeepSeekMath, arXiv 2402.03300), section 4.1.2, divides by the
  standard deviation without saying which; `sample` (n - 1, the default, with eps 1e-4) is what TRL computes,
  `population` divides by n.
- `grpo_no_std`: r - mean. Liu et al. 2025 (Dr. GRPO, arXiv 2503.20783), which takes the division for a bias.
- `rloo`: r - mean of the others, Kool et al. 2019 and Ahmadian et al. 2024 (arXiv 2402.14740); n/(n - 1) times
  `grpo_no_std`.
- `psr`, `nsr`, `weighted`: Zhu et al. 2025 (The Surprising Effectiveness of Negative Reinforcement, arXiv 2506.01347):
  r of the right ones only; r - 1 of the wrong ones only; λ r + (r - 1), λ = 0.1, as their repository has it. No
  baseline, so that unanimous groups teach as well.
- `oreal`: `rloo` of the rewards +1 and -1 over the whole group, that of a wrong one times 0.5 (OREAL, Lyu et al. 2025,
  arXiv 2502.06781; the factor is their repository's, and that the group is the whole one is our reading).
- `nft`: no advantage but what the loss of NFT (Chen et al. 2025, arXiv 2505.18116) reads: `nft.correct_rate`, the
  group's pass rate within [0.02, 0.98], and `nft.prompt_weight` of it, 1 - r or sqrt((1 - r) / r); null in unanimous
  groups, which it leaves out. The bounds and both weights are their repository's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from synthflow.rollouts.groups import GROUP

Estimator = Literal["grpo", "grpo_no_std", "rloo", "psr", "nsr", "weighted", "oreal", "nft"]
NFT_BOUNDS = (0.02, 0.98)

REWARD, N = pl.col("reward"), pl.col("reward").count().over(GROUP)
MEAN = REWARD.mean().over(GROUP)
RIGHT = REWARD == 1
"""Of the estimators that need right and wrong, whose rewards are 1 and 0."""
BINARY: frozenset[Estimator] = frozenset({"psr", "nsr", "weighted", "oreal", "nft"})

ALONE = pl.when(N < 2).then(pl.lit("alone"))
UNANIMOUS = pl.when(MEAN == 0).then(pl.lit("group_all_wrong")).when(MEAN == 1).then(pl.lit("group_all_correct"))


@dataclass(frozen=True, slots=True)
class Knobs:
    """Numbers that the formulas leave open."""

    std: Literal["sample", "population"] = "sample"
    eps: float = 1e-4
    positive_weight: float = 0.1
    negative_factor: float = 0.5
    prompt_weight: Literal["one_minus", "sqrt"] = "one_minus"


@dataclass(frozen=True, slots=True)
class Column:
    """One measure: its scorer's name, its value, and why a row with a reward has none."""

    scorer: str
    value: pl.Expr
    why_not: pl.Expr


def columns(estimator: Estimator, knobs: Knobs) -> list[Column]:
    """The measures of one estimator."""
    if estimator == "nft":
        rate = MEAN.clip(*NFT_BOUNDS)
        weight = 1 - rate if knobs.prompt_weight == "one_minus" else ((1 - rate) / rate).sqrt()
        return [
            Column(f"nft.{name}", pl.when(REWARD.is_not_null(), UNANIMOUS.is_null()).then(value), UNANIMOUS)
            for name, value in (("correct_rate", rate), ("prompt_weight", weight))
        ]
    why_not = pl.lit(None, pl.String) if estimator in ("psr", "nsr", "weighted") else ALONE
    value = pl.when(why_not.is_null()).then(_FORMULAS[estimator](knobs))
    return [Column(f"advantage.{estimator}", value, why_not)]


def _grpo(knobs: Knobs) -> pl.Expr:
    std = REWARD.std(ddof=1 if knobs.std == "sample" else 0).over(GROUP)
    # Equal rewards are equal: no rounding of their mean may show through a division by eps.
    equal = REWARD.min().over(GROUP) == REWARD.max().over(GROUP)
    return pl.when(REWARD.is_null()).then(None).when(equal).then(0.0).otherwise((REWARD - MEAN) / (std + knobs.eps))


def _leave_one_out(reward: pl.Expr) -> pl.Expr:
    return reward - (reward.sum().over(GROUP) - reward) / (N - 1)


def _only(rows: pl.Expr, value: pl.Expr) -> pl.Expr:
    """`value` in `rows`, 0 in the others, null where the reward is."""
    return pl.when(REWARD.is_null()).then(None).when(rows).then(value).otherwise(0.0)


def _oreal(knobs: Knobs) -> pl.Expr:
    advantage = _leave_one_out(2 * REWARD - 1)
    return pl.when(RIGHT).then(advantage).otherwise(knobs.negative_factor * advantage)


_FORMULAS: Mapping[str, Callable[[Knobs], pl.Expr]] = {
    "grpo": _grpo,
    "grpo_no_std": lambda _: REWARD - MEAN,
    "rloo": lambda _: _leave_one_out(REWARD),
    "psr": lambda _: _only(RIGHT, REWARD),
    "nsr": lambda _: _only(~RIGHT, REWARD - 1),
    "weighted": lambda knobs: pl.when(RIGHT).then(knobs.positive_weight * REWARD).otherwise(REWARD - 1),
    "oreal": _oreal,
}
