"""Every message that the troubleshooting page explains is one that the code gives."""

from __future__ import annotations

import ast
import functools
import re

import pytest
from code_modules import read_modules

from support.pages import DOCS, ROOT

PAGE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
OTHERS = "## From other programs"
SHELL = "command not found"
GAP = "…"


def _messages() -> list[str]:
    """What stands between backticks in the first column, of the tables of our own messages."""
    rows = re.findall(r"^\| (.+?) \|", PAGE.partition(OTHERS)[0], re.MULTILINE)
    found = [message for row in rows for message in re.findall(r"`([^`]+)`", row) if SHELL not in message]
    return [message for message in found if " " in message]


@functools.cache
def _texts() -> list[str]:
    """Every text of the code, a gap for what is filled in."""
    found = []
    for module in read_modules(ROOT):
        for node in ast.walk(ast.parse(module.text)):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else GAP for part in node.values)
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_there_are_messages() -> None:
    assert len(_messages()) > 15


@pytest.mark.parametrize("message", _messages())
def test_a_message_is_one_that_the_code_gives(message: str) -> None:
    pieces = [piece.strip() for piece in message.split(GAP) if piece.strip()]
    assert any(all(piece in text for piece in pieces) for text in _texts())
