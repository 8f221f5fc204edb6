"""Which text of a completion is the program.

Invariants: a block is what stands between two fences, as Markdown has them and as models write them (in lists and
quotes, four backticks, `~~~`, text behind the closing fence, a closing fence at the end of the last line of code); one
that never closes is none. Nothing is parsed here: where a text may end in two places, both are given, and the first
that compiles, in the sandbox, is the program. Work is linear in the length of the completion.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PYTHON = ("python", "py", "python3", "py3", "pypy", "pypy3", "cpython")
_MAX_ENDS = 6
_PREFIX = re.compile(r"(?:[ \t>]|[-*+][ \t]|\d{1,3}[.)][ \t])*")
_FENCE = re.compile(r"(`{3,}|~{3,})[ \t]*(.*)")
_LANGUAGE = re.compile(r"[{.\s]{0,4}([A-Za-z0-9+#_-]*)")
_READS = re.compile(r"\binput\s?\(|\bstdin\b|\bopen\(\s?0\b|\bos\.read\(\s?0\b|\bfileinput\b|\binput\b")
_STATEMENT = re.compile(r"^(?:from|import|class|def|async|@\w|if __name__)\b", re.MULTILINE)
_BODY = re.compile(
    r"\s*\n?[ \t]+\S|(?:return|yield|raise|for|while|if|try|with|def|import|from|class)\b|[\w., \[\]]{1,80}[-+*/|&]?="
    r"|[\w.]{1,80}\("
)
_DEFINES = r"^[ \t]*(?:(?:async[ \t]+)?def|class)[ \t]+{name}\b|^{name}[ \t]*(?::[^=\n]*)?=(?!=)"


@dataclass(frozen=True, slots=True)
class Found:
    """`texts` are readings of the program, the likeliest first: the first that compiles is meant. With `fenced` unset
    the completion had no block and may not be a program at all: what does not compile then says nothing."""

    texts: tuple[str, ...]
    fenced: bool = True


@dataclass(frozen=True, slots=True)
class _Block:
    language: str
    ends: tuple[str, ...]


def find_program(answer: str, names: Sequence[str] = (), before: str = "") -> Found | None:
    """The program in an answer; None where there is none.

    Blocks that say they are Python go before those that say nothing. Among them it is the last that defines one of
    `names`, or, for a script, the last that reads its input; else the last.

    Args:
        answer: what follows the reasoning of a completion.
        names: the functions that will be called; none for a script.
        before: code that stands before the program, such as the open function that it completes.
    """
    text = answer.replace("\r\n", "\n").replace("\r", "\n").replace("\ufeff", "")
    blocks = [block for block in _blocks(text) if block.ends[0].strip()]
    python = [block for block in blocks if block.language in PYTHON]
    plain = [block for block in blocks if not block.language]
    for group in (python, plain):
        for block in reversed(group):
            if any(serves(code, names) for code in block.ends):
                return _composed(block.ends, before, names)
    if found := (python or plain)[-1:]:
        return _composed(found[0].ends, before, names)
    return None if blocks else _unfenced(text, names, before)


def serves(code: str, names: Sequence[str]) -> bool:
    """Whether a text defines what will be called, or reads an input."""
    if not names:
        return _READS.search(code) is not None
    return any(re.search(_DEFINES.replace("{name}", re.escape(name)), code, re.MULTILINE) for name in names)


def _unfenced(text: str, names: Sequence[str], before: str) -> Found | None:
    """A completion that is nothing but code, or goes on where `before` breaks off."""
    code = re.split(r"^[ \t]*(?:`{3,}|~{3,})", text, maxsplit=1, flags=re.MULTILINE)[0]
    if re.match(r"\s*(?:`{3,}|~{3,})", text) or not code.strip():
        return None  # a block that was opened first, and never closed
    if before and (_BODY.match(code) or serves(code, names)):
        first, rest = code.split("\n", 1) if "\n" in code else (code, "")
        body = re.split(r"^(?=\S)", rest, maxsplit=1, flags=re.MULTILINE)[0]
        texts = (*_composed((code,), before, names).texts, *_composed((f"{first}\n{body}",), before, names).texts)
        return Found(tuple(dict.fromkeys(texts)), fenced=False)
    if serves(code, names) and _STATEMENT.search(code) is not None:
        return Found((code,), fenced=False)
    return None


def _composed(ends: Sequence[str], before: str, names: Sequence[str]) -> Found:
    return Found(tuple(dict.fromkeys(text for code in ends for text in _behind(code, before, names))))


def _behind(code: str, before: str, names: Sequence[str]) -> Iterator[str]:
    """A program behind the code that stands before it: whole, a function alone, or the body of the open function."""
    opened = before.rstrip()
    if not opened:
        yield code
        if code.lstrip("\n")[:1].isspace():
            yield textwrap.dedent(code)
        return
    whole = bool(_STATEMENT.search(code)) and serves(code, names)
    if not whole:
        indent = _indent(opened)
        bodies = [code, indent + code.lstrip(), "\n".join(indent + line for line in code.split("\n"))]
        deep = code.lstrip("\n")[:1].isspace()
        yield from (f"{opened}\n{body}" for body in (bodies if deep else reversed(bodies)))
        yield code
        return
    yield f"{opened}\n\n{code}"
    starts = [match.start() for match in re.finditer(r"^(?:@|async |def |class )", opened, re.MULTILINE)]
    if starts:
        yield f"{opened[: starts[-1]]}\n{code}"
    yield code


def _indent(opened: str) -> str:
    """How far the body of the function that a text leaves open is indented."""
    last = opened.rpartition("\n")[2]
    space = last[: len(last) - len(last.lstrip())]
    return space + "    " if last.endswith(":") else space or "    "


def _blocks(text: str) -> Iterator[_Block]:
    if "```" not in text and "~~~" not in text:
        return
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        prefix, fence, info = _fence(lines[at])
        prefix, fence, info = (prefix, fence, info) if fence else _late(lines[at])
        if not fence or (fence[0] == "`" and "`" in info):
            at += 1
            continue
        ends = _ends(lines, at + 1, fence)
        closing = next((end for end, certain in ends if certain), ends[0][0] if ends else None)
        if closing is None:
            return
        language = _LANGUAGE.match(info)
        name = language[1].lower() if language else ""
        yield _Block(name, tuple(_content(lines[at + 1 : end + 1], prefix, fence) for end, _ in ends))
        reopened = _fence(lines[closing])[2]
        at = closing + (0 if reopened and _is_language(reopened) else 1)


def _fence(line: str) -> tuple[str, str, str]:
    """What stands before a fence, the fence, and what stands behind it; empty where a line has none."""
    if "```" not in line and "~~~" not in line:
        return "", "", ""
    prefix = _PREFIX.match(line)
    start = prefix.end() if prefix else 0
    found = _FENCE.match(line, start)
    return (line[:start], found[1], found[2].strip()) if found else ("", "", "")


def _late(line: str) -> tuple[str, str, str]:
    """The same of a fence of Python that opens at the end of a line of text."""
    before, fence, info = line.partition("```")
    info = info.lstrip("`").strip()
    return ("", fence, info) if before.strip() and _is_language(info) else ("", "", "")


def _ends(lines: Sequence[str], start: int, fence: str) -> list[tuple[int, bool]]:
    """Lines at which a block may close, and whether by a fence at their beginning."""
    found: list[tuple[int, bool]] = []
    for at in range(start, len(lines)):
        line = lines[at]
        if fence not in line:
            continue
        _, closing, _ = _fence(line)
        if closing.startswith(fence):
            found.append((at, True))
        elif line.rstrip().endswith(fence) and line.count(fence) == 1:
            found.append((at, False))
        if len(found) == _MAX_ENDS:
            break
    return found


def _is_language(info: str) -> bool:
    return info.lower() in PYTHON


def _content(lines: Sequence[str], prefix: str, fence: str) -> str:
    """The text of a block without what stands before its fence on every line; the last line is the closing one."""
    last = lines[-1].rstrip()
    inside = [*lines[:-1], last[: -len(fence)]] if last.endswith(fence) and not _fence(last)[1] else lines[:-1]
    return "\n".join(_without(line, prefix) for line in inside) + "\n"


def _without(line: str, prefix: str) -> str:
    """A line without the quote marks and the indentation of its fence; a bullet counts as the spaces under it."""
    at = 0
    for mark in prefix:
        if at < len(line) and (line[at] == mark == ">" or (line[at] in " \t" and mark != ">")):
            at += 1
        elif mark == ">":
            break
    return line[at:]
