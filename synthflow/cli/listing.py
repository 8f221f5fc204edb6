"""`synthflow list`."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import fill
from typing import Any

import click

from synthflow.cli.text import console, echo_json
from synthflow.errors import UserError, suggest

KINDS = ("stages", "verifiers", "filters", "backends", "step_checkers", "metrics", "exports", "recipes", "schema")

EPILOG = """\b
Examples:
  synthflow list                          the names of all that there is
  synthflow list stages
  synthflow list stages sample            the fields of one stage
  synthflow list recipes
  synthflow list recipes redi --yaml      a recipe as it is, to read or to copy
  synthflow list schema > synthflow.schema.json      JSON Schema of a pipeline file, for editors
"""


@click.command("list", epilog=EPILOG)
@click.argument("kind", type=click.Choice(KINDS), required=False, metavar="[KIND]")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.option("--yaml", "as_yaml", is_flag=True, help="With `recipes NAME`: the pipeline file.")
def listing(kind: str | None, name: str | None, as_json: bool, as_yaml: bool) -> None:
    """What there is; of a KIND, what each does; with a NAME, its fields.

    KIND is stages, verifiers, filters, backends, step_checkers, metrics, exports, recipes or schema.
    """
    if as_yaml and (kind != "recipes" or name is None):
        raise click.UsageError("--yaml prints a recipe: synthflow list recipes NAME --yaml")
    if kind is None:
        _overview(as_json)
    elif kind == "schema":
        from synthflow.spec.jsonschema import pipeline_schema

        echo_json(pipeline_schema())
    elif as_yaml and name is not None:
        from synthflow.spec.load import recipe_text

        click.echo(recipe_text(name), nl=False)
    else:
        _print(fields_of(kind, name) if name else entries(kind), as_json)


def _overview(as_json: bool) -> None:
    """Every kind with its names."""
    names = {kind: [entry["name"] for entry in entries(kind)] for kind in KINDS if kind != "schema"}
    if as_json:
        echo_json(names)
        return
    for kind, each in names.items():
        click.echo(f"{kind} ({len(each)})")
        click.echo(fill(", ".join(each), 100, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False))
    click.echo("\nsynthflow list KIND says what each does, synthflow list KIND NAME what fields it has.")


def _print(found: list[dict[str, Any]], as_json: bool) -> None:
    """Names and what is to say of them, in a second column that wraps."""
    if as_json:
        echo_json(found)
        return
    indent = max((len(row["name"]) for row in found), default=0) + 4
    for row in found:
        text = fill(row["summary"], max(console().width, indent + 40), initial_indent=" " * indent,
                    subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)  # fmt: skip
        click.echo(f"  {row['name']:<{indent - 4}}  {text[indent:]}")


def entries(kind: str) -> list[dict[str, Any]]:
    """Name and one line on each registered thing of a kind."""
    from synthflow import registry
    from synthflow.stages.adapters import all_stage_names, stage_class

    if kind == "recipes":
        from synthflow.spec.load import recipe_names, recipe_summary

        return [{"name": name, "summary": recipe_summary(name)} for name in recipe_names()]
    if kind == "metrics":
        from synthflow.statistics.metrics import all_metrics

        return [{"name": metric.name, "summary": metric.formula} for metric in all_metrics()]
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
    elif kind in ("recipes", "metrics"):
        return _one_of(kind, name)
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


def _one_of(kind: str, name: str) -> list[dict[str, Any]]:
    """The line on one thing that has no fields."""
    known = {entry["name"]: entry for entry in entries(kind)}
    if name not in known:
        raise UserError(f"no {kind[:-1]} is called {name!r}; {suggest(name, known) or ', '.join(known)}")
    return [known[name]]


def _line(text: str | None) -> str:
    return (text or "").strip().split("\n", 1)[0]
