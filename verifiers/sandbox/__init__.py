"""Runs programs that nobody trusts, and says what they did. It knows nothing of verdicts.

Layers, threats and measurements: docs/sandbox.md.
"""

from synthflow.verifiers.sandbox.layers import LAYERS, STACKS, Isolation, Stack
from synthflow.verifiers.sandbox.limits import Limits
from synthflow.verifiers.sandbox.pool import Found, Program, Ran, Sandbox, describe

__all__ = ["LAYERS", "STACKS", "Found", "Isolation", "Limits", "Program", "Ran", "Sandbox", "Stack", "describe"]
