"""Steps tile their text, whatever it holds; tokens tile into the same steps."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.errors import UserError
from synthflow.segment import (
    SEGMENTERS,
    Segmented,
    Span,
    merge_groups,
    merge_runs,
    segment,
    segment_like,
    token_ranges,
)
from synthflow.segment.markers import episodes

_CHARACTERS = st.one_of(
    st.characters(),  # lone surrogates included
    st.sampled_from([*"\n\n\n \t\r.!?…。！？()*#12aé\u2028\u200b\ufeff\x00\x85", "\U0001f469", "\U0001f3fd"]),
)
_SIGNS = st.sampled_from(
    ["\nWait", "\n\nBut wait", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "\n```python\n",
     "\n```\n", "```output"]
)  # fmt: skip
HOSTILE = st.one_of(
    st.text(_CHARACTERS, max_size=80),
    st.lists(st.one_of(_CHARACTERS, _SIGNS, st.just("\n\n")), max_size=40).map("".join),
)
NAMES = st.sampled_from(sorted(SEGMENTERS)).flatmap(lambda n: st.sampled_from([n, f"{n}*2", f"{n}*3"]))
OVERFLOW = st.sampled_from(["even", "tail"])


def texts(cut: Segmented, text: str) -> list[str]:
    return [text[start:end] for start, end in cut.spans]


@given(HOSTILE, NAMES, st.one_of(st.none(), st.integers(1, 5)), OVERFLOW)
def test_steps_tile_any_text(text, name, most, overflow):
    cut = segment(text, name, most, overflow)
    assert "".join(texts(cut, text)) == text
    assert [s.start for s in cut.spans] == [0, *[s.end for s in cut.spans[:-1]]][: len(cut.spans)]
    assert all(start < end for start, end in cut.spans)
    assert bool(cut.spans) == bool(text)
    assert most is None or len(cut.spans) <= most
    assert segment_like(text, cut.label) == cut


@given(HOSTILE)
def test_no_line_step_is_blank_beside_another(text):
    steps = texts(segment(text, "lines"), text)
    assert len(steps) <= 1 or all(s.strip() for s in steps)
    assert all(s.endswith("\n") for s in steps[:-1])


@given(HOSTILE)
def test_lines_agree_with_a_plain_reading(text):
    """An independent oracle: as many steps as lines with text in them."""
    with_text = sum(1 for line in text.split("\n") if line.strip())
    assert len(segment(text, "lines").spans) == max(with_text, bool(text))


@pytest.mark.parametrize(
    ("name", "text", "steps"),
    [
        ("lines", "a\n\n  \nb\nc", ["a\n\n  \n", "b\n", "c"]),
        ("lines", "\n\na\nb\n", ["\n\na\n", "b\n"]),
        ("lines", " \n ", [" \n "]),
        ("lines", "a\r\nb\rc\u2028d", ["a\r\n", "b\rc\u2028d"]),
        ("paragraphs", "a\nb\n\n\nc\n \nd\n", ["a\nb\n\n\n", "c\n \n", "d\n"]),
        ("paragraphs", "\n\na\nb", ["\n\na\nb"]),
        ("sentences", "It is 3.5 m. So we stop! Done.\n", ["It is 3.5 m.", " So we stop!", " Done.\n"]),
        ("sentences", "1. Add e.g. two (or so). Then\nstop", ["1. Add e.g. two (or so).", " Then\n", "stop"]),
        ("sentences", "算二。得三！完", ["算二。", "得三！", "完"]),
        ("sentences", 'He said "no." We left... Fine', ['He said "no."', " We left...", " Fine"]),
        ("numbered", "Plan:\n1. a\nb\n2) c\n**Step 3** d", ["Plan:\n", "1. a\nb\n", "2) c\n", "**Step 3** d"]),
        ("numbered", "3.5 is\n12.7 no", ["3.5 is\n12.7 no"]),
        # Four paragraphs, then a marker; the next one comes too early.
        (
            "markers",
            "a\n\nb\n\nc\n\nd\n\nWait, no.\n\nBut wait\n\nx\n\nAlternatively, y\n\nWaiting\n",
            ["a\n\nb\n\nc\n\nd\n\n", "Wait, no.\n\nBut wait\n\nx\n\n", "Alternatively, y\n\nWaiting\n"],
        ),
        ("markers", "Wait\n\nWait\n\nWait\n\n**But hold on**", ["Wait\n\nWait\n\nWait\n\n", "**But hold on**"]),
        ("markers", "a\nb\nc\nd\nWait", ["a\nb\nc\nd\nWait"]),
        ("marker_lines", "a\nb\nc\nWait\nd\nwait\nIs there another way to think about this?",
         ["a\nb\nc\n", "Wait\nd\nwait\n", "Is there another way to think about this?"]),
        (
            "tool_turns",
            "I ask.\n<tool_call>\n{}\n</tool_call>\n\n<tool_response>\n5\n</tool_response>\nSo 5.\nDone",
            ["I ask.\n<tool_call>\n{}\n</tool_call>\n\n", "<tool_response>\n5\n</tool_response>\n", "So 5.\nDone"],
        ),
        (
            "tool_turns",
            "Run:\n```python\nprint(1)\n```\n```output\n1\n```\nNow\n```python\n2\n```",
            ["Run:\n```python\nprint(1)\n```\n", "```output\n1\n```\n", "Now\n```python\n2\n```"],
        ),
        # Nobody closed the call, nor the result; two results in a row; a fence of no program.
        ("tool_turns", "<search>x\n<information>y", ["<search>x\n", "<information>y"]),
        ("tool_turns", "<code>1</code><interpreter>1</interpreter> <interpreter>2</interpreter>",
         ["<code>1</code>", "<interpreter>1</interpreter> ", "<interpreter>2</interpreter>"]),
        ("tool_turns", "```text\na\n```\nb </tool_call>", ["```text\na\n```\nb </tool_call>"]),
        ("lines*2", "a\nb\nc\n", ["a\nb\n", "c\n"]),
        ("markers*1", "a\n\nb", ["a\n\nb"]),
    ],
)  # fmt: skip
def test_hand_worked_cuts(name, text, steps):
    assert texts(segment(text, name), text) == steps


def test_merging_evenly_and_into_the_tail():
    text = "a\nb\nc\nd\ne\n"
    assert texts(segment(text, "lines", 2), text) == ["a\nb\n", "c\nd\ne\n"]
    assert texts(segment(text, "lines", 3, "tail"), text) == ["a\n", "b\n", "c\nd\ne\n"]
    assert [segment(text, "lines", m).label for m in (5, 3)] == ["lines", "lines/3"]
    assert segment(text, "lines", 3, "tail").label == "lines/3-tail"


@given(st.integers(1, 200), st.integers(1, 50))
def test_even_merging_is_even(n, most):
    cut = segment("x\n" * n, "lines", most)
    sizes = [(end - start) // 2 for start, end in cut.spans]
    assert sum(sizes) == n and max(sizes) - min(sizes) <= 1 and len(sizes) == min(n, most)


def test_what_nobody_knows_is_a_user_error():
    with pytest.raises(UserError, match="did you mean 'lines'"):
        segment("a", "line")
    with pytest.raises(UserError, match="joins no number of steps"):
        segment("a", "lines*0")
    with pytest.raises(UserError, match="not a segmenter's label"):
        segment_like("a", "lines/x")
    with pytest.raises(ValueError, match="at least 1"):
        segment("a", "lines", 0)


@pytest.mark.parametrize("name", sorted(SEGMENTERS))
@pytest.mark.parametrize("unit", [".", ". ", ".)", "\n", " \n", "1. ", "Step 1\n", "。", "!?…", " " * 40, "Wait\n\n",
                                  "<tool_call>", "</tool_call>", "<search>\n<information>", "```python\n", "```", "<",
                                  "</search>" + " " * 90])  # fmt: skip
def test_hostile_repetition_takes_linear_time(name, unit):
    text = unit * (400_000 // len(unit))
    began = time.process_time()
    segment(text, name, 64)
    assert time.process_time() - began < 3


def test_joined_steps_are_named_by_their_label():
    text = "a\nb\nc\nd\ne\n"
    assert segment(text, "lines*2", 2).label == "lines*2/2" and segment(text, "lines*1").label == "lines"
    assert texts(segment(text, "lines*2"), text) == ["a\nb\n", "c\nd\n", "e\n"]
    assert segment(text, "lines*9").label == "lines*9", "even where all steps are one"


@given(HOSTILE, st.sampled_from(["paragraphs", "lines"]), st.integers(1, 4))
def test_episodes_are_whole_blocks_and_at_least_so_many(text, by, least):
    """An independent reading of the rule: every episode but the last has at least `least` blocks."""
    ends = SEGMENTERS[by](text)
    kept = episodes(text, ends, least)
    assert set(kept) <= set(ends) and kept[-1:] == ends[-1:]
    places = [ends.index(end) + 1 for end in kept]
    assert all(b - a >= least for a, b in pairwise([0, *places[:-1]]))
    assert all(
        text[end:].lstrip(" *_>#-").lower().startswith(("wait", "but", "alter", "is there")) for end in kept[:-1]
    )


# -- thoughts -------------------------------------------------------------------------------------------------------


def test_hand_worked_thoughts():
    assert merge_runs([True, True, False, True]) == ((0, 0, 1, 2), ((0, 2), (2, 3), (3, 4)))
    assert merge_runs([None, None, "good", "good"]) == ((0, 1, 2, 2), ((0, 1), (1, 2), (2, 4)))
    assert merge_runs([float("nan")] * 2) == ((0, 1), ((0, 1), (1, 2)))
    assert merge_runs([]) == ((), ())
    assert (
        merge_groups([2, 4, 6, 8, 9], 2) == [4, 8, 9] and merge_groups([2, 4], 2) == [4] and merge_groups([], 3) == []
    )
    with pytest.raises(ValueError, match="at least 1"):
        merge_groups([1], 0)


@given(st.lists(st.sampled_from([None, True, False])))
def test_thoughts_tile_and_neighbours_differ(labels):
    ids, spans = merge_runs(labels)
    assert [step for start, end in spans for step in range(start, end)] == list(range(len(labels)))
    assert all(set(ids[start:end]) == {thought} for thought, (start, end) in enumerate(spans))
    assert all(len({labels[k] for k in range(start, end)}) == 1 for start, end in spans)
    assert all(labels[a[0]] is None or labels[b[0]] is None or labels[a[0]] != labels[b[0]] for a, b in pairwise(spans))


@given(st.lists(st.integers(1, 9), max_size=30), st.integers(1, 5))
def test_groups_hold_so_many_but_for_the_last(sizes, k):
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    assert merge_groups(ends, k) == [ends[min(i + k, len(ends)) - 1] for i in range(0, len(ends), k)]


# -- tokens ---------------------------------------------------------------------------------------------------------


@st.composite
def tokenised(draw):
    text = draw(HOSTILE)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=30)))
    ends = [*cuts, len(text)] if draw(st.booleans()) else cuts
    return text, ends


@given(tokenised(), NAMES, st.integers(1, 6))
def test_token_ranges_tile_and_follow_the_largest_overlap(case, name, most):
    text, ends = case
    spans = segment(text, name, most).spans
    ranges = token_ranges(spans, ends)
    assert len(ranges) == len(spans)
    if not spans:
        return
    assert [r.start for r in ranges] == [0, *[r.end for r in ranges[:-1]]] and ranges[-1].end == len(ends)
    starts = [0, *ends[:-1]]
    for step, (low, high) in enumerate(ranges):
        for token in range(low, high):
            start, end = starts[token], ends[token]
            overlaps = [max(0, min(end, s.end) - max(start, s.start)) for s in spans]
            if end > start:  # a slow, independent reading of the rule
                assert overlaps.index(max(overlaps)) == step


@given(st.lists(st.integers(-5, 60), max_size=20), HOSTILE.filter(bool))
def test_nonsense_ends_still_tile(ends, text):
    ranges = token_ranges(segment(text, "lines").spans, ends)
    assert ranges[0].start == 0 and ranges[-1].end == len(ends)
    assert all(a.end == b.start and a.start <= a.end for a, b in pairwise(ranges))


def test_hand_worked_tokens():
    spans = segment("ab\ncd\n").spans  # [0,3) [3,6)
    # tokens: "ab" | "\n" | "cd" | "\n" | stop
    assert token_ranges(spans, [2, 3, 5, 6, 6]) == [Span(0, 2), Span(2, 5)]
    # "b\nc" has two characters in the first step and one in the second
    assert token_ranges(spans, [1, 4, 6]) == [Span(0, 2), Span(2, 3)]
    # "\nc" is half and half: the earlier step
    assert token_ranges(spans, [2, 4, 6]) == [Span(0, 2), Span(2, 3)]
    # an emoji of four tokens opens the second step; its first three own no character
    assert token_ranges([Span(0, 2), Span(2, 3)], [1, 2, 2, 2, 2, 3, 3]) == [Span(0, 2), Span(2, 7)]
    # a token that swallows a whole step leaves it an empty range
    assert token_ranges([Span(0, 3), Span(3, 4), Span(4, 9)], [9]) == [Span(0, 0), Span(0, 0), Span(0, 1)]
    assert token_ranges([], []) == []
    assert token_ranges(spans, []) == [Span(0, 0), Span(0, 0)]


@settings(max_examples=10, deadline=None)
@given(st.integers(20_000, 40_000))
def test_tokens_of_a_long_completion_are_fast(n):
    text = "abc\n" * n
    began = time.process_time()
    ranges = token_ranges(segment(text).spans, list(range(2, len(text) + 1, 2)))
    assert ranges[-1].end == 2 * n and time.process_time() - began < 2
