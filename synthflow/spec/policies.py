"""The policies of a spec: a backend, a model and the backend's own options, written flat.

Invariant: an option is checked against its backend's `Options` when the spec is read; no engine library is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from synthflow import registry
from synthflow.contracts import PolicyConfig
from synthflow.errors import UserError
from synthflow.spec import document as doc
from synthflow.spec.explain import check_bools, explain, show
from synthflow.spec.models import name_problem

DEFAULT = "default"


def read_policies(
    document: doc.Document, base_dir: Path
) -> tuple[dict[str, PolicyConfig], dict[str, dict[str, Any]], set[str]]:
    """Policies by name, the same with every option written out, and the names that were declared, right or wrong."""
    data = document.data
    declared: dict[str, doc.Path] = {}
    if data.get("policy") is not None:
        declared[DEFAULT] = ("policy",)
    many = data.get("policies")
    if isinstance(many, dict):
        if declared and DEFAULT in many:
            document.mistake(("policies", DEFAULT), "policy: already says what default is", "keep one of them")
        declared = {name: ("policies", name) for name in many} | declared
    configs: dict[str, PolicyConfig] = {}
    resolved: dict[str, dict[str, Any]] = {}
    for name, path in declared.items():
        if name_problem(name):
            document.mistake(path, f"{name!r} is no name for a policy", str(name_problem(name)))
        raw = data["policy"] if path == ("policy",) else data["policies"][name]
        if isinstance(raw, dict):
            made = _read_one(document, path, raw, base_dir)
            if made is not None:
                configs[name], resolved[name] = made
    return configs, resolved, set(declared)


def _read_one(
    document: doc.Document, path: doc.Path, raw: Mapping[str, Any], base_dir: Path
) -> tuple[PolicyConfig, dict[str, Any]] | None:
    before = len(document.found)
    backend, model = (_text(document, path, raw, field) for field in ("backend", "model"))
    if backend is None:
        return None
    try:
        cls = registry.load("backends", backend)
    except UserError as error:
        document.mistake((*path, "backend"), str(error))
        return None
    given = {key: value for key, value in raw.items() if key not in ("backend", "model")}
    try:
        options = cls.Options.model_validate(given)
    except ValidationError as error:
        explain(document, path, error, cls.Options, also=("backend", "model"))
        return None
    if len(document.found) > before or model is None:
        return None
    is_typed = document.places.get((*path, "model"), "").startswith("-o ")
    anchored = _anchor(model, Path.cwd() if is_typed else base_dir)
    written_out = {"backend": backend, "model": model, **options.model_dump(mode="json")}
    check_bools(document, path, raw, written_out)
    return PolicyConfig(backend=backend, model=anchored, options=given), written_out


def _text(document: doc.Document, path: doc.Path, raw: Mapping[str, Any], field: str) -> str | None:
    value = raw.get(field)
    if isinstance(value, str) and value:
        return value
    if field not in raw:
        fix = f"one of {', '.join(registry.names('backends'))}" if field == "backend" else "a folder, or a model's name"
        document.mistake((*path, field), "missing", fix)
    else:
        document.mistake((*path, field), f"{show(value)} is not right", "expected text")
    return None


def _anchor(model: str, base_dir: Path) -> str:
    """A model given as ./folder or ../folder is relative to the spec; anything else is a name or absolute."""
    return str((base_dir / model).resolve()) if model.startswith(("./", "../")) else model
