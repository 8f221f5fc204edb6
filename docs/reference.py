"""The reference, made from the code: fields of stages and policies, the command line, recipes and their claims.

Every function returns Markdown for one part of a page; `make.py` puts it there.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from synthflow import registry
from synthflow.cli.main import COMMANDS, cli
from synthflow.spec import load_pipeline
from synthflow.spec.load import recipe_names
from synthflow.stages.adapters import all_stage_names, stage_class

CLAIMS = Path("tests/e2e/claims")
_SHARED = ("use", "of")
_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}


def stages(word: str) -> str:
    """Every stage whose `use` begins with a word, with its fields."""
    return "\n\n".join(_stage(use) for use in all_stage_names() if use.split(".")[0] == word)


def backends() -> str:
    """Every backend, with the options that stand beside `backend` and `model` in a policy."""
    parts = []
    for name in registry.names("backends"):
        found = registry.load("backends", name)
        parts.append(f"## `{name}`\n\n{_first_line(found.__doc__)}\n\n{_table(found.Options)}")
    return "\n\n".join(parts)


def commands() -> str:
    """Every command, as `--help` prints it."""
    parts = []
    for name in COMMANDS:
        size = {"max_content_width": 100, "terminal_width": 100}
        context = click.Context(cli, info_name="synthflow", **size, **cli.context_settings)  # type: ignore[arg-type]
        command = cli.get_command(context, name)
        assert command is not None
        help_text = command.get_help(click.Context(command, context, info_name=name, terminal_width=100))
        parts.append(f"## {name}\n\n```text\n{help_text.rstrip()}\n```")
    return "\n\n".join(parts)


def recipes() -> str:
    """Every recipe, and what a test claims of its data."""
    parts = []
    for name in recipe_names():
        parts.append(f"## {name}\n\n{_upper(_escaped(_head(name)))}")
        file = CLAIMS / f"{name}.yaml"
        if file.is_file():
            found = yaml.safe_load(file.read_text(encoding="utf-8"))["claims"]
            parts.append("\n".join(f"- {_escaped(claim['what'])}" for claim in found))
    return "\n\n".join(parts)


def _head(name: str) -> str:
    """The first paragraph of a recipe's header, without its name."""
    head = load_pipeline(name).spec_text.partition("\n#\n")[0]
    return " ".join(line.removeprefix("#").strip() for line in head.splitlines()).removeprefix(f"{name}: ")


def _stage(use: str) -> str:
    found = stage_class(use)
    fields = _table(found.Config) if len(found.Config.model_fields) > len(_SHARED) else "No fields of its own."
    return f"## `{use}`\n\n{_escaped(found.summary or _first_line(found.__doc__))}\n\n{fields}"


def _table(model: type[BaseModel]) -> str:
    lines = ["| field | default | a | meaning |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{name}` | {_default(field)} | {_kind(field.annotation)} | {_escaped(field.description or '')} |"
        for name, field in _fields(model)
    ]
    return "\n".join(lines)


def _fields(model: type[BaseModel], before: str = "") -> Iterable[tuple[str, FieldInfo]]:
    """A model's fields, those of the models in it behind them as `field.name`."""
    for name, field in model.model_fields.items():
        if name in _SHARED and not before:
            continue
        yield before + (field.alias or name), field
        for inner in _models(field.annotation):
            yield from _fields(inner, f"{before}{field.alias or name}.")


def _models(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return "see below"
    if value is None or value in ((), {}, []):
        return "none"
    return f"`{_spelled(value)}`"


def _spelled(value: Any) -> str:
    """A value as YAML writes it."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_spelled, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_spelled(v)}' for key, v in value.items())}}}"
    return (
        {True: "true", False: "false", "": '""'}.get(value, str(value)) if isinstance(value, bool | str) else f"{value}"
    )


def _kind(annotation: Any) -> str:
    """What a field takes, in words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(parts[0])
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(part) for part in parts if part is not type(None))
    if origin is tuple and parts[-1:] == (Ellipsis,):
        return f"list of {_kind(parts[0])}"
    if origin is tuple:
        return f"list of {len(parts)}: {', '.join(map(_kind, parts))}"
    if origin is dict:
        return f"mapping to {_kind(parts[1])}"
    return _WORDS.get(annotation, "mapping")


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n", 1)[0]


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _escaped(text: str) -> str:
    """Text for a cell: no sign in it means anything to Markdown, but what stands between backticks."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(p.replace("|", r"\|") if p.startswith("`") else re.sub(r"([|*_<>\\])", r"\\\1", p) for p in parts)
