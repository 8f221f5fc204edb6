"""What the pages on verifiers and filters show runs and gives what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from synthflow.verifiers.answers.comparing.limits import MAX_CELLS, MAX_DIGITS, MAX_EXPONENT, MAX_FACTORIAL, MAX_LENGTH
from synthflow.verifiers.math import MathVerifier

DOCS = Path(__file__).parents[2] / "docs"
MATH = (DOCS / "verify-math.md").read_text()
BLOCKS = [
    block
    for page in ("verification.md", "filters.md")
    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
]


@pytest.mark.parametrize("block", BLOCKS)
def test_examples_run(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block, "docs", "exec"), {})
    printed = capsys.readouterr().out
    for expected in re.findall(r"# (?:\w+: )?(.+)$", block, re.MULTILINE):
        assert expected in printed


def test_numbers_are_those_of_the_code() -> None:
    for number in (MAX_LENGTH, MAX_DIGITS, MAX_EXPONENT, MAX_FACTORIAL, MAX_CELLS):
        assert f"{number:,}" in MATH
    for field, info in MathVerifier.Config.model_fields.items():
        shown = f"`{info.default}`" if isinstance(info.default, str) else f"{info.default:g}"
        assert f"| `{field}` | {shown} |" in MATH


def test_every_reason_is_in_the_table() -> None:
    reasons = (MathVerifier.__doc__ or "").partition("Unknown reasons: ")[2].strip().rstrip(".").replace("\n", " ")
    for reason in re.split(r",\s*", reasons):
        assert f"| `{reason.strip()}` |" in MATH
