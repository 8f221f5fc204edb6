"""Diversity: how much the rollouts of a group differ, and how much there is in the whole corpus.

The formulas are in `statistics.diversity`; every one of them needs no model.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from synthflow.statistics.accumulate import runs
from synthflow.statistics.diversity import F64, self_similarity, vendi
from synthflow.statistics.metrics.metric import ElementMetric, Elements, GroupMetric, Metric, Values
from synthflow.statistics.metrics.population import Population

_SKETCH = "Bar-Yossef et al. 2002; Dasgupta et al. 2016"


def _distinct_answers(population: Population) -> Values:
    present, distinct, _ = population.answers
    return present, distinct


def _answer_entropy(population: Population) -> Values:
    present, _, entropy = population.answers
    return present, entropy


def _distinct_shapes(population: Population) -> Values:
    group, _ = population.shapes
    present, distinct = np.unique(group, return_counts=True)
    return present, distinct.astype(np.float64)


def _corpus_shapes(population: Population) -> Elements:
    return *population.shapes, np.bincount(population.group).astype(np.float64)


def _grams_seen(population: Population, n: int) -> F64:
    """N-grams of each group, repetitions included, by group code."""
    return population.group_sums(population.chunk.grams[n].seen[population.mask])


def _distinct_grams(population: Population) -> Mapping[int, Values]:
    found = {}
    for n, (owner, _) in population.grams.items():
        present, _, counts = runs(owner)
        found[n] = present, counts / _grams_seen(population, n)[present]
    return found


def _corpus_grams(population: Population) -> Mapping[int, Elements]:
    return {n: (*found, _grams_seen(population, n)) for n, found in population.grams.items()}


def _self_similarity(population: Population) -> Values:
    return population.groups, self_similarity(*population.kernels)


def _vendi(population: Population) -> Values:
    return population.groups, vendi(*population.kernels)


DIVERSITY: tuple[Metric, ...] = (
    GroupMetric(
        name="distinct_answers",
        axis="diversity",
        formula="number of different answers that were judged correct or wrong",
        values=_distinct_answers,
        heading="answers",
    ),
    GroupMetric(
        name="answer_entropy",
        axis="diversity",
        formula="-sum p ln p over the shares of answers that were judged, in nats",
        source="Shannon 1948, plug-in estimate",
        values=_answer_entropy,
    ),
    GroupMetric(
        name="distinct_shapes",
        axis="diversity",
        formula="number of different completions, digits and blanks masked",
        values=_distinct_shapes,
        heading="shapes",
    ),
    GroupMetric(
        name="distinct_*",
        axis="diversity",
        formula="different n-grams over all n-grams of the group",
        source="Li et al. 2016 (distinct-n), over words",
        values=_distinct_grams,
    ),
    GroupMetric(
        name="self_similarity",
        axis="diversity",
        formula="mean Jaccard index |A∩B| / |A∪B| of n-gram sets over pairs of at most 8 rollouts",
        values=_self_similarity,
        heading="similar",
    ),
    GroupMetric(
        name="vendi",
        axis="diversity",
        formula="exp(-sum l ln l), l the eigenvalues of K/n, K the Jaccard indices",
        source="Friedman & Dieng 2023, def. 3.1",
        values=_vendi,
        heading="vendi",
    ),
    ElementMetric(
        name="corpus_shapes",
        axis="diversity",
        formula="sketch of all shapes; one element a rollout",
        source=_SKETCH,
        elements=_corpus_shapes,
    ),
    ElementMetric(
        name="corpus_ngrams_*",
        axis="diversity",
        formula="sketch of all n-grams; one element an n-gram",
        source=_SKETCH,
        elements=_corpus_grams,
    ),
)
