"""The demo world and the demo policy: everything real without a download.

Invariant: importing this package loads no model and no heavy library; the problems, their solutions and the
judgements of the step checker are deterministic functions of their arguments.
"""

from __future__ import annotations

from pathlib import Path

from synthflow.demo.checker import ERROR_KINDS, StepJudgement, check_steps, first_error
from synthflow.demo.world import DemoProblem, generate_problems, reference_solutions

__all__ = [
    "ERROR_KINDS",
    "DemoProblem",
    "StepJudgement",
    "check_steps",
    "first_error",
    "generate_problems",
    "heldout_path",
    "policy_path",
    "reference_solutions",
]


def heldout_path() -> Path:
    """The shipped held-out problems: JSON lines with prompt, answer, source, domain, metadata."""
    return Path(__file__).with_name("heldout.jsonl")


def policy_path() -> Path:
    """The shipped policy: a folder in Hugging Face layout (config, safetensors, tokenizer, model card)."""
    return Path(__file__).with_name("policy")
