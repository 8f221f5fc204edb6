"""Find a pipeline file or a shipped recipe, read it, apply overrides, check everything.

Invariant: whatever the text holds, the outcome is a `Pipeline` or one `UserError` that lists every mistake found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from itertools import takewhile
from pathlib import Path

from synthflow.errors import UserError, suggest
from synthflow.spec import overrides as overriding
from synthflow.spec import yaml_text
from synthflow.spec.pipeline import Pipeline

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class SpecText:
    """A spec's text, the label its mistakes carry and the folder that its relative paths are relative to."""

    text: str
    label: str
    base_dir: Path


def load_pipeline(path_or_name: str | Path, overrides: Sequence[str] = ()) -> Pipeline:
    """Read a pipeline.

    Args:
        path_or_name: a YAML file, or the name of a shipped recipe such as `quickstart`.
        overrides: texts such as `stages.rollouts.n=8`, applied in order before anything is checked.

    Raises:
        UserError: if there is no such file or recipe, with the nearest one.
        Mistakes: everything that is wrong with the spec, found together.
    """
    found = find_spec(path_or_name)
    document = yaml_text.parse(found.text, found.label)
    overriding.apply(document, overrides)
    return Pipeline.from_document(document, found.base_dir, found.text, overrides)


def recipe_names() -> list[str]:
    """Names of the shipped recipes, sorted."""
    folder = resources.files("synthflow.pipelines")
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


def recipe_text(name: str) -> str:
    """A recipe as it ships.

    Raises:
        UserError: if none has the name, with the nearest one.
    """
    if name not in recipe_names():
        hint = suggest(name, recipe_names()) or f"recipes: {', '.join(recipe_names())}"
        raise UserError(f"no recipe is called {name!r}; {hint}")
    return _recipe(name)


def recipe_summary(name: str) -> str:
    """What a recipe does: the first paragraph of its header, without its name."""
    header = takewhile(lambda line: line.startswith("#") and line.strip("# "), _recipe(name).splitlines())
    return " ".join(line.strip("# ") for line in header).removeprefix(f"{name}:").strip()


def find_spec(path_or_name: str | Path) -> SpecText:
    """The text of a file or recipe. A file wins over a recipe of the same name.

    Raises:
        UserError: if neither exists, or the file cannot be read.
    """
    name = str(path_or_name)
    path = Path(name)
    if "\0" in name or not name:
        raise UserError(f"{name!r} is neither a file nor a recipe")
    try:
        if path.is_file():
            return SpecText(_read(path), path.name, path.resolve().parent)
        if path.suffix in _SUFFIXES or "/" in name or path.exists():
            raise UserError(_no_file(path))
    except OSError as error:
        raise UserError(f"{name[:200]}: cannot be opened: {error.strerror}") from error
    if name not in recipe_names():
        files = [p.name for p in Path().iterdir() if p.suffix in _SUFFIXES]
        hint = suggest(name, [*recipe_names(), *files]) or f"recipes: {', '.join(recipe_names()) or 'none'}"
        raise UserError(f"no file and no recipe is called {name!r}; {hint}")
    # A recipe lies inside the package: what its paths mean is the folder in which the user runs it.
    return SpecText(_recipe(name), f"{name}.yaml", Path.cwd())


def _recipe(name: str) -> str:
    return (resources.files("synthflow.pipelines") / f"{name}.yaml").read_text(encoding="utf-8")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); a pipeline file is YAML text") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def _no_file(path: Path) -> str:
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix in _SUFFIXES)
        return f"{path} is a folder, not a pipeline file; " + (f"it holds {', '.join(inside[:5])}" if inside else "")
    if not path.parent.is_dir():
        return f"{path}: no such file; the folder {path.parent} does not exist"
    close = get_close_matches(path.name, [p.name for p in path.parent.iterdir() if p.is_file()], n=1, cutoff=0.5)
    return f"{path}: no such file" + (f"; did you mean {close[0]!r}?" if close else "")
