"""The journal keeps what reached it, whatever happens to its last bytes."""

from __future__ import annotations

import math
import threading
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.contracts import FinishReason, SampleResult
from synthflow.stores import journal
from synthflow.stores.journal import (
    JournalWriter,
    Standing,
    answered,
    decode,
    encode,
    lookup,
    place,
    tokens_spent,
)
from synthflow.stores.segments import segments

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
RESULTS = st.builds(
    SampleResult,
    rollout_id=st.from_regex(r"r_[0-9a-f]{24}", fullmatch=True),
    text=st.text(st.characters(), max_size=60),  # lone surrogates included
    finish_reason=st.sampled_from(["stop", "length", "refused"]),
    token_ids=st.none() | st.lists(st.integers(0, 2**31 - 1), max_size=20).map(tuple),
    logprobs=st.none() | st.lists(FLOATS, max_size=20).map(tuple),
    sampling_logprobs=st.none() | st.lists(FLOATS, max_size=5).map(tuple),
    n_tokens=st.integers(0, 10_000),
    prompt_tokens=st.integers(0, 10_000),
    reason=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    elapsed_s=st.floats(0, 1e6),
)
SCORES = st.builds(
    SampleResult,
    rollout_id=st.from_regex(r"l_[0-9a-f]{24}", fullmatch=True),
    text=st.just(""),
    finish_reason=st.just("stop"),
    logprobs=st.lists(FLOATS | st.just(float("-inf")), max_size=20).map(tuple),
    prompt_tokens=st.integers(0, 10_000),
    entropies=st.lists(FLOATS, max_size=20).map(tuple),
    entropies_exact=st.booleans(),
)


def problem(n: int) -> str:
    return f"p_{n:08x}{'0' * 16}"


def result(n: int, text: str = "x") -> SampleResult:
    return SampleResult(f"r_{n:024x}", text, "stop", (1, 2), (-0.5, -0.25), n_tokens=2)


@settings(max_examples=200, deadline=None)
@given(RESULTS | SCORES)
def test_a_line_gives_back_what_was_written(written: SampleResult) -> None:
    line = encode(written, problem(1), 7)
    assert line.count(b"\n") == 1
    found = decode(line.rstrip(b"\n"))
    assert found == (7, written)


def test_lines_of_older_journals_are_read_and_new_ones_are_no_longer_without_scores() -> None:
    body = (
        b'{"id":"r_1","problem":"p_1","t":7,"text":"eA==","finish":"stop","tokens":"AQAAAA==","logprobs":"AAAAvw==",'
        b'"sampling_logprobs":null,"n_tokens":1,"prompt_tokens":3,"reason":null,"elapsed_s":0.5}'
    )
    old = SampleResult("r_1", "x", "stop", (1,), (-0.5,), n_tokens=1, prompt_tokens=3, elapsed_s=0.5)
    assert decode(b"%08x %s" % (zlib.crc32(body), body)) == (7, old)
    assert encode(old, "p_1", 7) == b"%08x %s\n" % (zlib.crc32(body), body)


def test_scores_that_are_no_numbers_come_back_as_such() -> None:
    told = SampleResult("l_1", "", "stop", logprobs=(math.nan, -math.inf), entropies=(math.nan,), entropies_exact=True)
    found = decode(encode(told, "p_1", 7).rstrip(b"\n"))
    assert found is not None and str(found[1]) == str(told)


def test_cut_at_every_byte_of_its_last_record_it_owes_only_that(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, [problem(1)], 1)
    for n in range(3):
        writer.append(result(n), problem(1))
    writer.close()
    whole = writer.path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    wanted = [result(n).rollout_id for n in range(3)]
    for cut in range(last, len(whole)):
        writer.path.write_bytes(whole[:cut])
        found = lookup(tmp_path, [problem(1)], wanted)
        # Without its newline the line may already check: then it is whole.
        assert set(wanted[:2]) <= set(found) <= set(wanted)
        assert (wanted[2] in found) == (cut == len(whole) - 1)


