"""Where an answer falls into parts: commas and words that join, marks of relations, colons, brackets around the whole.

Invariant: only what stands outside of all brackets separates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from synthflow.verifiers.answers.reading.tokens import Token

OPENING = frozenset({"(", "[", "{", r"\{", r"\langle", r"\lbrace", r"\lfloor", r"\lceil", r"\begin"})
CLOSING = frozenset({")", "]", "}", r"\}", r"\rangle", r"\rbrace", r"\rfloor", r"\rceil", r"\end"})
_COMMANDS = """le ge ne approx in notin to mapsto rightarrow simeq sim equiv cong implies Rightarrow Leftrightarrow iff
    propto subset subseteq"""
RELATIONS = frozenset({"=", "<", ">", *("\\" + name for name in _COMMANDS.split())})
_JOINTS = frozenset({"and", "or", "and/or", "as well as"})
_SIGNS: dict[str, Literal["", "and", "or"]] = {
    ",": "", ";": "", r"\land": "and", r"\wedge": "and", r"\lor": "or", r"\vee": "or"
}  # fmt: skip


def parts_at_top(found: Sequence[Token], *, words: bool = True) -> tuple[list[list[Token]], Literal["", "and", "or"]]:
    """The parts between separators outside of brackets, none empty; and the last word that separates some."""
    parts: list[list[Token]] = [[]]
    joint: Literal["", "and", "or"] = ""
    depth = 0
    for token in found:
        if token.value in OPENING:
            depth += 1
        elif token.value in CLOSING:
            depth -= 1
        elif depth == 0 and token.kind in ("op", "cmd") and token.value in _SIGNS:
            joint = _SIGNS[token.value] or joint
            parts.append([])
            continue
        elif depth == 0 and words and token.kind in ("run", "text") and token.value.strip(" ,;").lower() in _JOINTS:
            joint = "or" if "or" in token.value.lower() else "and"
            parts.append([])
            continue
        parts[-1].append(token)
    kept = [part for part in parts if part and not _blank(part)]
    if kept and kept[0][0].value in ("both", "either") and len(kept) > 1:
        kept[0] = kept[0][1:]
    return [part for part in kept if part], joint


def _blank(part: list[Token]) -> bool:
    return all(token.kind == "text" and not token.value.strip(" ,;.") for token in part)


def marks_at_top(found: Sequence[Token]) -> list[int]:
    """Places of the marks of relations outside of brackets."""
    depth, places = 0, []
    for at, token in enumerate(found):
        depth += (token.value in OPENING) - (token.value in CLOSING)
        if depth == 0 and token.kind in ("op", "cmd") and token.value in RELATIONS:
            places.append(at)
    return places


def brackets_around(found: Sequence[Token]) -> tuple[str, str] | None:
    """The brackets that open at the start and close at the end, whatever their kinds, or None."""
    if len(found) < 2 or found[0].value not in OPENING or found[-1].value not in CLOSING:
        return None
    depth = 0
    for at, token in enumerate(found):
        depth += (token.value in OPENING) - (token.value in CLOSING)
        if depth == 0 and at < len(found) - 1:
            return None
    return (found[0].value, found[-1].value) if depth == 0 else None


def split_at_colons(found: Sequence[Token]) -> list[list[Token]] | None:
    """The parts of a ratio, or None where no colon stands outside of brackets."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for at, token in enumerate(found):
        depth += (token.value in OPENING) - (token.value in CLOSING)
        if (
            (depth == 0 and token.kind == "op" and token.value == ":")
            or token.value == r"\colon"
            or (depth == 0 and token.kind in ("run", "text") and token.value == "to" and 0 < at < len(found) - 1)
        ):
            parts.append([])
        elif depth == 1 and token.value == ":" and found[at - 1].value == "{" and found[at + 1].value == "}":
            parts[-1].pop()
            parts.append([])
        elif depth == 0 and token.value == "}" and not parts[-1] and len(parts) > 1:
            continue
        else:
            parts[-1].append(token)
    return parts if len(parts) > 1 and all(parts) else None
