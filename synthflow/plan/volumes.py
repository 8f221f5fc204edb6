"""How much will flow: rows, requests, tokens and disk, before anything runs.

Estimates come from the stages themselves, from the number of problems; what no stage can know before a model has
answered (how many groups are mixed, say) is given as the most it can be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from synthflow.contracts import Estimate
from synthflow.contracts.foreign import told_in_one_line, wraps
from synthflow.stages.source.base import Source

if TYPE_CHECKING:
    from synthflow.spec.pipeline import Pipeline


def _sum(volumes: list[Estimate]) -> Estimate:
    """Upstream of a stage: parents share their problems and rollouts, so the largest counts."""
    if not volumes:
        return Estimate()
    return Estimate(
        problems=max(v.problems for v in volumes),
        rollouts=max(v.rollouts for v in volumes),
        rows=_largest([v.rows for v in volumes]),
        asked=_largest([v.asked for v in volumes]),
    )


def _largest(counts: list[Mapping[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for each in counts:
        for name, n in each.items():
            found[name] = max(found.get(name, 0), n)
    return found


def volumes(pipeline: Pipeline, problems: Mapping[str, int], *, most: bool = False) -> dict[str, Estimate]:
    """Estimate of every stage.

    Args:
        problems: number of problems of every source, by stage name.
        most: no guesses: requests, and the rollouts that come of them, are the most that there can be.
    """
    found: dict[str, Estimate] = {}
    for node in pipeline.nodes:
        if isinstance(node.stage, Source):
            n = problems.get(node.name, 0)
            found[node.name] = Estimate(problems=n, rows={"problems": n})
        else:
            with told_in_one_line(f"stage {node.name!r} ({node.use}), asked for an estimate,", *wraps(node.stage)):
                estimate = node.stage.estimate(_sum([found[p] for p in node.parents]))
            found[node.name] = _bounded(estimate) if most else estimate
    return found


def _bounded(estimate: Estimate) -> Estimate:
    if estimate.most_requests is None:
        return estimate
    more = estimate.most_requests - estimate.requests
    per_request = estimate.tokens / estimate.requests if estimate.requests else 0.0
    return replace(
        estimate,
        requests=estimate.most_requests,
        rollouts=estimate.rollouts + more,
        tokens=estimate.most_requests * per_request,
    )
