"""`synthflow list`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from synthflow.cli.text import console, echo_json
from synthflow.errors import UserError

KINDS = ("stages", "verifiers", "filters", "backends", "step_checkers", "exports", "recipes", "schema")

EPILOG = """\b
Examples:
  synthflow list stages
  synthflow list stages sample            the fields of one stage
  synthflow list recipes
  synthflow list schema > synthflow.schema.json      JSON Schema of a pipeline file, for editors
"""


@click.command("list", epilog=EPILOG)
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def listing(kind: str, name: str | None, as_json: bool) -> None:
    """Stages, verifiers, filters, backends, step checkers, exports and recipes; with a NAME, its fields."""
    if kind == "schema":
        from synthflow.spec.jsonschema import pipeline_schema

        echo_json(pipeline_schema())
        return
    found = fields_of(kind, name) if name else entries(kind)
    if as_json:
        echo_json(found)
        return
    width = max((len(row["name"]) for row in found), default=0)
    screen = console()
    for row in found:
        screen.print(f"  {row['name']:<{width}}  {row['summary']}", markup=False)


def entries(kind: str) -> list[dict[str, Any]]:
    """Name and one line on each registered thing of a kind."""
    from synthflow import registry
    from synthflow.stages.adapters import all_stage_names, stage_class

    if kind == "recipes":
        from synthflow.spec.load import recipe_names, recipe_summary

        return [{"name": name, "summary": recipe_summary(name)} for name in recipe_names()]
    if kind in ("stages", "exports"):
        names = [n for n in all_stage_names() if kind == "stages" or n.startswith("export.")]
        return [_entry(n, lambda n=n: stage_class(n).summary or stage_class(n).__doc__) for n in names]  # type: ignore[misc]
    return [_entry(n, lambda n=n: registry.load(kind, n).__doc__) for n in registry.names(kind)]  # type: ignore


def _entry(name: str, describe: Callable[[], str | None]) -> dict[str, Any]:
    """One line on a thing; what cannot be used here is listed all the same, with the reason."""
    try:
        return {"name": name, "summary": _line(describe())}
    except UserError as error:
        return {"name": name, "summary": f"not usable: {_line(str(error))}"}


def fields_of(kind: str, name: str) -> list[dict[str, Any]]:
    """Fields of one thing's configuration: name, type, default and meaning."""
    from synthflow import registry
    from synthflow.stages.adapters import stage_class

    if kind in ("stages", "exports"):
        model = stage_class(name).Config
    elif kind == "backends":
        model = registry.load("backends", name).Options
    elif kind == "step_checkers":
        registry.load("step_checkers", name)
        return []  # they have no fields
    else:
        model = registry.load(kind, name).Config  # type: ignore[arg-type]
    rows = []
    for field, info in model.model_fields.items():
        default = "required" if info.is_required() else f"default {info.default!r}"
        if info.default_factory is not None:
            default = "default empty"
        rows.append({"name": field, "summary": f"{info.description or ''} ({default})".strip()})
    return rows


def _line(text: str | None) -> str:
    return (text or "").strip().split("\n", 1)[0]
