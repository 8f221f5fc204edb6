"""A JSON Schema of pipeline files, for editors: completion, types and the description of every field.

Invariant: a resolved spec satisfies the schema. A stage or backend that cannot be imported here is described by its
name alone, so that the schema never refuses what another machine can run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from synthflow import registry
from synthflow.errors import UserError
from synthflow.spec.models import PipelineSpec
from synthflow.stages.adapters import all_stage_names, stage_class

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def pipeline_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a pipeline file, for the stages and backends that are installed."""
    stages = {use: cls.Config for use, cls in _stage_classes()}
    backends = dict(_backend_options())
    models: list[type[BaseModel]] = [PipelineSpec, *stages.values(), *backends.values()]
    refs, shared = models_json_schema([(model, "validation") for model in models], ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = shared["$defs"]
    spec = definitions.pop(refs[PipelineSpec, "validation"]["$ref"].rpartition("/")[2])
    for model in models[1:]:
        _loosen(definitions[refs[model, "validation"]["$ref"].rpartition("/")[2]])
    for use, model in stages.items():
        definition = definitions[refs[model, "validation"]["$ref"].rpartition("/")[2]]
        definition.setdefault("description", stage_class(use).summary)
    definitions["stage"] = _choice("use", all_stage_names(), {u: refs[m, "validation"] for u, m in stages.items()})
    definitions["policy"] = _policy({name: refs[m, "validation"] for name, m in backends.items()})
    fields = spec["properties"]
    fields["stages"] = _by_name("stage", fields["stages"])
    fields["policies"] = _by_name("policy", fields["policies"])
    fields["policy"] = {"$ref": "#/$defs/policy", "description": fields["policy"]["description"]}
    return {"$schema": _DIALECT, **spec, "title": "Synthflow pipeline", "$defs": definitions}


def _stage_classes() -> Iterable[tuple[str, Any]]:
    for use in all_stage_names():
        try:
            yield use, stage_class(use)
        except UserError:  # an extra that is not installed: `_choice` still lists its name
            continue


def _backend_options() -> Iterable[tuple[str, type[BaseModel]]]:
    for name in registry.names("backends"):
        try:
            yield name, registry.load("backends", name).Options
        except UserError:  # as above
            continue


def _choice(field: str, names: list[str], refs: dict[str, Any]) -> dict[str, Any]:
    """An object whose `field` decides which definition holds for it."""
    return {
        "type": "object",
        "required": [field],
        "properties": {field: {"enum": names}},
        "allOf": [
            {"if": {"properties": {field: {"const": name}}, "required": [field]}, "then": ref}
            for name, ref in refs.items()
        ],
    }


def _policy(refs: dict[str, Any]) -> dict[str, Any]:
    made = _choice("backend", registry.names("backends"), refs)
    made["required"].append("model")
    made["properties"]["model"] = {"type": "string", "description": "a folder, or a model's name"}
    return made


def _by_name(definition: str, before: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "object", "additionalProperties": {"$ref": f"#/$defs/{definition}"}}
    made.update({key: before[key] for key in ("description", "minProperties") if key in before})
    return made


def _loosen(definition: dict[str, Any]) -> None:
    """Let one name, path or text stand for a list of one, and fields of the policy itself beside its options."""
    for name, field in definition.get("properties", {}).items():
        if name in ("of", "path", "stop") and field.get("type") == "array":
            definition["properties"][name] = {
                "anyOf": [{"type": "string"}, {key: field[key] for key in ("type", "items") if key in field}],
                "description": field.get("description", ""),
            }
    if "use" not in definition.get("properties", {}):
        definition.pop("additionalProperties", None)
