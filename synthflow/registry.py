"""Names to classes, by entry point, so that a third party adds a stage with `pip install`.

Groups: `synthflow.stages`, `synthflow.verifiers`, `synthflow.filters`, `synthflow.backends`,
`synthflow.step_checkers`, and `synthflow.metrics`, whose entries are objects. A verifier `x` is also the stage
`verify.x`, a filter `x` the stage `filter.x`. Two distributions that register one name are an error that names both.
Nothing is imported until it is asked for, and what
is given has all that its kind must have: a plug-in that is not finished is a mistake with a name, never a traceback.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from synthflow.errors import UserError, suggest

Kind = Literal["stages", "verifiers", "filters", "backends", "step_checkers", "metrics"]
KINDS: tuple[Kind, ...] = ("stages", "verifiers", "filters", "backends", "step_checkers", "metrics")
NEEDED: dict[Kind, tuple[str, ...]] = {
    "stages": ("use", "version"),
    "verifiers": ("name", "version"),
    "filters": ("name", "version"),
    "backends": ("name", "Options"),
    "step_checkers": ("name", "version"),
    "metrics": ("name", "axis", "formula"),
}
"""Class attributes that have no default in the contract of a kind, its name first; abstract methods are needed, too."""


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


def _named(kind: Kind, name: str) -> str:
    """`the stage 'x' of its owner`, for who reads an error: the owner is read from a file of its distribution."""
    return f"the {_one(kind)} {name!r} of {_owner(_entries(kind)[name])}"


def names(kind: Kind) -> list[str]:
    """Registered names of a kind, sorted."""
    return sorted(_entries(kind))


def load(kind: Kind, name: str) -> Any:
    """The class registered under `name`.

    Raises:
        UserError: if nothing is, with the nearest name; if its import fails, with what to install; or if the class is
            not there, lacks what its kind needs, or has another name.
    """
    entry = _entries(kind).get(name)
    if entry is None:
        hint = suggest(name, _entries(kind)) or f"known: {', '.join(names(kind)) or 'none'}"
        raise UserError(f"no {_one(kind)} is called {name!r}; {hint}")
    try:
        found = entry.load()
    except ModuleNotFoundError as error:
        if error.name and f"{entry.module}.".startswith(f"{error.name}."):
            raise UserError(f"{_named(kind, name)} cannot be found: there is no module {error.name!r}") from error
        raise UserError(
            f"{_one(kind)} {name!r} needs the package {error.name!r}, which is not installed; "
            f"install it, or the extra of synthflow that holds it (see docs/install.md)"
        ) from error
    except AttributeError as error:
        if error.name in entry.attr.split("."):
            raise UserError(f"{_named(kind, name)} cannot be found: its module has no {entry.attr!r}") from error
        raise UserError(f"{_named(kind, name)} cannot be imported: {error}") from error
    except ImportError as error:
        raise UserError(f"{_named(kind, name)} cannot be imported: {error}") from error
    except Exception as error:  # whatever its module does
        raise UserError(f"{_named(kind, name)} cannot be imported: {type(error).__name__}: {error}") from error
    lacks = [attribute for attribute in NEEDED[kind] if not hasattr(found, attribute)]
    lacks += sorted(getattr(found, "__abstractmethods__", ()))
    if lacks:
        raise UserError(f"{_named(kind, name)} lacks {', '.join(lacks)}, which every {_one(kind)} has")
    attribute = NEEDED[kind][0]
    if (own := getattr(found, attribute)) != name:
        raise UserError(f"{_named(kind, name)} has {attribute} = {own!r}; the two must be the same")
    return found


def distribution(kind: Kind, name: str) -> str:
    """Name and version of the distribution that registers `name`."""
    return _distribution(_entries(kind)[name])


@cache
def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
