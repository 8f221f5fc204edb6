"""Python as a plain `pip install synthflow` leaves it: what no dependency brings cannot be imported.

python plain_install.py ARGUMENTS          runs `synthflow ARGUMENTS` so
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from types import ModuleType

from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def closure(*wanted: str) -> set[str]:
    """Distributions that some requirements bring, themselves included."""
    found: set[tuple[str, frozenset[str]]] = set()
    todo = [Requirement(text) for text in wanted]
    while todo:
        requirement = todo.pop()
        key = (normal(requirement.name), frozenset(requirement.extras))
        if key in found:
            continue
        found.add(key)
        try:
            needed = [Requirement(text) for text in requirements(requirement.name)]
        except PackageNotFoundError:  # not for this machine
            continue
        extras = requirement.extras or {""}
        todo += [n for n in needed if n.marker is None or any(n.marker.evaluate({"extra": extra}) for extra in extras)]
    return {name for name, _ in found}


def requirements(name: str) -> list[str]:
    """What a distribution asks for; ours says so in the checkout, which what is installed may be older than."""
    if normal(name) != PROJECT["name"]:
        return requires(name) or []
    extras = [f'{text}; extra == "{x}"' for x, texts in PROJECT["optional-dependencies"].items() for text in texts]
    return [*PROJECT["dependencies"], *extras]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class Refuses:
    """An importer that knows of no module beyond those of some distributions."""

    def __init__(self, allowed: set[str]) -> None:
        owners = packages_distributions()
        self.refused = {name for name, dists in owners.items() if not {normal(dist) for dist in dists} & allowed}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] in self.refused:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


if __name__ == "__main__":
    from synthflow.cli.main import main

    sys.meta_path.insert(0, Refuses(closure("synthflow")))  # type: ignore[arg-type]
    for module in [name for name in sys.modules if name.partition(".")[0] == "packaging"]:
        del sys.modules[module]
    main(sys.argv[1:])
