"""Synthflow turns problems into training data: rollouts, verdicts, step advantages, pairs, curricula.

Importing this package is cheap; the heavy libraries (torch, vllm, transformers, dask) load inside what
needs them. What `use:` names stands in `stages`. `verifiers`, `filters`, `stores` and `pipelines` stand at the top of
the repository and are imported as `synthflow.verifiers` and so on. CONTRIBUTING.md has a sentence on every folder.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`Pipeline` and `Run`, imported when somebody asks for them; `__init__.pyi` tells type checkers."""
    if name in ("Pipeline", "Run"):
        from importlib import import_module

        return getattr(import_module("synthflow.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
