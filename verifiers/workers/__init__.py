"""Worker processes that may be killed at any moment, and what shares them. Plug-ins use `WorkerPool`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synthflow.verifiers.workers.pool import WorkerPool

__all__ = ["WorkerPool"]


def __getattr__(name: str) -> Any:
    """`WorkerPool` loads when asked for: a worker's own process imports this package and needs none of it."""
    if name == "WorkerPool":
        from synthflow.verifiers.workers.pool import WorkerPool

        return WorkerPool
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
