"""Bars that open and close absolute values: many of them are refused, not paired for seconds."""

from __future__ import annotations

import time

import pytest

from synthflow.verifiers.answers.comparing.compare import compare

SHAPES = {
    "nested": lambda n: "|" * n + "x" + "|" * n,
    "spaced": lambda n: "| " * n + "x" + " |" * n,
    "sums": lambda n: "|1+" * n + "x" + "|" * n,
    "products": lambda n: "2|x|" * n,
    "never closed": lambda n: "|2" * n + "x",
    "norms": lambda n: r"\|" * n + "x" + r"\|" * n,
    "named": lambda n: r"\vert " * n + "x" + r"\vert " * n,
}


@pytest.mark.parametrize("count", [9, 30, 90, 400])
@pytest.mark.parametrize("shape", SHAPES)
def test_many_bars_cost_little(shape: str, count: int) -> None:
    compare(["|x|", "|y|"])  # what is loaded once is loaded
    text = SHAPES[shape](count)
    for pair in (["5", text], [text, "5"], [text, text + "+1"]):
        started = time.process_time()
        said = compare(pair)
        assert time.process_time() - started < 0.5
        assert not said.get("equal")


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("|||x|||", "|x|", True),
        ("|x-1|+|x-2|+|x-3|+|x-4|+|x-5|", "|x-5|+|x-4|+|x-3|+|x-2|+|x-1|", True),
        ("|x-1|+|x-2|+|x-3|+|x-4|+|x-5|", "|x-5|+|x-4|+|x-3|+|x-2|+|x-2|", False),
    ],
)
def test_a_few_are_read(gold: str, answer: str, equal: bool) -> None:
    assert compare([gold, answer])["equal"] is equal
