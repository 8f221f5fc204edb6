"""Steps that begin where a policy was unsure: at tokens whose next-token distribution has a high entropy.

Invariants: a step begins at the first character of a token, so that steps tile the text in code points and in tokens
alike, and no token straddles a boundary. The cut depends on the entropies, which the text does not tell: the label
names everything else (the rule, whose entropies, whether they are bounds), and `segment_like` says of such a label that
it needs them. Where a token begins inside a character, or follows one that ends inside a character, nothing is cut.

That a reasoning forks at its high-entropy tokens is what CURE (branching there) goes by; to cut steps there, and
that the `top` highest count, are our defaults.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthflow.segment.cut import Segmented, Span

MARK = "entropy:"
"""How labels of such steps begin."""


def needs_tokens(label: str) -> bool:
    """Whether the steps of a label cannot be cut from the text alone."""
    return label.startswith(MARK)


def token_starts(token_ends: ArrayLike) -> NDArray[np.bool_]:
    """Tokens at whose beginning a text may be cut: they add characters, and so did the one before.

    Args:
        token_ends: where each token ends, in code points, as `Renderer.token_ends` tells; the first token is no place
            to cut, since nothing comes before it.
    """
    added = np.diff(np.asarray(token_ends, np.int64), prepend=0) > 0
    starts = added.copy()
    starts[1:] &= added[:-1]
    starts[:1] = False
    return starts


def highest(
    entropies: ArrayLike, allowed: NDArray[np.bool_], top: int, above: float | None = None
) -> NDArray[np.int64]:
    """Places of the `top` highest entropies among the allowed ones, the earlier of equals first, highest first.

    Args:
        above: leave out what is not above this, in nats.
    """
    numbers = np.asarray(entropies, np.float64)
    fits = allowed & np.isfinite(numbers)
    if above is not None:
        fits &= numbers > above
    places = np.flatnonzero(fits)
    order = np.argsort(-numbers[places], kind="stable")
    return places[order[:top]]


def segment_by_entropy(
    text: str, token_ends: Sequence[int], entropies: ArrayLike, whose: str, top: int, above: float | None = None
) -> Segmented:
    """Cut `text` before the tokens of the highest entropies.

    Args:
        token_ends: where each token ends in `text`, in code points.
        entropies: nats, of the distribution that each token was drawn from.
        whose: the policy they belong to (and how they were told), for the label.
        top: most steps that begin at such a token: there is one more, before the first.
        above: only tokens of more than so many nats.

    Returns:
        Steps that tile the text; the label is `entropy:top=K@WHOSE`, or `entropy:top=K,above=H@WHOSE`.
    """
    threshold = "" if above is None else f",above={above:g}"
    label = f"{MARK}top={top}{threshold}@{whose}"
    if not text:
        return Segmented(label, ())
    ends = np.minimum(np.asarray(token_ends, np.int64), len(text))
    allowed = token_starts(token_ends)
    allowed[1:] &= ends[:-1] < len(text)
    chosen = np.sort(highest(entropies, allowed, top, above))
    cuts = [*ends[chosen - 1].tolist(), len(text)]
    return Segmented(label, tuple(map(Span, [0, *cuts], cuts)))
