"""What `synthflow init` writes: a first pipeline, a copy of a recipe, or a package for something of one's own.

Invariant: a package that is written passes its own test once it is installed, and nothing that is there is replaced.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from synthflow.errors import UserError

SCHEMA = "synthflow.schema.json"
SCHEMA_LINE = f"# yaml-language-server: $schema={SCHEMA}\n"
"""What editors with a YAML server read: fields are completed and checked as they are typed."""


@dataclass(frozen=True)
class Plugin:
    """A kind of thing that a package may bring: its entry-point group, how a pipeline names it, and the page on it."""

    group: str
    page: str
    use: str
    named: str = "{module}"
    exported: str = ""


PLUGINS = {
    "stage": Plugin("stages", "add-a-stage.md", "`use: {name}`", "my.{short}"),
    "verifier": Plugin("verifiers", "add-a-verifier.md", "`use: verify.{name}`"),
    "filter": Plugin("filters", "add-a-verifier.md", "`use: filter.{name}`"),
    "export": Plugin("stages", "add-an-export.md", "`use: {name}`", "my.{short}"),
    "metric": Plugin("metrics", "add-a-metric.md", "`{name}`, measured by `measure.qdc`", exported="METRIC"),
}


def plugin_files(kind: str, folder: Path) -> dict[str, str]:
    """Files of a package called as its folder.

    Raises:
        UserError: if the folder's name makes no module.
    """
    plugin, package = PLUGINS[kind], folder.resolve().name
    module = re.sub(r"[^0-9a-z]+", "_", package.lower()).strip("_")
    if not module.isidentifier():
        raise UserError(f"{package!r} is no name for a Python module; give a folder such as my-{kind}")
    short = module.removeprefix("my_")
    name = plugin.named.format(module=module, short=short)
    words = {
        "kind": kind,
        "package": package,
        "module": module,
        "short": short,
        "name": name,
        "object": plugin.exported or "".join(word.capitalize() for word in module.split("_")),
        "group": plugin.group,
        "page": plugin.page,
        "use": plugin.use.format(name=name),
    }
    texts = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{module}.py": f"{kind}.py",
        f"test_{module}.py": f"{kind}_test.py",
    }
    return {file: _filled(_template(text), words) for file, text in texts.items()}


def recipe_files(name: str) -> dict[str, str]:
    """A recipe as a pipeline file of one's own.

    Raises:
        UserError: if no recipe has the name.
    """
    from synthflow.spec.load import recipe_text

    return {f"{name}.yaml": SCHEMA_LINE + recipe_text(name), SCHEMA: schema_text()}


def schema_text() -> str:
    """The JSON Schema of pipeline files, for what is installed."""
    from synthflow.spec.jsonschema import pipeline_schema

    return json.dumps(pipeline_schema(), ensure_ascii=False) + "\n"


def write_files(folder: Path, files: dict[str, str]) -> list[Path]:
    """Write files into a folder. The schema is made anew, no other file is replaced.

    Raises:
        UserError: if one of the others is there already; nothing is written then.
    """
    there = [name for name in files if (folder / name).exists() and name != SCHEMA]
    if there:
        raise UserError(f"{folder / there[0]} exists already; give another folder, or move it away")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in files]


def _template(name: str) -> str:
    return (resources.files("synthflow.cli") / "scaffolds" / f"{name}.txt").read_text(encoding="utf-8")


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
