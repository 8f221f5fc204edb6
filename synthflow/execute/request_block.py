"""Requests on their way to an engine's worker: one block of bytes, which the scheduler passes on unread.

Invariant: what comes out is what went in, in order; requests of one prompt carry it once.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from typing import Any, overload

from synthflow.contracts import SampleRequest


class RequestBlock(Sequence[SampleRequest]):
    """A sequence of requests that is taken apart where somebody reads it, and not where it only passes."""

    def __init__(self, requests: Sequence[SampleRequest]) -> None:
        self._requests: Sequence[SampleRequest] | None = requests
        self._packed: bytes | None = None

    @overload
    def __getitem__(self, at: int) -> SampleRequest: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[SampleRequest]: ...
    def __getitem__(self, at: int | slice) -> SampleRequest | Sequence[SampleRequest]:
        return self._all()[at]

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[SampleRequest]:
        return iter(self._all())

    def _all(self) -> Sequence[SampleRequest]:
        if self._requests is None:
            self._requests = _unpack(pickle.loads(self._packed or b""))
        return self._requests

    def __getstate__(self) -> bytes:
        if self._packed is None:
            self._packed = pickle.dumps(_pack(self._requests or ()), protocol=pickle.HIGHEST_PROTOCOL)
        return self._packed

    def __setstate__(self, packed: bytes) -> None:
        self._requests, self._packed = None, packed


def _pack(requests: Sequence[SampleRequest]) -> tuple[list[Any], list[tuple[str, int, int]]]:
    """What requests share, and of each its id, its seed and which of these it has."""
    shared: list[Any] = []
    own: list[tuple[str, int, int]] = []
    last: tuple[Any, ...] = ()
    for r in requests:
        having = (r.problem_id, r.messages, r.prompt_token_ids, r.params, r.score, r.entropy_top)
        if having != last:
            shared.append(having)
            last = having
        own.append((r.rollout_id, r.seed, len(shared) - 1))
    return shared, own


def _unpack(packed: tuple[list[Any], list[tuple[str, int, int]]]) -> list[SampleRequest]:
    shared, own = packed
    found = []
    for rollout, seed, at in own:
        problem, messages, tokens, params, score, entropy_top = shared[at]
        found.append(SampleRequest(rollout, problem, messages, tokens, params, seed, score, entropy_top))
    return found
