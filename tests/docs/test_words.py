"""On the way of a newcomer, from the README through the tutorial, every word is explained where it is first met."""

from __future__ import annotations

import re

import pytest

from support.pages import DOCS, ROOT, TUTORIAL, prose

PATH = [ROOT / "README.md", *TUTORIAL]
WORDS = re.findall(r"^\| ([a-z][a-z ]+) \|", (DOCS / "concepts.md").read_text(encoding="utf-8"), re.MULTILINE)
ORDINARY = ("word", "value of a step", "view", "config", "export")
"""Words that mean on the way what they mean anywhere, until they stand in bold."""


def _read() -> str:
    """What is read on the way, in order, without commands, code and the targets of links."""
    text = "\n".join(prose(page) for page in PATH)
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "", text))


def test_the_words_are_those_of_the_concepts() -> None:
    assert {"problem", "policy", "rollout", "verdict", "journal", "release"} <= set(WORDS)


def _unexplained(word: str, text: str) -> str | None:
    """Where a word is first met, unless it stands in bold there; None where it is, or is never met."""
    stem = word.removesuffix("y") + "(?:y|ies)" if word.endswith("y") else f"{word}s?"
    first = re.search(rf"\b{stem}\b", text, re.IGNORECASE)
    bold = [found.span() for found in re.finditer(r"\*\*.+?\*\*", text, re.DOTALL)]
    if first is None or any(start < first.start() < end for start, end in bold):
        return None
    return text[max(first.start() - 60, 0) : first.end() + 20]


@pytest.mark.parametrize("word", [word for word in WORDS if word not in ORDINARY])
def test_a_word_is_explained_where_it_is_first_met(word: str) -> None:
    assert _unexplained(word, _read()) is None


def test_a_word_that_comes_too_early_is_found() -> None:
    assert _unexplained("rollout", "**Problems** have rollouts. A **rollout** is an answer.") is not None
    assert _unexplained("policy", "Two **policies** are compared; a policy is a model.") is None
