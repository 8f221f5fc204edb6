"""The parts of the documentation that are made from the code: `python docs/make.py`.

Invariant: between `<!-- made: NAME -->` and `<!-- end: NAME -->` stands what `PARTS[NAME]` returns, and a test says
when it does not; the words around it are written by hand.
"""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import reference

from synthflow.schema import SCHEMA_VERSION, TABLES
from synthflow.statistics.metrics import METRICS
from synthflow.stores.catalog.views import VIEWS

FOLDER = Path("docs")
WORDS = ("source", "sample", "verify", "filter", "label", "mine", "curriculum", "measure", "export")
FILES = (
    "data-model.md",
    "statistics.md",
    "architecture.md",
    "../CONTRIBUTING.md",
    *(f"reference/{name}.md" for name in (*WORDS, "backends", "commands", "recipes", "tables")),
)


def tables() -> str:
    """Every declared table with its columns."""
    parts = [f"Schema version {SCHEMA_VERSION}. A column without *null* allows none."]
    for table in TABLES.values():
        parts.append(f"## {table.name}\n\n{table.comment[0].upper()}{table.comment[1:]}. Key: {_codes(table.key)}.")
        lines = ["| column | type | |", "| --- | --- | --- |"]
        lines += [
            f"| `{c.name}` | {_type(str(c.type))}{', *null*' if c.nullable else ''} | {_text(c.comment)} |"
            for c in table.columns
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def views() -> str:
    """The analyst's views."""
    lines = ["| view | |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| `{view.name}` | {_text(view.comment)} |" for view in VIEWS)])


def metrics() -> str:
    """Every metric with its formula and source."""
    lines = ["| axis | metric | one observation a | observation | source |", "| --- | --- | --- | --- | --- |"]
    return "\n".join(
        [*lines, *(f"| {m.axis} | `{m.name}` | {m.unit} | {_text(m.formula)} | {_text(m.source)} |" for m in METRICS)]
    )


def histograms() -> str:
    """Which metrics have histograms, and their bins."""
    lines = ["| metric | bins | from | to |", "| --- | --- | --- | --- |"]
    edges = ((m.name, m.bins) for m in METRICS if m.bins is not None)
    return "\n".join([*lines, *(f"| `{name}` | {len(e) - 1} | {e[0]:g} | {e[-1]:g} |" for name, e in edges)])


def rooms() -> str:
    """The rooms, top layer first, with the first sentence of each."""
    return _places(room for layer in (*_layers(), ["pipelines"]) for room in layer)


def folders() -> str:
    """The folders inside rooms, with the first sentence of each."""
    return _places(
        f"{room}/{face.parent.name}"
        for layer in _layers()
        for room in layer
        for face in sorted(_place(room).glob("*/__init__.py"))
    )


def layers() -> str:
    """The layers that `make layers` checks, one a line."""
    return "\n".join(["```text", *(" | ".join(layer) for layer in _layers()), "```"])


PARTS: Mapping[str, Callable[[], str]] = {
    "tables": tables,
    "views": views,
    "metrics": metrics,
    "histograms": histograms,
    "rooms": rooms,
    "folders": folders,
    "layers": layers,
    **{f"{word}_stages": functools.partial(reference.stages, word) for word in WORDS},
    "backends": reference.backends,
    "commands": reference.commands,
    "recipes": reference.recipes,
}


def _layers() -> list[list[str]]:
    contracts = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    lines = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [line.split(" | ") for line in lines]


def _place(name: str) -> Path:
    """Where a package or module right under `synthflow` (or below it, `stages/sample`) stands."""
    places = (Path(name), Path("synthflow", name), Path("synthflow", f"{name}.py"))
    return next(place for place in places if place.is_file() or (place / "__init__.py").is_file())


def _places(names: Iterable[str]) -> str:
    lines = ["| where | what |", "| --- | --- |"]
    for place in map(_place, names):
        text = (place / "__init__.py" if place.is_dir() else place).read_text(encoding="utf-8")
        first = re.split(r"(?<=\.)\s", " ".join((ast.get_docstring(ast.parse(text)) or "").split()), maxsplit=1)[0]
        lines.append(f"| `{place}{'/' if place.is_dir() else ''}` | {first} |")
    return "\n".join(lines)


def _codes(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _type(arrow: str) -> str:
    for long, short in (("element: ", ""), ("item: ", ""), (" not null", "")):
        arrow = arrow.replace(long, short)
    return f"`{arrow}`"


def _text(text: str) -> str:
    """Text for a cell: no sign in it means anything to Markdown."""
    return re.sub(r"([|*_<>\\])", r"\\\1", text)


def filled(document: str) -> str:
    """The document with its made parts made again.

    Raises:
        KeyError: for a part that nothing makes.
    """
    return re.sub(
        r"(<!-- made: (\w+) -->\n).*?(<!-- end: \2 -->)",
        lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n\n{found[3]}",
        document,
        flags=re.DOTALL,
    )


def main() -> None:
    for name in FILES:
        path = FOLDER / name
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
