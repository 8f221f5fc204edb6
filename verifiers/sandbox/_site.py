"""Names that Python has where programs are usually run, and the bare interpreter of a sandbox has not.

Invariant: nothing here replaces a builtin; what a program defines or imports itself always goes first.
"""

from __future__ import annotations

import builtins
from typing import Any

from synthflow.verifiers.sandbox import _nodes

_MODULES = """
    math cmath collections itertools functools heapq bisect re string random operator copy datetime time sys typing
    fractions decimal statistics json array queue enum dataclasses io os
""".split()  # noqa: SIM905
_STARRED = (
    "string",
    "operator",
    "random",
    "bisect",
    "heapq",
    "functools",
    "itertools",
    "collections",
    "math",
    "typing",
)
_OF_OTHERS = {
    "copy": ("deepcopy",),
    "fractions": ("Fraction",),
    "decimal": ("Decimal",),
    "dataclasses": ("dataclass", "field"),
    "enum": ("Enum", "IntEnum"),
    "queue": ("Queue", "PriorityQueue"),
}


def interactive() -> None:
    """What `site` adds to the builtins: exit, quit, help and the notices."""
    import _sitebuiltins

    for name in ("exit", "quit"):
        setattr(builtins, name, _sitebuiltins.Quitter(name, "Ctrl-D (i.e. EOF)"))
    setattr(builtins, "help", _sitebuiltins._Helper())  # noqa: B010
    for name in ("copyright", "credits", "license"):
        setattr(builtins, name, _sitebuiltins._Printer(name, f"See https://www.python.org for {name}."))


def provided() -> dict[str, Any]:
    """What sites that judge functions import before a program: `List`, `deque`, `inf`, `heappush`, the modules."""
    found: dict[str, Any] = {}
    for name in _STARRED:
        module = __import__(name)
        public = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
        found |= {n: getattr(module, n) for n in public}
    for name, wanted in _OF_OTHERS.items():
        module = __import__(name)
        found |= {n: getattr(module, n) for n in wanted}
    found |= {name: __import__(name) for name in _MODULES}
    found |= {"ListNode": _nodes.ListNode, "TreeNode": _nodes.TreeNode}
    return {name: value for name, value in found.items() if not hasattr(builtins, name)}
