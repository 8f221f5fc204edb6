"""What stages may know of each other: a place in the graph, a configuration, and what a stage is able to do.

Invariant: whoever asks what kind of stage stands above asks for a capability, never for the text after `use`: a stage
of somebody else's that declares the capability is treated like ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Capability = Literal[
    "gives_verdicts",
    "combines_verdicts",
    "writes_rollouts",
    "samples_groups",
    "enlarges_groups",
    "sets_budgets",
    "orders_problems",
    "repeats_problems",
    "weighs_rollouts",
    "marks_examples",
    "mines_pairs",
    "finds_flaws",
]
CAPABILITIES: tuple[Capability, ...] = get_args(Capability)
"""Class attributes of a `Stage`, each explained there, that the manifest records and other stages ask for."""


@dataclass(frozen=True, slots=True)
class StageInfo:
    """What a stage may know of another one: its place in the graph and its configuration."""

    name: str
    use: str
    writes: tuple[str, ...]
    parents: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    capabilities: frozenset[str] = frozenset()

    def has(self, capability: Capability) -> bool:
        return capability in self.capabilities


def verifier_stage(verifier: str) -> str:
    """The `use` of the stage that a registered verifier is."""
    return f"verify.{verifier}"


def verifier_of(use: str) -> str:
    """The verifier of `verify.VERIFIER`, whose name its verdicts have as their scorer; another `use` as it is."""
    return use.removeprefix("verify.")
