"""What is wrong with the options of a plug-in that another stage's configuration names."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ValidationError


def option_mistakes(error: ValidationError, model: type[BaseModel], where: str) -> Iterable[tuple[str, str, str]]:
    """Mistakes in the form of `Stage.check`.

    Args:
        model: what the options were to be.
        where: the field that holds them.
    """
    for found in error.errors():
        field = ".".join(map(str, (where, *found["loc"])))
        if found["type"] == "extra_forbidden":
            yield field, "no such field", f"known: {', '.join(sorted(model.model_fields)) or 'none'}"
        else:
            yield field, f"{found['input']!r} is not right", str(found["msg"])
