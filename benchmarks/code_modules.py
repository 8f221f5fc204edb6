"""The modules of a checkout and the imports between them, by `ast` alone.

Nothing is imported or run, so that any checkout can be read, whatever is installed. Packages are found through
`[tool.setuptools.package-dir]`, since `stores/` is imported as `synthflow.stores`. Invariant: an import that stands
in a function or under `TYPE_CHECKING` counts like one at the top of a file, unless it is said to be left out.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

PROJECT = "synthflow"
SCRIPTS = "benchmarks"
"""A folder of scripts that import each other by their bare names."""


class Imported(NamedTuple):
    """One imported name: `from a import b` gives `a.b`. Plain: it runs when the file is loaded."""

    name: str
    line: int
    plain: bool


@dataclass(frozen=True)
class Module:
    """A file of Python, under the name by which others import it."""

    name: str
    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, str(self.path))

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def imports(self) -> list[Imported]:
        return list(_imports(self.tree, plain=True))


class Arrow(NamedTuple):
    """That one module imports another one."""

    source: str
    target: str


def package_folders(root: Path) -> dict[str, str]:
    """`synthflow` and those of its packages whose folder stands elsewhere, each with its folder."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    folders: dict[str, str] = project["tool"]["setuptools"]["package-dir"]
    return {name: folder for name, folder in folders.items() if name.count(".") < 2}


def read_modules(root: Path) -> list[Module]:
    """Every module of the packages of a checkout, by name."""
    found = []
    for package, folder in package_folders(root).items():
        for path in (root / folder).rglob("*.py"):
            inner = path.relative_to(root / folder).with_suffix("").parts
            name = ".".join((package, *inner)).removesuffix(".__init__")
            found.append(Module(name, path, path.read_text()))
    return sorted(found, key=lambda module: module.name)


def read_scripts(root: Path) -> list[Module]:
    """The benchmarks, under their bare names."""
    return [Module(p.stem, p, p.read_text()) for p in sorted((root / SCRIPTS).glob("*.py"))]


def _imports(node: ast.AST, plain: bool) -> Iterator[Imported]:
    if isinstance(node, ast.ImportFrom):
        yield from (Imported(f"{node.module}.{alias.name}", node.lineno, plain) for alias in node.names)
    elif isinstance(node, ast.Import):
        yield from (Imported(alias.name, node.lineno, plain) for alias in node.names)
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for child in node.body:
            yield from _imports(child, plain=False)
        for child in node.orelse:
            yield from _imports(child, plain)
    else:
        inner = plain and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            yield from _imports(child, inner)


def arrows(modules: Iterable[Module], only_plain: bool = False) -> set[Arrow]:
    """Who imports whom. A name taken from a package counts for the module of that name, else for the package."""
    by_name = {module.name: module for module in modules}
    found = set()
    for module in by_name.values():
        for imported in module.imports:
            target = imported.name if imported.name in by_name else imported.name.rpartition(".")[0]
            if target in by_name and target != module.name and (imported.plain or not only_plain):
                found.add(Arrow(module.name, target))
    return found


def circles(links: Iterable[Arrow]) -> list[list[str]]:
    """The strongly connected components of more than one member, each sorted (Tarjan 1972)."""
    graph: dict[str, set[str]] = {}
    for link in links:
        graph.setdefault(link.source, set()).add(link.target)
        graph.setdefault(link.target, set())
    return sorted(sorted(part) for part in _components(graph) if len(part) > 1)


def _components(graph: Mapping[str, set[str]]) -> Iterator[list[str]]:
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_: list[str] = []

    def visit(node: str) -> Iterator[list[str]]:
        number[node] = lowest[node] = len(number)
        open_.append(node)
        for other in sorted(graph[node]):
            if other not in number:
                yield from visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in open_:
                lowest[node] = min(lowest[node], number[other])
        if lowest[node] == number[node]:
            start = open_.index(node)
            yield open_[start:]
            del open_[start:]

    for node in sorted(graph):
        if node not in number:
            yield from visit(node)


def room(name: str) -> str:
    """What a module belongs to: the package or module right under `synthflow`, without that word."""
    return ".".join(name.split(".")[1:2]) or PROJECT


def stage_folder(name: str) -> str:
    """The folder under `synthflow.stages` that a module stands in; empty for all others and for loose modules there."""
    words = name.split(".")
    return words[2] if words[1:2] == ["stages"] and len(words) > 3 else ""
