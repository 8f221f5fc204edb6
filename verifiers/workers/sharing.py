"""Verifiers that several users in one process share: one worker pool, one reward model, however many stages ask it.

Invariant: a verifier is asked by one thread at a time, and closed when its last user has given it back. Who holds one
verifier's turn may wait for another's only where the first is a composition and the second its component, so no two
wait for each other.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from synthflow.contracts import Verifier
from synthflow.ids import canonical, content_id
from synthflow.verifiers.opening import open_verifier


@dataclass
class SharedVerifier:
    """A shared verifier; whoever asks it holds its `turn`. Its version and configuration are read once."""

    name: str
    verifier: Verifier
    key: str
    turn: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0

    @cached_property
    def full_version(self) -> str:
        return self.verifier.full_version()

    @cached_property
    def config_hash(self) -> str:
        return content_id("c", self.name, self.verifier.identity())


_lent: dict[str, SharedVerifier] = {}
_guard = threading.RLock()  # opening a composition borrows its components


def acquire(name: str, config: Mapping[str, Any]) -> SharedVerifier:
    """The verifier of that name and configuration, opened if nobody has it yet.

    Raises:
        UserError, Mistakes: as `open_verifier` does.
    """
    with _guard:
        key = canonical([name, dict(config)])
        if key not in _lent:
            _lent[key] = SharedVerifier(name, open_verifier(name, config), key)
        _lent[key].users += 1
        return _lent[key]


def release(lent: SharedVerifier) -> None:
    """One user less; the last one closes it."""
    with _guard:
        lent.users -= 1
        last = lent.users == 0 and _lent.pop(lent.key, None) is not None
    if last:
        lent.verifier.close()
