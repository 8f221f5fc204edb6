"""YAML text to plain data with the line of every key and item.

Invariants: scalars follow YAML 1.2's core schema, so `no`, `on`, `12:30` and dates are text and `1e-3` is a number;
a key that stands twice is a mistake, never a silent win of the last; what an alias expands to is bounded.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from synthflow.errors import Mistake, Mistakes
from synthflow.spec.document import Document, Path

MAX_CHARS = 1_000_000
MAX_VALUES = 50_000
MAX_DEPTH = 40

_NULL, _BOOL = re.compile(r"~|null|Null|NULL|"), re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9][0-9_]*")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}
_MAX_DIGITS = 400


def parse(text: str, label: str) -> Document:
    """Read one YAML document whose top level is a mapping.

    Args:
        label: what the places of mistakes start with, such as the file's name.

    Returns:
        The document; duplicate and odd keys are already among its mistakes.

    Raises:
        Mistakes: if the text is not YAML, or not a mapping: then nothing else can be said about it.
    """
    if len(text) > MAX_CHARS:
        raise _one(label, 1, f"holds {len(text)} characters", f"a pipeline file holds at most {MAX_CHARS}")
    root = _compose(text, label)
    if root is None:
        raise _one(label, 1, "the file is empty", "`synthflow list recipes` shows specs to start from")
    if not isinstance(root, MappingNode):
        what = "the top level holds no fields"
        raise _one(label, root.start_mark.line + 1, what, "expected name:, policy: and stages:")
    document = Document(label, {}, {(): f"{label}:{root.start_mark.line + 1}"})
    reader = _Reader(document)
    document.data = reader.value(root, ())
    return document


def parse_value(text: str) -> Any:
    """One value as it would be read in a spec, for overrides.

    Raises:
        ValueError: if it is not YAML.
    """
    try:
        node = _compose(text, "override")
    except Mistakes as error:
        raise ValueError(error.found[0].what) from error
    if node is None:
        return None
    document = Document("override", {})
    value = _Reader(document).value(node, ())
    if document.found:
        raise ValueError(document.found[0].what)
    return value


def _one(label: str, line: int, what: str, fix: str) -> Mistakes:
    return Mistakes([Mistake(f"{label}:{line}", what, fix)], label)


def _compose(text: str, label: str) -> Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        line = mark.line + 1 if mark else 1
        raise _one(label, line, f"not YAML: {what}", "check the indentation and the brackets and quotes") from error
    except yaml.YAMLError as error:
        what = str(error).replace("\n", " ")
        raise _one(label, 1, f"not YAML: {what}", "save the file as UTF-8 text") from error
    except RecursionError as error:
        raise _one(label, 1, "nested too deeply", f"at most {MAX_DEPTH} levels are read") from error


class _Reader:
    """Nodes to values. `seen` counts values, so that aliases of aliases cannot blow up."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.seen = 0

    def value(self, node: Node, path: Path) -> Any:
        self.seen += 1
        if self.seen > MAX_VALUES or len(path) > MAX_DEPTH:
            limit = f"at most {MAX_VALUES} values, {MAX_DEPTH} levels deep, are read"
            raise _one(self.document.label, node.start_mark.line + 1, "too large when its aliases are expanded", limit)
        self.document.places.setdefault(path, self._place(node))
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._scalar(node, path) if isinstance(node, ScalarNode) else None

    def _place(self, node: Node) -> str:
        return f"{self.document.label}:{node.start_mark.line + 1}"

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        out: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                self.document.mistake(path, f"a key on line {line} is not a word", "keys are plain text")
                continue
            key = key_node.value
            if key_node.tag == "tag:yaml.org,2002:merge":
                self.document.mistake(path, "`<<` is not supported", "repeat the fields")
                continue
            if key in out:
                self.document.mistake((*path, key), f"stands twice, on lines {lines[key]} and {line}", "keep one")
                continue
            lines[key] = line
            self.document.places[(*path, key)] = self._place(key_node)
            out[key] = self.value(value_node, (*path, key))
        return out

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        text: str = node.value
        if node.style in ("'", '"', "|", ">"):
            return text
        if not node.tag.startswith("tag:yaml.org,2002:"):
            self.document.mistake(path, f"the tag {node.tag!r} is not supported", "write a plain value")
            return None
        return scalar(text)


def scalar(text: str) -> Any:
    """A plain scalar under YAML 1.2's core schema."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if len(text) > _MAX_DIGITS:
        return text
    if _INT.fullmatch(text):
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    return _SPECIAL.get(text.lower(), text)
