"""The parts of the documentation that are made from the code: `python docs/make.py`.

Invariant: between `<!-- made: NAME -->` and `<!-- end: NAME -->` stands what `PARTS[NAME]` returns, and a test says
when it does not; the words around it are written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from synthflow.schema import SCHEMA_VERSION, TABLES
from synthflow.statistics.metrics import BINS, METRICS
from synthflow.stores.catalog.views import VIEWS

FOLDER = Path("docs")
FILES = ("data-model.md", "statistics.md")


def tables() -> str:
    """Every declared table with its columns."""
    parts = [f"Schema version {SCHEMA_VERSION}. A column without *null* allows none."]
    for table in TABLES.values():
        parts.append(f"### {table.name}\n\n{table.comment[0].upper()}{table.comment[1:]}. Key: {_codes(table.key)}.")
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
    return "\n".join([*lines, *(f"| `{m}` | {len(e) - 1} | {e[0]:g} | {e[-1]:g} |" for m, e in BINS.items())])


PARTS: Mapping[str, Callable[[], str]] = {
    "tables": tables,
    "views": views,
    "metrics": metrics,
    "histograms": histograms,
}


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
