"""The metrics: what each one observes, its formula and its source, declared once.

The stage, the catalog's comments and docs/statistics.md all say the same because they read this list. A name that
ends in `*` stands for a family, such as pass_at_* for pass_at_1, pass_at_2, pass_at_4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Axis = Literal["quality", "diversity", "complexity", "exploration"]
Unit = Literal["rollout", "group", "element"]


@dataclass(frozen=True, slots=True)
class Metric:
    """`unit` is what one observation stands for: a rollout, a group, or an element of a sketched set."""

    name: str
    axis: Axis
    unit: Unit
    formula: str
    source: str = "our default"


_CHEN = "Chen et al. 2021, eq. 1"
_LI = "Li et al. 2016 (distinct-n), over words"

METRICS: tuple[Metric, ...] = (
    Metric("pass_rate", "quality", "rollout", "1 for a correct, 0 for a wrong verdict; unknown is no observation"),
    Metric("unknown_share", "quality", "rollout", "1 for an unknown verdict, else 0; over all with a verdict"),
    Metric("truncated_share", "quality", "rollout", "1 if finish_reason is length, else 0"),
    Metric("verdict_value", "quality", "rollout", "value of the verdict, partial credit included; null is none"),
    Metric("mean_logprob", "quality", "rollout", "mean of the rollout's token logprobs, in nats"),
    Metric("agreement_with_*", "quality", "rollout", "1 if both verify stages say the same; where both are sure"),
    Metric("score_*", "quality", "rollout", "value that this stage (a filter: 1 keeps, 0 drops) gave the rollout"),
    Metric("confusion", "quality", "rollout", "calibration only: 1 if scorer and reference say the same, else 0"),
    Metric("value_if_correct", "quality", "rollout", "calibration only: the scorer's value if the truth is correct"),
    Metric("value_if_wrong", "quality", "rollout", "calibration only: the scorer's value if the truth is wrong"),
    Metric("distinct_answers", "diversity", "group", "number of different extracted answers"),
    Metric("answer_entropy", "diversity", "group", "-sum p ln p over the shares of extracted answers, in nats",
           "Shannon 1948, plug-in estimate"),
    Metric("distinct_shapes", "diversity", "group", "number of different completions, digits and blanks masked"),
    Metric("distinct_*", "diversity", "group", "different n-grams over all n-grams of the group", _LI),
    Metric("self_similarity", "diversity", "group",
           "mean Jaccard index |A∩B| / |A∪B| of n-gram sets over pairs of at most 8 rollouts"),
    Metric("vendi", "diversity", "group", "exp(-sum l ln l), l the eigenvalues of K/n, K the Jaccard indices",
           "Friedman & Dieng 2023, def. 3.1"),
    Metric("corpus_shapes", "diversity", "element", "sketch of all shapes; one element a rollout",
           "Bar-Yossef et al. 2002; Dasgupta et al. 2016"),
    Metric("corpus_ngrams_*", "diversity", "element", "sketch of all n-grams; one element an n-gram",
           "Bar-Yossef et al. 2002; Dasgupta et al. 2016"),
    Metric("n_tokens", "complexity", "rollout", "tokens of the completion"),
    Metric("n_lines", "complexity", "rollout", "lines that are not blank"),
    Metric("n_steps", "complexity", "rollout", "steps, where a stage above cut it"),
    Metric("operations", "complexity", "rollout", "arithmetic operators and LaTeX operator commands in the text"),
    Metric("equations", "complexity", "rollout", "=, ≈, ≠, ≤, ≥ and their LaTeX commands in the text"),
    Metric("depth", "complexity", "rollout", "deepest nesting of (), [] and {}"),
    Metric("difficulty", "complexity", "group", "1 - pass rate of the whole group, whatever the stage retains of it"),
    Metric("pass_at_*", "exploration", "group", "1 - C(n-c, k) / C(n, k) for k = 1, 2, 4, ... up to n judged", _CHEN),
)  # fmt: skip


def metric_of(name: str) -> Metric:
    """The metric or family that `name` belongs to.

    Raises:
        KeyError: for a name that no metric covers.
    """
    for metric in METRICS:
        if metric.name == name:
            return metric
    for metric in METRICS:
        if metric.name.endswith("*") and name.startswith(metric.name[:-1]):
            return metric
    raise KeyError(name)
