"""What the likeliest tokens of a distribution say of its entropy, where an engine tells no more than those.

Invariant: a lower bound. The tokens that are told are outcomes of their own and the rest of the vocabulary is taken as
one outcome; to merge outcomes never raises an entropy, so the true one is at least this, and is this where every token
is told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable


def entropy_floor(logprobs: Iterable[float]) -> float:
    """Entropy in nats with all untold tokens as one outcome; NaN if a log probability is.

    Args:
        logprobs: nats, of different tokens of one distribution.
    """
    total, entropy = 0.0, 0.0
    for log_p in logprobs:
        if math.isnan(log_p) or log_p > 1:
            return math.nan
        p = math.exp(log_p)
        total += p
        if p > 0:
            entropy -= p * log_p
    rest = max(1.0 - total, 0.0)
    return entropy - (rest * math.log(rest) if rest > 0 else 0.0)
