"""Linked lists and binary trees, which judges' sites hand over as objects and data sets write as lists.

Invariant: a value is turned into nodes only where a function says, by its annotations, that it takes or gives some; the
classes are the program's own, if it defines them.
"""

from __future__ import annotations

from collections import deque
from typing import Any

_MAX_NODES = 200_000


class ListNode:
    def __init__(self, val: Any = 0, next: Any = None) -> None:
        self.val, self.next = val, next


class TreeNode:
    def __init__(self, val: Any = 0, left: Any = None, right: Any = None) -> None:
        self.val, self.left, self.right = val, left, right


def annotated(function: Any) -> dict[str, str]:
    """Parameters (and `return`) whose annotation names a kind of node: the name of that class."""
    notes = getattr(function, "__annotations__", None) or {}
    texts = {name: note if isinstance(note, str) else repr(note) for name, note in notes.items()}
    return {name: kind for name, text in texts.items() for kind in ("ListNode", "TreeNode") if kind in text}


def given(kinds: dict[str, str], function: Any, args: list[Any], names: dict[str, Any]) -> list[Any]:
    """Arguments with those that are meant as nodes made into some."""
    code = getattr(function, "__code__", None)
    parameters = list(code.co_varnames[: code.co_argcount]) if code else []
    parameters = parameters[1:] if getattr(function, "__self__", None) is not None else parameters
    wanted = [kinds.get(name) for name in parameters] + [None] * len(args)
    return [_made(arg, kind, names) if kind else arg for arg, kind in zip(args, wanted, strict=False)]


def _made(value: Any, kind: str, names: dict[str, Any]) -> Any:
    if not isinstance(value, list):
        return value
    make = names.get(kind) or {"ListNode": ListNode, "TreeNode": TreeNode}[kind]
    if value and all(isinstance(item, list) for item in value):
        return [_made(item, kind, names) for item in value]
    if kind == "ListNode":
        head = None
        for item in reversed(value):
            node = make(item)
            node.next, head = head, node
        return head
    return _tree(value, make)


def _tree(value: list[Any], make: Any) -> Any:
    """A tree from its nodes level by level, None for one that is missing."""
    if not value or value[0] is None:
        return None
    root, at = make(value[0]), 1
    open_ = deque([root])
    while open_ and at < len(value):
        node = open_.popleft()
        for side in ("left", "right"):
            if at < len(value) and value[at] is not None:
                setattr(node, side, make(value[at]))
                open_.append(getattr(node, side))
            at += 1
    return root


def plain(value: Any, kind: str) -> Any:
    """A result of nodes as the list that it stands for."""
    if isinstance(value, list):
        return [plain(item, kind) for item in value]
    if value is not None and not hasattr(value, "val"):
        return value
    found: list[Any] = []
    if kind == "ListNode":
        while value is not None:
            found.append(value.val)
            value = value.next
            if len(found) > _MAX_NODES:
                raise ValueError("the result has too many parts")
        return found
    open_ = deque([value])
    while open_:
        node = open_.popleft()
        found.append(None if node is None else node.val)
        if node is not None:
            open_ += (node.left, node.right)
        if len(found) > _MAX_NODES:
            raise ValueError("the result has too many parts")
    while found and found[-1] is None:
        found.pop()
    return found
