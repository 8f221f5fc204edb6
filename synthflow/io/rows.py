"""One row of a file to one problem.

Invariants: what a row says reaches the problem unchanged (a number becomes the text that stood in the file, every
column that is not used goes to the metadata) or the row is malformed and says why; problem_id depends on the
messages alone, content_hash on everything. One thing is mended instead: what JSON cannot hold, in a column that nobody
asked for, becomes null (NaN, infinity) or the column is left out of that problem (bytes, durations), and is counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Any, Literal, TypeAlias

from synthflow import ids
from synthflow.errors import suggest
from synthflow.io.chats import ChatStyle, messages_of, usual_columns
from synthflow.io.chats import RowError as RowError
from synthflow.io.chats import brief as _brief
from synthflow.io.json_values import Mended, holdable, jsonable

FINAL_TURN = "final_turn"
"""Where the metadata holds the turn of the assistant that a chat ended with."""
_PEEKED_ROWS = 50

FinalTurn: TypeAlias = Literal["refuse", "metadata", "answer"]


@dataclass(frozen=True, slots=True)
class Row:
    """A row as read: its place, and its columns or what made it unreadable."""

    file: str
    line: int
    values: Mapping[str, Any] | RowError
    unit: str = ""

    @property
    def where(self) -> str:
        """What a person can open: `file:line`, or `file row 7` where a format has no lines."""
        return f"{self.file} {self.unit} {self.line}" if self.unit else f"{self.file}:{self.line}"


class ExactFloat(float):
    """A float that remembers how it was written, so that an answer `1.50` stays `1.50`."""

    __slots__ = ("text",)
    text: str

    @classmethod
    def parse(cls, text: str) -> ExactFloat:
        made = cls(text)
        made.text = text
        return made


def first_rows(rows: Iterable[Row]) -> list[Mapping[str, Any]]:
    """The readable ones of the first rows of a file: enough to see what it holds."""
    return [row.values for row in islice(rows, _PEEKED_ROWS) if isinstance(row.values, Mapping)]


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the columns that any of the rows has, in the order in which they come up."""
    return list(dict.fromkeys(name for values in rows for name in values))


@dataclass(frozen=True)
class Mapped:
    """How columns become a problem; None for a column means the default that the source's fields describe."""

    source: str
    prompt_column: str | None = None
    answer_column: str = "answer"
    metadata_columns: Sequence[str] | None = None
    system: str | None = None
    template: str | None = None
    fixed: Mapping[str, str | None] = field(default_factory=dict)
    require_answer: bool = True
    max_prompt_chars: int = 100_000
    chat: ChatStyle = "plain"
    final_turn: FinalTurn = "refuse"


def prompt_column(wanted: str | None, columns: Sequence[str], chat: ChatStyle = "plain") -> str:
    """The column that holds the prompt: the wanted one, or the only one with a usual name.

    Raises:
        RowError: if it is not there, or several could be meant.
    """
    if wanted is not None:
        if wanted in columns:
            return wanted
        raise RowError(f"no column {wanted!r}", suggest(wanted, columns) or f"columns: {_listed(columns)}")
    usual = [name for name in usual_columns(chat) if name in columns]
    if len(usual) == 1:
        return usual[0]
    if usual:
        raise RowError(f"several columns may hold the prompt: {', '.join(usual)}", "say which with prompt_column: NAME")
    if "conversations" in columns:
        raise RowError("no column holds a prompt", "for `conversations` of ShareGPT set chat: sharegpt")
    raise RowError("no column holds a prompt", f"say which with prompt_column: NAME; columns: {_listed(columns)}")


