"""The demo worlds and the demo policies: everything real without a download.

Invariant: importing this package loads no model and no heavy library; the problems, their solutions and the
judgements of the step checker are deterministic functions of their arguments.
"""

from __future__ import annotations

from pathlib import Path

from synthflow.demo.checker import ERROR_KINDS, StepJudgement, check_steps, first_error
from synthflow.demo.world import WORLDS, DemoProblem, generate_problems, reference_solutions

__all__ = [
    "ERROR_KINDS",
    "WORLDS",
    "DemoProblem",
    "StepJudgement",
    "check_steps",
    "first_error",
    "generate_problems",
    "heldout_path",
    "policy_path",
    "reference_solutions",
]


def heldout_path(world: str = "short") -> Path:
    """The shipped held-out problems of a world: JSON lines with prompt, answer, source, domain, metadata."""
    return Path(__file__).with_name({"short": "heldout.jsonl", "long": "heldout_long.jsonl"}[world])


def policy_path(world: str = "short") -> Path:
    """The policy trained for a world: a folder in Hugging Face layout (config, safetensors, tokenizer, model card)."""
    return Path(__file__).with_name({"short": "policy", "long": "policy_long"}[world])
