"""How many problems make a partition, where the spec leaves it open.

A unit of work costs some hundredths of a second whatever it holds, so a large source is cut into larger partitions:
enough of them that many workers share the work, none with more rollouts or tokens than a worker holds at ease.
Partitions that were cut before stay as they are.
"""

from __future__ import annotations

from synthflow.plan.volumes import volumes
from synthflow.spec.pipeline import Pipeline
from synthflow.stages.source.base import Source

LEAST, MOST = 32, 256
"""Problems in a partition."""
_PARTITIONS = 64
"""Partitions that a source is cut into before they grow."""
_REQUESTS, _TOKENS = 4096, 1 << 20
"""The most that a stage may ask for in a grown partition."""
_PROBLEMS = 1000
"""Estimates are made for so many, and divided."""


def partition_size(pipeline: Pipeline, problems: int) -> int:
    """Problems in a new partition of a source.

    Args:
        problems: how many of the source are to be cut.
    """
    given = pipeline.execution.partition_size
    if given is not None:
        return given
    wanted = min(MOST, -(-problems // _PARTITIONS))
    return LEAST if wanted <= LEAST else max(LEAST, min(wanted, _bearable(pipeline)))


def _bearable(pipeline: Pipeline) -> int:
    """Problems for which no stage asks for more than a partition may hold."""
    sources = [node.name for node in pipeline.nodes if isinstance(node.stage, Source)]
    flow = volumes(pipeline, dict.fromkeys(sources, _PROBLEMS), most=True).values()
    share = max(max(each.requests / _REQUESTS, each.tokens / _TOKENS) for each in flow) / _PROBLEMS
    return MOST if not share else int(min(MOST, 1 / share))