@given(st.integers(0, 200), st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_a_damaged_byte_is_never_read_as_something_else(at: int, value: int) -> None:
    line = encode(result(1, "a text that matters"), problem(1), 3).rstrip(b"\n")
    at %= len(line)
    damaged = line[:at] + bytes([value]) + line[at + 1 :]
    if damaged.lower() != line.lower():
        assert decode(damaged) is None


def test_only_segments_whose_range_overlaps_are_read(tmp_path: Path) -> None:
    for low, high in ((0, 9), (10, 19), (5, 14)):
        writer = JournalWriter(tmp_path, [problem(low), problem(high)], 1)
        writer.append(result(low), problem(low))
        writer.close()
    assert len(segments(tmp_path, [problem(3)])) == 1
    assert len(segments(tmp_path, [problem(7)])) == 2
    assert len(segments(tmp_path, [problem(0), problem(30)])) == 3
    assert segments(tmp_path, [problem(25)]) == []


def test_what_nobody_wants_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JournalWriter(tmp_path, [problem(1)], 1)
    for n in range(100):
        writer.append(result(n), problem(1))
    writer.close()
    decoded = []
    real = journal.record_of
    monkeypatch.setattr(journal, "record_of", lambda line: decoded.append(line) or real(line))
    found = lookup(tmp_path, [problem(1)], [result(7).rollout_id, result(500).rollout_id])
    assert list(found.values()) == [result(7)]
    assert len(decoded) == 1


def test_of_two_records_of_one_rollout_the_earlier_counts(tmp_path: Path) -> None:
    for name, at, text in (("a", 20, "later"), ("b", 10, "earlier")):
        path = tmp_path / f"00000001-00000001.{name}.jsonl"
        path.write_bytes(encode(result(1, text), problem(1), at))
    found = lookup(tmp_path, [problem(1)], [result(1).rollout_id])
    assert found[result(1).rollout_id].text == "earlier"


def test_an_answer_counts_before_an_earlier_refusal(tmp_path: Path) -> None:
    """What was asked again after a refusal has two records."""
    refused = replace(result(1, ""), finish_reason="refused", reason="no")
    for name, at, record in (("a", 10, refused), ("b", 20, result(1, "said")), ("c", 30, result(1, "again"))):
        (tmp_path / f"00000001-00000001.{name}.jsonl").write_bytes(encode(record, problem(1), at))
    found = lookup(tmp_path, [problem(1)], [refused.rollout_id])
    assert found[refused.rollout_id].text == "said"


@pytest.mark.parametrize("ending", ["refused", "failed", "poison"])
def test_which_records_without_an_answer_count(ending: FinishReason, tmp_path: Path) -> None:
    """Those of attempts that ended, if nobody asked again since, and those of the attempt that looks."""
    for attempt in range(1, 6):
        writer = JournalWriter(tmp_path, [problem(1)], attempt)
        writer.append(replace(result(attempt, ""), finish_reason=ending, reason="no"), problem(1))
        writer.append(result(10 + attempt), problem(1))
        writer.close()
    ids = [result(n).rollout_id for n in (*range(1, 6), *range(11, 16))]

    def counted(standing: Standing) -> set[int]:
        found = lookup(tmp_path, [problem(1)], ids, standing=standing)
        places = set(answered(tmp_path, [problem(1)], standing).tolist())
        assert places == {place(rollout) for rollout in found}, "a plan counts what a run finds"
        assert {result(n).rollout_id for n in range(11, 16)} <= set(found), "an answer always counts"
        return {n for n in range(1, 6) if result(n).rollout_id in found}

    assert counted(Standing(5, 4)) == {1, 2, 3, 4, 5}
    assert counted(Standing(5, 2)) == {1, 2, 5}, "attempts 3 and 4 did not end"
    assert counted(Standing(5, 4, {ending: 3})) == {3, 4, 5}, "attempt 3 asked again"
    assert counted(Standing(5, 4, {"stop": 3})) == {1, 2, 3, 4, 5}


def test_notes_and_where_an_answer_begins_come_back() -> None:
    told = replace(result(1), notes=("seed was not sent",), answer_start=9, n_tokens=None, prompt_tokens=None)
    assert decode(encode(told, problem(1), 5).rstrip(b"\n")) == (5, told)
    plain = encode(result(1), problem(1), 5)
    assert b"notes" not in plain and b"answer" not in plain


def test_many_threads_write_whole_lines(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, [problem(1)], 1)

    def write(start: int) -> None:
        for n in range(start, start + 50):
            writer.append(result(n, "x" * 500), problem(1))

    threads = [threading.Thread(target=write, args=(k * 50,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    writer.close()
    assert len(lookup(tmp_path, [problem(1)], [result(n).rollout_id for n in range(200)])) == 200


def test_a_full_disk_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    from synthflow.errors import NoSpace

    writer = JournalWriter(tmp_path, [problem(1)], 1)
    writer.append(result(1), problem(1))
    before = writer.path.read_bytes()
    real = os.write

    def full(fd: int, data: bytes) -> int:
        real(fd, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(NoSpace, match="make room"):
        writer.append(result(2), problem(1))
    monkeypatch.undo()
    assert writer.path.read_bytes() == before
    writer.append(result(3), problem(1))
    writer.close()
    assert len(lookup(tmp_path, [problem(1)], [result(n).rollout_id for n in range(4)])) == 2


def test_what_was_answered_is_counted_by_place_and_what_it_took_in_tokens(tmp_path: Path) -> None:
    for attempt, numbers in ((1, (1, 2)), (2, (2, 3))):
        writer = JournalWriter(tmp_path, [problem(1)], attempt)
        for n in numbers:
            # `place` looks at the first 64 of an id's 96 bits
            writer.append(SampleResult(f"r_{n:016x}{'0' * 8}", "x", "stop", n_tokens=10), problem(1))
        writer.append(SampleResult(f"l_{attempt:024x}", "", "stop", n_tokens=5), problem(1))
        writer.close()
    [_, last] = sorted(tmp_path.iterdir())
    torn = encode(SampleResult(f"r_{9:016x}{'0' * 8}", "x", "stop", n_tokens=10), problem(1), 1)[:-9]
    last.write_bytes(last.read_bytes() + torn)
    found = answered(tmp_path, [problem(1)], Standing(3, 2))
    assert set(found.tolist()) == {0, 1, 2, 3}, "0 is of both readings"
    assert place(f"r_{3:016x}{'f' * 8}") == 3
    assert answered(tmp_path, [problem(2)], Standing(3, 2)).size == 0, "another range of problems"
    assert tokens_spent(tmp_path) == 4 * 10 + 2 * 5, "a record that was paid twice counts twice, a torn one not at all"
    writer = JournalWriter(tmp_path, [problem(1)], 3)
    writer.append(SampleResult(f"r_{4:016x}{'0' * 8}", "né", "stop", n_tokens=None), problem(1))
    writer.close()
    assert tokens_spent(tmp_path) == 50 + 3, "bytes of what nobody counted"
