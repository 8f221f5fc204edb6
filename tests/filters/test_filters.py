"""Filters annotate: same height, same order, a reason for every dropped row, whatever the text."""

from __future__ import annotations

import importlib.util
import random
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from synthflow.contracts import Filter
from synthflow.filters.duplicates import DuplicatesConfig, DuplicatesFilter
from synthflow.filters.format import FormatConfig, FormatFilter
from synthflow.filters.length import LengthConfig, LengthFilter
from synthflow.filters.repetition import RepetitionConfig, RepetitionFilter
from synthflow.io.json_lines import json_rows
from synthflow.registry import load


def rollouts(*completions: str, **columns: list[Any]) -> pl.DataFrame:
    n = len(completions)
    base: dict[str, Any] = {
        "rollout_id": [f"r_{i:03d}" for i in range(n)],
        "problem_id": ["p_1"] * n,
        "condition": ["none"] * n,
        "completion": list(completions),
        "finish_reason": ["stop"] * n,
        "n_tokens": [len(c.split()) for c in completions],
    }
    schema = dict.fromkeys(base, pl.String) | {"n_tokens": pl.Int32}
    return pl.DataFrame(base | columns, schema_overrides=schema)


def kept(filter_: Filter, frame: pl.DataFrame) -> list[bool]:
    return filter_.judge(frame)["keep"].to_list()


STRICT: list[Filter] = [
    LengthFilter(LengthConfig(min_tokens=1, max_tokens=50, min_chars=1, max_chars=1000, drop_truncated=True)),
    FormatFilter(FormatConfig(exactly_one_box=True, think="required", answer_line_last=True, max_line_chars=100)),
    FormatFilter(FormatConfig(think="balanced", think_opened_by_prompt=True)),
    DuplicatesFilter(),
    DuplicatesFilter(DuplicatesConfig(ignore_whitespace=False)),
    RepetitionFilter(),
    RepetitionFilter(RepetitionConfig(dup_line_frac=0.3, dup_para_char_frac=0.2, top_n_grams={2: 0.2})),
    LengthFilter(),
    FormatFilter(),
]


def check(filter_: Filter, frame: pl.DataFrame) -> None:
    found = filter_.judge(frame)
    assert found.columns == ["keep", "value", "reason"]
    assert found.schema == {"keep": pl.Boolean, "value": pl.Float64, "reason": pl.String}
    assert found.height == frame.height
    assert (found["keep"] == found["reason"].is_null()).all()
    assert (found["value"] == found["keep"].cast(pl.Float64)).all()
    assert found["keep"].null_count() == found["value"].null_count() == 0
    assert (found["reason"].drop_nulls() != "").all()


TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.text(alphabet="\\boxed{}<think>/ \n1a\x00\ufffd", max_size=200),
    st.builds(lambda t, n: t * n, st.text(st.characters(exclude_categories=["Cs"]), max_size=8), st.integers(0, 200)),
)


@pytest.mark.parametrize("filter_", STRICT, ids=lambda f: f.name)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(TEXT, max_size=6))
def test_any_texts_are_annotated(filter_: Filter, texts: list[str]) -> None:
    check(filter_, rollouts(*texts))


@pytest.mark.parametrize("filter_", STRICT, ids=lambda f: f.name)
def test_row_order_cannot_matter(filter_: Filter) -> None:
    frame = rollouts("a b", "a  b", "\\boxed{1}", "c", "c", "x " * 300, "", "a b")
    there = frame.select("rollout_id").hstack(filter_.judge(frame)).sort("rollout_id")
    turned = frame.reverse()
    back = turned.select("rollout_id").hstack(filter_.judge(turned)).sort("rollout_id")
    assert there.equals(back)


