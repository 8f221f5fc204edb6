"""A cap on the tokens that a run samples, over all of its attempts.

Invariant: once the cap is reached nothing more is asked; what is in flight is finished and kept, and what needs no
sampling goes on in a later attempt. Workers report twice a second, so a run may spend what was asked meanwhile beyond
its cap. Where nobody counts the tokens of an answer, its bytes count: no token is shorter.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthflow.errors import CapReached
from synthflow.execute.stopping import Stopper
from synthflow.spec.models import ExecutionSpec
from synthflow.stores.journal import tokens_spent


class SpendCap:
    """What a run may spend, and has spent before this attempt and in it."""

    def __init__(self, execution: ExecutionSpec, journal: Path, stopper: Stopper) -> None:
        self._most, self._stopper = execution.token_cap, stopper
        self._spent = 0 if self._most is None else tokens_spent(journal)

    @property
    def reached(self) -> bool:
        return self._most is not None and self._spent >= self._most

    def counted(self, counts: Mapping[str, Any]) -> None:
        """A worker's report; the run is asked to stop when it reaches the cap."""
        if self._most is not None and not self.reached:
            self._spent += int(counts.get("tokens", 0) + counts.get("uncounted", 0))
            if self.reached:
                self._stopper.ask()

    def error(self, owed: int) -> CapReached:
        return CapReached(
            f"{self._spent:,} of the {self._most:,} tokens that execution.max_tokens or max_cost allows are spent, and "
            f"{owed} units of work are owed; what was finished is kept: raise the cap and run again"
        )
