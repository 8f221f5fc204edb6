"""Print the lowest versions that pyproject.toml allows, as constraints for pip: `make test-floors` tries them.

python floors.py EXTRA …
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def floors(*extras: str) -> dict[str, str]:
    """Package -> its lowest version, for what every run needs and some extras."""
    wanted = [*PROJECT["dependencies"], *(text for x in extras for text in PROJECT["optional-dependencies"][x])]
    found = {}
    for text in wanted:
        if (match := re.fullmatch(r"([\w.-]+)(?:\[[^]]*\])?>=([\w.]+)", text)) is None:
            raise SystemExit(f"pyproject.toml: {text!r} names no lowest version")
        found[match[1]] = match[2]
    return found


if __name__ == "__main__":
    print("\n".join(f"{name}=={version}" for name, version in floors(*sys.argv[1:]).items()))
