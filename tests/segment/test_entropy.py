"""Steps at high-entropy tokens tile text and tokens, whatever the tokens and their entropies are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.errors import UserError
from synthflow.segment import Span, segment_like, token_ranges
from synthflow.segment.entropy import highest, needs_tokens, segment_by_entropy, token_starts

PIECES = ["", "a", "ab ", "x = 3\n", "🍏", "e\u0301", "日本", "\u200d"]
NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)


def test_by_hand():
    #        So    _we   _add  3     _and  4     \n
    pieces = ["So", " we", " add", " 3", " and", " 4", "\n"]
    text, ends = "".join(pieces), np.cumsum([len(p) for p in pieces]).tolist()
    entropies = [9.0, 0.1, 2.0, 1.5, 0.2, 1.5, 0.0]
    cut = segment_by_entropy(text, ends, entropies, "m_1", top=2)
    # The first token has the highest, and nothing comes before it; of the two with 1.5 the earlier counts.
    assert [text[a:b] for a, b in cut.spans] == ["So we", " add", " 3 and 4\n"]
    assert token_ranges(cut.spans, ends) == [(0, 2), (2, 3), (3, 7)]
    assert cut.label == "entropy:top=2@m_1"
    above = segment_by_entropy(text, ends, entropies, "m_1", top=5, above=1.5)
    assert [text[a:b] for a, b in above.spans] == ["So we", " add 3 and 4\n"]
    assert above.label == "entropy:top=5,above=1.5@m_1"


def test_no_character_is_cut_in_two():
    # An emoji of three tokens: the first two add nothing, the third the whole; then a word.
    ends = [2, 2, 2, 3, 6, 6]
    assert token_starts(ends).tolist() == [False, False, False, False, True, False]
    cut = segment_by_entropy("ab🍏 if", ends, [0, 9, 9, 9, 1, 9], "m", top=9)
    assert cut.spans == (Span(0, 3), Span(3, 6)), "the emoji begins inside a character, and nothing else does"


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(PIECES), NUMBERS), max_size=40),
    st.integers(1, 50),
    st.none() | st.floats(0, 5),
    st.integers(0, 3),
)
def test_steps_rejoin_in_characters_and_in_tokens(tokens, top, above, cut_off):
    whole = "".join(piece for piece, _ in tokens)
    text = whole[: len(whole) - cut_off] if cut_off else whole  # a stop text cuts the last token
    ends = np.cumsum([len(piece) for piece, _ in tokens], dtype=int).tolist()
    entropies = [h for _, h in tokens]
    cut = segment_by_entropy(text, ends, entropies, "m", top, above)
    assert "".join(text[a:b] for a, b in cut.spans) == text
    assert all(a < b for a, b in cut.spans) and len(cut.spans) <= top + 1
    ranges = token_ranges(cut.spans, ends)
    if text:
        assert [r.start for r in ranges] == [0, *(r.end for r in ranges[:-1])] and ranges[-1].end == len(tokens)
    begins = {r.start for r in ranges[1:]}
    assert all(math.isfinite(entropies[t]) and (above is None or entropies[t] > above) for t in begins)
    for span, owned in zip(cut.spans[1:], ranges[1:], strict=True):
        assert ends[owned.start - 1] == span.start, "no token straddles a boundary"


def test_the_highest_come_first_and_the_earlier_of_equals():
    allowed = np.array([False, True, True, True, True])
    assert highest([9, 1, 3, math.nan, 3], allowed, 2).tolist() == [2, 4]
    assert highest([9, 1, 3, math.inf, 3], allowed, 9, above=1).tolist() == [2, 4]
    assert highest([], np.zeros(0, bool), 3).tolist() == []


def test_a_label_says_that_the_text_does_not_tell():
    assert needs_tokens("entropy:top=2@m_1") and not needs_tokens("lines/64")
    with pytest.raises(UserError, match="take their spans from the table steps"):
        segment_like("a b", "entropy:top=2@m_1")
    assert segment_by_entropy("", [], [], "m", 3).spans == ()
