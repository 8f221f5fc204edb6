"""Large sources are cut coarser, as far as what is asked of a problem allows."""

from __future__ import annotations

from typing import Any

import pytest

from support.runs import SMALL, with_changes
from synthflow.plan.partition_size import LEAST, MOST, partition_size
from synthflow.spec import Pipeline


def sampling(execution: dict[str, Any] | None = None, **rollouts: Any) -> Pipeline:
    spec = with_changes(SMALL, stages={"rollouts": {"n": 16, "max_tokens": 256, **rollouts}})
    stages = {name: spec["stages"][name] for name in ("problems", "rollouts")}
    return Pipeline.build("sizes", stages, spec["policy"], execution=execution)


@pytest.mark.parametrize(
    ("problems", "size"), [(1, LEAST), (2048, LEAST), (6250, 98), (16_384, MOST), (10_000_000, MOST)]
)
def test_it_grows_with_the_source(problems: int, size: int) -> None:
    assert partition_size(sampling(), problems) == size


def test_it_does_not_grow_beyond_what_a_worker_holds_at_ease() -> None:
    assert partition_size(sampling(n=64), 1_000_000) == 64, "4,096 rollouts"
    assert partition_size(sampling(max_tokens=1024), 1_000_000) == 64, "a million tokens"
    assert partition_size(sampling(n=64, max_tokens=4096), 1_000_000) == LEAST


@pytest.mark.parametrize("given", [1, 32, 1000])
def test_what_the_spec_says_holds(given: int) -> None:
    assert partition_size(sampling({"partition_size": given}, n=64, max_tokens=4096), 1_000_000) == given
