"""Given tokens under a transformers model: one teacher-forced forward pass, and no sampling.

Invariant: what is said of a token is the log of its probability under the softmax of the model's own logits at the
place before it, and the entropy of that whole distribution: the numbers that sampling it would have given, but for
rounding. Rows are padded on the right, where under causal attention nothing looks. Logits of a large vocabulary are
the largest thing here, so a long pass is cut into runs of columns that go on from the keys and values before them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from synthflow.backends.admission import Admitted, scored
from synthflow.contracts import SampleResult

PASS_TOKENS = 4096
"""Padded tokens of one pass."""
LOGITS = 1 << 25
"""Logits that are held at once: 128 MiB in float32."""


@dataclass(slots=True)
class Scoring:
    """Tokens to read, and the future that waits for them."""

    admitted: Admitted
    future: Future[SampleResult]

    @property
    def score(self) -> tuple[int, ...]:
        return self.admitted.request.score or ()

    @property
    def length(self) -> int:
        return len(self.admitted.prompt) + len(self.score)


def take(queue: deque[Scoring], most: int) -> list[Scoring]:
    """The next readings of a queue, as one pass takes them: at most `most`, and `PASS_TOKENS` with padding, but one."""
    taken: list[Scoring] = []
    longest = 0
    while queue and len(taken) < most:
        longest = max(longest, queue[0].length)
        if taken and longest * (len(taken) + 1) > PASS_TOKENS:
            break
        reading = queue.popleft()
        if reading.future.set_running_or_notify_cancel():
            taken.append(reading)
    return taken


def read(model: Any, readings: Sequence[Scoring], device: str, dtype: torch.dtype) -> None:
    """Read `readings` in one pass and resolve their futures.

    Args:
        dtype: in which softmax and entropy are computed.
    """
    started = time.monotonic()
    n, width = len(readings), max(r.length for r in readings) - 1  # nothing follows the last token
    first = min(len(r.admitted.prompt) for r in readings) - 1
    ids = torch.zeros((n, width + 1), dtype=torch.int64)
    for row, reading in enumerate(readings):
        ids[row, : reading.length] = torch.tensor((*reading.admitted.prompt, *reading.score))
    ids = ids.to(device)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    columns = max(1, LOGITS // (n * vocabulary))
    cache = DynamicCache() if width - first > columns else None
    entropic = any(r.admitted.request.entropy_top for r in readings)
    numbers = torch.zeros((2, n, width), dtype=torch.float32, device=device)
    for start, stop in _runs(first, width, columns):
        keep = stop - max(start, first)
        logits = model(
            input_ids=ids[:, start:stop],
            position_ids=torch.arange(start, stop, device=device).expand(n, -1),
            past_key_values=cache,
            use_cache=cache is not None,
            logits_to_keep=keep,
        ).logits[:, -keep:]
        log_p = logits.to(dtype).log_softmax(-1)
        target = ids[:, stop - keep + 1 : stop + 1, None]
        numbers[0, :, stop - keep : stop] = log_p.gather(-1, target)[:, :, 0]
        if entropic:
            numbers[1, :, stop - keep : stop] = torch.special.entr(log_p.exp()).sum(-1)
    spent = time.monotonic() - started
    for row, (reading, (log_p, entropy)) in enumerate(zip(readings, numbers.cpu().transpose(0, 1), strict=True)):
        own = slice(len(reading.admitted.prompt) - 1, readings[row].length - 1)
        wanted = reading.admitted.request.entropy_top > 0
        reading.future.set_result(
            scored(
                reading.admitted.request,
                log_p[own].tolist(),
                entropy[own].tolist() if wanted else None,
                spent,
                prompt_tokens=reading.length,
            )
        )


def _runs(first: int, width: int, columns: int) -> Iterator[tuple[int, int]]:
    """Runs of columns with at most `columns` whose logits count: those from `first` on."""
    start, stop = 0, min(first + columns, width)
    while start < width:
        yield start, stop
        start, stop = stop, min(stop + columns, width)
