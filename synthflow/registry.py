"""Names to classes, by entry point, so that a third party adds a stage with `pip install`.

Groups: `synthflow.stages`, `synthflow.verifiers`, `synthflow.filters`, `synthflow.backends`,
`synthflow.step_checkers`. A verifier `x` is also the stage `verify.x`, a filter `x` the stage `filter.x`. Two
distributions that register one name are an error that names both. Nothing is imported until it is asked for, and what
is given has all that its kind must have: a plug-in that is not finished is a mistake with a name, never a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from synthflow.errors import UserError

Kind = Literal["stages", "verifiers", "filters", "backends", "step_checkers"]
KINDS: tuple[Kind, ...] = ("stages", "verifiers", "filters", "backends", "step_checkers")
NEEDED: dict[Kind, tuple[str, ...]] = {
    "stages": ("use", "version", "Config"),
    "verifiers": ("name", "version"),
    "filters": ("name", "version"),
    "backends": ("name", "Options"),
    "step_checkers": ("name", "version"),
}
"""Class attributes that have no default in the contract of a kind; its abstract methods are needed, too."""


@cache
def _entries(kind: Kind) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=f"synthflow.{kind}"):
        other = found.get(entry.name)
        if other is not None and other.value != entry.value:
            raise UserError(
                f"two packages register {_one(kind)} {entry.name!r}: {_owner(other)} and {_owner(entry)}; "
                "uninstall one of them"
            )
        found[entry.name] = entry
    return found


def _one(kind: Kind) -> str:
    """`stages` -> `stage`, `step_checkers` -> `step checker`."""
    return kind[:-1].replace("_", " ")


def _owner(entry: EntryPoint) -> str:
    return f"{entry.dist.name if entry.dist else 'unknown'} ({entry.value})"


def _registered(kind: Kind, entry: EntryPoint) -> str:
    owner = entry.dist.name if entry.dist else "an unknown package"
    return f"{owner} registers the {_one(kind)} {entry.name!r} as {entry.value}"


def names(kind: Kind) -> list[str]:
    """Registered names of a kind, sorted."""
    return sorted(_entries(kind))


def suggest(name: str, known: Iterable[str]) -> str:
    """` did you mean 'x'?` for the nearest known name, or an empty string."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else ""


def load(kind: Kind, name: str) -> Any:
    """The class registered under `name`.

    Raises:
        UserError: if nothing is, with the nearest name; if its import fails, with what to install; or if the class is
            not there, or lacks what its kind needs.
    """
    entry = _entries(kind).get(name)
    if entry is None:
        hint = suggest(name, _entries(kind)) or f"known: {', '.join(names(kind)) or 'none'}"
        raise UserError(f"no {_one(kind)} is called {name!r}; {hint}")
    try:
        found = entry.load()
    except ModuleNotFoundError as error:
        if error.name and f"{entry.module}.".startswith(f"{error.name}."):
            raise UserError(f"{_registered(kind, entry)}, and there is no module {error.name!r}") from error
        raise UserError(
            f"{_one(kind)} {name!r} needs the package {error.name!r}, which is not installed; "
            f"install it, or the extra of synthflow that holds it (see docs/install.md)"
        ) from error
    except ImportError as error:
        raise UserError(f"{_registered(kind, entry)}, whose import failed: {error}") from error
    except AttributeError as error:
        if error.name not in entry.attr.split("."):
            raise
        raise UserError(f"{_registered(kind, entry)}, and that module has no {entry.attr!r}") from error
    lacks = [attribute for attribute in NEEDED[kind] if not hasattr(found, attribute)]
    lacks += sorted(getattr(found, "__abstractmethods__", ()))
    if lacks:
        raise UserError(f"{_registered(kind, entry)}, which lacks {', '.join(lacks)}: every {_one(kind)} has it")
    return found


def distribution(kind: Kind, name: str) -> str:
    """Name and version of the distribution that registers `name`."""
    entry = _entries(kind)[name]
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
