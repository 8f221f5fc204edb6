"""Opens a verifier by name with a checked configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from synthflow.contracts import Verifier
from synthflow.errors import Mistake, Mistakes, suggest
from synthflow.registry import load


def open_verifier(name: str, config: Mapping[str, Any] | None = None) -> Verifier:
    """The verifier registered as `name`, configured; close it when done.

    Raises:
        UserError: if no verifier has that name, or its packages are missing.
        Mistakes: if the configuration is wrong: every wrong field with what was expected.
    """
    cls: type[Verifier] = load("verifiers", name)
    try:
        checked = cls.Config.model_validate(dict(config or {}))
    except ValidationError as error:
        raise Mistakes([_mistake(name, cls, found) for found in error.errors()], f"verify.{name}") from None
    return cls(checked)


def _mistake(name: str, cls: type[Verifier], found: Any) -> Mistake:
    field = ".".join(map(str, found["loc"])) or "configuration"
    if found["type"] == "extra_forbidden":
        known = sorted(cls.Config.model_fields)
        fix = suggest(field, known) or f"known: {', '.join(known) or 'none'}"
        return Mistake(f"verify.{name}.{field}", "there is no such field", fix)
    said = str(found["msg"]).removeprefix("Value error, ")
    return Mistake(f"verify.{name}.{field}", f"{said[:1].lower()}{said[1:]}, but {found['input']!r} was given")
