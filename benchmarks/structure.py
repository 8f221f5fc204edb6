"""The structure of a checkout in figures: size, circles, ties between rooms, long functions, comparisons of `use`.

    python benchmarks/structure.py ROOT [AFTER] [--json]

Reads the code of ROOT by `ast` and runs none of it, so that any commit can be read. Prints a table in Markdown, and
below it what the figures are made of; with two checkouts, one column for each. `--json` prints one JSON line instead,
a list with one object a checkout.

A room is what stands right under `synthflow`, a package or a module. An import ties two rooms whether it runs or is
for type checkers; the pair counts once in each direction. A circle is a strongly connected component of more than one
room, or of more than one file. Benchmarks take part in circles of files and nowhere else.
"""

from __future__ import annotations

import argparse
import ast
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from code_modules import Arrow, Module, arrows, circles, read_modules, read_scripts, room, stage_folder
from code_uses import comparisons

LONG = 60
"""Lines above which a function is long."""


@dataclass(frozen=True)
class Structure:
    """All figures of one checkout; lists hold what was counted, by name and place."""

    modules: int
    lines: int
    rooms: list[str]
    room_circles: list[list[str]]
    room_circle_arrows: list[list[str]]
    room_pairs: list[str]
    stage_folders: list[str]
    stage_folder_pairs: list[str]
    file_circles: list[list[str]]
    plain_file_circles: list[list[str]]
    largest_module: tuple[int, str]
    largest_function: tuple[int, str]
    long_functions: list[tuple[int, str]]
    use_comparisons: list[str]
    repeated_classes: dict[str, list[str]]


def structure(root: Path) -> Structure:
    """The figures of the checkout at `root`."""
    modules, scripts = read_modules(root), read_scripts(root)
    links = arrows(modules)
    between = {Arrow(room(a), room(b)) for a, b in links if room(a) != room(b)}
    stages = {Arrow(stage_folder(a), stage_folder(b)) for a, b in links}
    in_circles = circles(between)
    functions = sorted((f for m in modules for f in _functions(m, root)), reverse=True)
    return Structure(
        modules=len(modules),
        lines=sum(m.lines for m in modules),
        rooms=sorted({room(m.name) for m in modules}),
        room_circles=in_circles,
        room_circle_arrows=[[_text(a) for a in sorted(between) if {*a} <= {*circle}] for circle in in_circles],
        room_pairs=[_text(a) for a in sorted(between)],
        stage_folders=sorted({stage_folder(m.name) for m in modules} - {""}),
        stage_folder_pairs=[_text(a) for a in sorted(stages) if a.source != a.target and all(a)],
        file_circles=circles(links | arrows(scripts)),
        plain_file_circles=circles(arrows(modules, only_plain=True) | arrows(scripts, only_plain=True)),
        largest_module=max((m.lines, _place(m, root)) for m in modules),
        largest_function=max(functions, default=(0, "")),
        long_functions=[f for f in functions if f[0] > LONG],
        use_comparisons=[f"{_place(m, root)}:{c.line}: {c.text}" for m in modules for c in comparisons(m.tree)],
        repeated_classes=_repeated_classes(modules),
    )


def _place(module: Module, root: Path) -> str:
    return str(module.path.relative_to(root))


def _text(arrow: Arrow) -> str:
    return f"{arrow.source} -> {arrow.target}"


def _functions(module: Module, root: Path) -> list[tuple[int, str]]:
    return [
        ((node.end_lineno or node.lineno) - node.lineno + 1, f"{_place(module, root)}:{node.lineno} {node.name}")
        for node in ast.walk(module.tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]


def _repeated_classes(modules: Sequence[Module]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for module in modules:
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef):
                found[node.name].add(module.name)
    return {name: sorted(where) for name, where in sorted(found.items()) if len(where) > 1}


def _size(largest: tuple[int, str]) -> str:
    return f"{largest[0]} `{largest[1]}`"


def figures(one: Structure) -> Mapping[str, str]:
    """One column of the table: a text for every row."""
    compared_in = {place.split(":")[0] for place in one.use_comparisons}
    return {
        "modules": f"{one.modules:,}",
        "lines": f"{one.lines:,}",
        "rooms": str(len(one.rooms)),
        "circles of rooms": str(len(one.room_circles)),
        "pairs of rooms tied by an import": str(len(one.room_pairs)),
        "pairs of stage folders tied by an import": str(len(one.stage_folder_pairs)) if one.stage_folders else "",
        "circles of files, with imports for types and in functions": str(len(one.file_circles)),
        "circles of files, plain imports": str(len(one.plain_file_circles)),
        "largest module, lines": _size(one.largest_module),
        "largest function, lines": _size(one.largest_function),
        f"functions above {LONG} lines": str(len(one.long_functions)),
        "comparisons of a stage's `use`": f"{len(one.use_comparisons)} in {len(compared_in)} modules",
        "class names in several modules": str(len(one.repeated_classes)),
    }


def table(columns: Mapping[str, Structure]) -> str:
    """A Markdown table with a column for every checkout."""
    shown = [figures(one) for one in columns.values()]
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    return "\n".join([*lines, *(f"| {row} | {' | '.join(each[row] for each in shown)} |" for row in shown[0])])


def details(one: Structure) -> str:
    """What stands behind the figures, one line each."""
    lines = [f"circle of rooms: {', '.join(c)} ({'; '.join(a)})" for c, a in _zipped(one)]
    lines += [f"stage folders: {pair}" for pair in one.stage_folder_pairs]
    lines += [f"circle of files: {', '.join(circle)}" for circle in one.file_circles]
    lines += [f"long function: {_size(each)}" for each in one.long_functions]
    lines += [f"comparison: {each}" for each in one.use_comparisons]
    lines += [f"class {name}: {', '.join(where)}" for name, where in one.repeated_classes.items()]
    return "\n".join(lines)


def _zipped(one: Structure) -> list[tuple[list[str], list[str]]]:
    return list(zip(one.room_circles, one.room_circle_arrows, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path, help="a checkout")
    parser.add_argument("after", type=Path, nargs="?", help="a second one, to stand beside it")
    parser.add_argument("--json", action="store_true", help="one JSON line instead of tables")
    asked = parser.parse_args()
    roots = [root for root in (asked.root, asked.after) if root is not None]
    for root in roots:
        if not (root / "pyproject.toml").is_file():
            parser.error(f"{root} is no checkout: it has no pyproject.toml")
    read = [structure(root) for root in roots]
    if asked.json:
        print(json.dumps([asdict(one) for one in read]))
        return
    names = ["before", "after"] if len(read) > 1 else ["now"]
    columns = dict(zip(names, read, strict=True))
    print(table(columns))
    for name, one in columns.items():
        print(f"\n{name}\n\n{details(one)}")


if __name__ == "__main__":
    main()