def to_problem(row: Mapping[str, Any], how: Mapped, mended: Mended | None = None) -> dict[str, Any]:
    """A row of the problems table.

    Args:
        mended: counts what was mended in columns that nobody asked for.

    Raises:
        RowError: if the row is malformed.
    """
    column = prompt_column(how.prompt_column, list(row), how.chat)
    messages, final = _messages(row[column], column, how)
    used = {column}
    answer = final if how.final_turn == "answer" else None
    if how.answer_column in row:
        if answer is not None:
            what = f"the chat's final turn and the column {how.answer_column!r} are both there"
            raise RowError(what, "one of them is the answer: set final_turn: metadata, or another answer_column")
        answer = answer_text(row[how.answer_column], how.answer_column)
        used.add(how.answer_column)
    if how.require_answer and (answer is None or not answer.strip()):
        what = "is missing" if answer is None else "is empty"
        raise RowError(f"the answer ({how.answer_column!r}) {what}", "set require_answer: false if none is needed")
    named: dict[str, str | None] = {}
    for name in ("domain", "source", "split"):
        named[name] = how.fixed.get(name)
        if named[name] is None and isinstance(row.get(name), str) and name not in used:
            named[name] = row[name]
            used.add(name)
    rest = {name: value for name, value in row.items() if name not in used}
    if final is not None and how.final_turn == "metadata":
        rest = {**rest, FINAL_TURN: final}
    metadata, found = _metadata(rest, how.metadata_columns)
    problem: dict[str, Any] = {
        "problem_id": ids.problem_id(messages),
        "prompt": messages,
        "answer": answer,
        "verifier": None,
        "domain": named["domain"],
        "source": named["source"] or how.source,
        "split": named["split"],
        "metadata": metadata,
    }
    _check_text([problem["answer"], problem["domain"], problem["source"], problem["split"]])
    problem["content_hash"] = ids.content_id("h", list(problem.values()))
    if mended is not None:
        mended.update(found)
    return problem


def _messages(value: Any, column: str, how: Mapped) -> tuple[list[dict[str, str]], str | None]:
    """The messages to answer, and the turn of the assistant that ended them, where there was one."""
    final = None
    if isinstance(value, str):
        if not value.strip():
            raise RowError(f"the prompt ({column!r}) is empty")
        # Not str.format: problems and templates are full of braces.
        text = value if how.template is None else how.template.replace("{prompt}", value)
        messages = [{"role": "user", "content": text}]
    else:
        messages = messages_of(value, column, how.chat)
        if messages[-1]["role"] == "assistant" and how.final_turn != "refuse":
            final = messages.pop()["content"]
        if not messages or messages[-1]["role"] == "assistant":
            fix = "keep that turn with final_turn: metadata, or as the answer with final_turn: answer"
            raise RowError("the chat ends with the assistant", fix if how.final_turn == "refuse" else "")
        if how.template is not None:
            raise RowError(f"the prompt ({column!r}) is a chat, a template needs text", "remove template:")
    if how.system is not None:
        if messages[0]["role"] == "system":
            raise RowError(f"the chat ({column!r}) has a system message already", "remove system:")
        messages.insert(0, {"role": "system", "content": how.system})
    length = sum(len(message["content"]) for message in messages)
    if length > how.max_prompt_chars:
        fix = "raise max_prompt_chars if it is meant"
        raise RowError(f"the prompt has {length} characters, at most {how.max_prompt_chars} are allowed", fix)
    _check_text([message["content"] for message in messages])
    return messages, final


def answer_text(value: Any, column: str) -> str | None:
    """An answer as it stood in the file; None where there is none.

    Raises:
        RowError: if it is neither text nor a number.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, ExactFloat):
        return value.text
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and not math.isinf(value):
        return None if math.isnan(value) else repr(value)
    what = f"the answer ({column!r}) is {_brief(value)}"
    raise RowError(what, "expected text or a number")


def _metadata(row: Mapping[str, Any], wanted: Sequence[str] | None) -> tuple[str, Mended]:
    """Columns as one JSON object; a `metadata` column that is an object is spread into it."""
    rest = {name: value for name, value in row.items() if wanted is None or name in (*wanted, FINAL_TURN)}
    mended = Mended()
    if wanted is None:
        rest = dict(holdable(rest, mended))
    inner = rest.get("metadata")
    if isinstance(inner, Mapping):
        both = sorted((set(inner) & set(rest)) - {"metadata"})
        if both:
            raise RowError(f"{both[0]!r} stands in the metadata and beside it", "leave it out with metadata_columns")
        rest = {**{name: value for name, value in rest.items() if name != "metadata"}, **inner}
    try:
        text = ids.canonical(jsonable(rest))
    except (ValueError, TypeError) as error:
        raise RowError(f"the metadata is no JSON: {error}", "choose columns with metadata_columns") from error
    _check_text([text])
    return text, mended


def _check_text(texts: Sequence[str | None]) -> None:
    for text in texts:
        if text is not None:
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise RowError("holds half a surrogate pair, which is no character", "repair the text") from error


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(columns[:12])
    return (shown or "none") + (", ..." if len(columns) > 12 else "")