HOSTILE = [
    "", " ", "\x00" * 1000, "x" * 5_000_000, "ab " * 1_700_000, "\n" * 3_000_000, "🙂" * 1_000_000, "\u200d" * 10**6,
    "\\boxed{" * 700_000, "<think>" * 700_000, "answer is " * 500_000, "\ufffd" * 10**6, "é" * 10**6, "IS_ALPHA" * 10,
    "字" * 10**6, "1" * 10**6 + "\n" + "2" * 10**6, "(" * 10**6, "http://" + "a." * 10**6, "a\u0301" * 10**6,
    "'" * 10**6, "a-" * 10**6,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("filter_", STRICT[:6], ids=lambda f: f.name)
def test_hostile_texts_neither_crash_nor_stall(filter_: Filter) -> None:
    for text in HOSTILE:
        started = time.process_time()
        check(filter_, rollouts(text))
        assert time.process_time() - started < 20, text[:20]


@pytest.mark.parametrize("filter_", STRICT, ids=lambda f: f.name)
def test_lone_surrogates_never_reach_a_frame(filter_: Filter) -> None:
    """They have no UTF-8 form, so whoever builds the table replaces them; what replaces them is judged."""
    check(filter_, rollouts("a\ud800b".encode("utf-8", "replace").decode()))


@pytest.mark.parametrize("name", ["length", "format", "duplicates", "repetition"])
def test_filters_are_registered_under_their_names(name: str) -> None:
    cls = load("filters", name)
    assert cls.name == name and issubclass(cls, Filter)
    check(cls(), rollouts())
    with pytest.raises(ValidationError, match="extra"):
        cls.Config.model_validate({"no_such_field": 1})


def test_length_bounds_are_inclusive_and_reasons_carry_numbers() -> None:
    frame = rollouts("a", "a b", "a b c", "a b c d", finish_reason=["stop", "stop", "length", "stop"])
    found = LengthFilter(LengthConfig(min_tokens=2, max_tokens=3, max_chars=5, drop_truncated=True)).judge(frame)
    assert found["reason"].to_list() == [
        "1 tokens, fewer than 2",
        None,
        "truncated",
        "4 tokens, more than 3; 7 characters, more than 5",
    ]


def test_characters_are_code_points() -> None:
    assert kept(LengthFilter(LengthConfig(max_chars=1)), rollouts("🙂", "ab")) == [True, False]


def test_bounds_that_leave_no_room_are_a_mistake() -> None:
    with pytest.raises(ValidationError, match="nothing would be kept"):
        LengthConfig(min_tokens=5, max_tokens=4)


def test_an_empty_completion_is_dropped_by_default() -> None:
    assert kept(LengthFilter(), rollouts("", "a")) == [False, True]


@pytest.mark.parametrize(
    ("config", "good", "bad"),
    [
        ({"exactly_one_box": True}, [r"\boxed{1}", r"<think>\boxed{2}</think>\boxed{1}"], ["1", r"\boxed{1}\boxed{2}"]),
        ({"think": "optional"}, ["a", "<think>a</think>b"], ["<think>a", "a</think>", "</think><think>"]),
        ({"think": "required"}, ["<think>a</think>b"], ["a", "<think>a", "<think></think><think></think>"]),
        ({"think": "balanced"}, ["a", "<think>a</think>b<think>c</think>"], ["<think><think></think></think>"]),
        ({"think": "required", "think_opened_by_prompt": True}, ["a</think>b"], ["a", "<think>a</think>b"]),
        (
            {"answer_line_last": True},
            ["x\n\\boxed{1}\n \n", "So the answer is 5.", "a\n#### 5", "The answer is 3\nno:\nthe answer is 4."],
            ["x", "\\boxed{1}\nThanks for reading", "The answer is 5.\nI hope it is right"],
        ),
        ({"max_line_chars": 5}, ["abcde\nabcde", ""], ["abcdef", "a\nabcdef\n"]),
        ({}, ["é字🙂\n\t", "👨‍👩‍👧"], ["a\ufffd", "\x00\x01\x02a"]),
        ({"max_replacement_chars": 1}, ["a" * 50 + "\ufffd"], ["a\ufffd\ufffd"]),
    ],
)
def test_format_rules(config: dict[str, Any], good: list[str], bad: list[str]) -> None:
    judged = FormatFilter(FormatConfig(**config)).judge(rollouts(*good, *bad))
    assert judged["keep"].to_list() == [True] * len(good) + [False] * len(bad), judged["reason"].to_list()


def test_duplicates_keep_the_smallest_id_within_problem_and_condition() -> None:
    frame = rollouts(
        "same", "same", " same\n", "other", "same", "same",
        rollout_id=["r_c", "r_a", "r_b", "r_d", "r_e", "r_f"],
        problem_id=["p1", "p1", "p1", "p1", "p2", "p1"],
        condition=["none"] * 5 + ["hint"],
    )  # fmt: skip
    found = DuplicatesFilter().judge(frame)
    assert found["reason"].to_list() == ["duplicate of r_a", None, "duplicate of r_a", None, None, None]
    exact = DuplicatesFilter(DuplicatesConfig(ignore_whitespace=False)).judge(frame)
    assert exact["keep"].to_list() == [False, True, True, True, True, True]


def test_loops_are_dropped_with_the_measured_share_and_prose_is_kept() -> None:
    prose = (
        "Ruben's ferry took fifty one passengers over the lake before noon, and only a third as many after it. To find "
        "how many crossed the lake altogether we first divide the number before noon, which gives seventeen, and then "
        "add both halves: that makes sixty eight people. Checking: the afternoon is quieter than the morning, as the "
        "story says it must be, so nothing contradicts our sum, and the final count follows from what has been said "
        "before."
    )
    loop = prose + " Wait, let me check again." * 60
    lines = prose + "\n" + "So x = 3.\n" * 100
    found = RepetitionFilter().judge(rollouts(prose, loop, lines, "short short short", "", prose))
    reasons = found["reason"].to_list()
    assert [r is None for r in reasons] == [True, False, False, True, False, True]
    assert reasons[1].startswith("duplicated_10_n_grams: ") and reasons[1].endswith("above 0.4")
    assert reasons[4] == "empty"
    share = float(reasons[1].split(": ")[1].split(",")[0].split(" ")[0])
    assert 0.4 < share <= 1.01
    by_line = RepetitionFilter(RepetitionConfig(dup_line_frac=0.3)).judge(rollouts(lines))["reason"][0]
    assert by_line.startswith("dup_line_frac: 0.9") and by_line.endswith("above 0.3")


SPEC = importlib.util.spec_from_file_location("repetition", Path(__file__).parents[2] / "benchmarks" / "repetition.py")
assert SPEC is not None and SPEC.loader is not None
benchmark = importlib.util.module_from_spec(SPEC)
sys.modules["repetition"] = benchmark  # its dataclass looks its module up
SPEC.loader.exec_module(benchmark)

CHAMP = [row.values for row in json_rows(str(Path(__file__).parents[1] / "data" / "champ" / "answers.jsonl.gz"))]


def test_answers_of_real_models_are_kept_and_their_loops_dropped() -> None:
    found = kept(RepetitionFilter(), rollouts(*(row["text"] for row in CHAMP)))
    assert found == [not row["loop"] for row in CHAMP]
    assert sum(row["flawless"] for row in CHAMP) == 96 and sum(row["loop"] for row in CHAMP) == 5
    web = kept(RepetitionFilter(benchmark.GOPHER), rollouts(*(row["text"] for row in CHAMP if row["flawless"])))
    assert web.count(False) == 41, "Gopher's limits are for web pages"


@pytest.mark.parametrize("unit", benchmark.UNITS)
def test_loops_planted_in_flawless_answers_are_dropped(unit: str) -> None:
    flawless, rng = [str(row["text"]) for row in CHAMP if row["flawless"]][::4], random.Random(0)
    found = {n: [benchmark.planted(text, unit, n, rng) for text in flawless] for n in (1000, 2000)}
    shares = {n: kept(RepetitionFilter(), rollouts(*texts)).count(False) / len(texts) for n, texts in found.items()}
    assert shares[1000] > 0.5 and shares[2000] > 0.95


def test_the_end_of_an_endless_text_is_measured() -> None:
    (reason,) = RepetitionFilter().judge(rollouts("unique " + "la la la " * 50_000))["reason"].to_list()
    assert "of the last 2000 characters" in reason


def test_the_repetition_tokenizer_works_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert kept(RepetitionFilter(), rollouts("one two three " * 60)) == [False]
