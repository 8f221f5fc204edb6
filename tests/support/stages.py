"""Stages as others see them, with the capabilities that their classes declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synthflow.contracts import StageInfo
from synthflow.contracts.stage_info import verifier_of
from synthflow.errors import UserError
from synthflow.stages.adapters import stage_class


def stage_info(
    name: str,
    use: str,
    writes: Sequence[str],
    parents: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
) -> StageInfo:
    """A stage that is registered as `use`; of one that is not, `verify.x` gives verdicts."""
    try:
        capabilities = stage_class(use).capabilities()
    except UserError:
        capabilities = frozenset({"gives_verdicts"} if verifier_of(use) != use else ())
    return StageInfo(name, use, tuple(writes), tuple(parents), config or {}, capabilities)
