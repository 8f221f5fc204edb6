"""Sampling backends: what turns a request into a completion, and the tokenizer that all of them share.

A registered backend has a folder of its name; what two of them share stands beside the folders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from synthflow import registry
from synthflow.contracts import Backend, PolicyConfig
from synthflow.errors import Mistake, Mistakes, suggest

if TYPE_CHECKING:
    from synthflow.backends.renderer import PolicyRenderer
    from synthflow.backends.template_options import TemplateOptions


def open_backend(policy: PolicyConfig) -> Backend:
    """The backend of a policy, not yet started.

    Raises:
        UserError: if no such backend is registered, or its options are wrong (all mistakes at once).
    """
    backend: type[Backend] = registry.load("backends", policy.backend)
    try:
        return backend(policy)
    except ValidationError as error:
        raise _mistakes(policy, backend, error) from error


def _mistakes(policy: PolicyConfig, backend: type[Backend], error: ValidationError) -> Mistakes:
    known = list(backend.Options.model_fields)
    found = []
    for e in error.errors():
        where = ".".join(str(part) for part in ("policy", "options", *e["loc"]))
        fix = f"known: {', '.join(known)}"
        if e["type"] == "extra_forbidden":
            fix = suggest(str(e["loc"][-1]), known) or fix
        found.append(Mistake(where, e["msg"], fix if e["type"] == "extra_forbidden" else ""))
    return Mistakes(found, f"the options of backend {policy.backend!r}")


def load_renderer(policy: PolicyConfig) -> PolicyRenderer | None:
    """Tokenizer and chat template of a policy; None for a server whose tokenizer nobody has.

    Raises:
        UserError: if the model, or the tokenizer that the options name, cannot be found.
    """
    from synthflow.backends.renderer import PolicyRenderer

    directory = _tokenizer_source(policy)
    return None if directory is None else PolicyRenderer.load(directory, _template_options(policy))


def _template_options(policy: PolicyConfig) -> TemplateOptions:
    """How a policy wants its chat template to be rendered; of a backend that says nothing of it, as it is."""
    from synthflow.backends.template_options import TemplateOptions

    fields = TemplateOptions.model_fields
    return TemplateOptions.model_validate({k: v for k, v in policy.options.items() if k in fields})


def _tokenizer_source(policy: PolicyConfig) -> Any:
    backend: Any = registry.load("backends", policy.backend)
    find = getattr(backend, "tokenizer_directory", None)
    if find is not None:  # a backend whose model is not a directory says where its tokenizer is
        try:
            return find(policy)
        except ValidationError as error:
            raise _mistakes(policy, backend, error) from error
    from synthflow.models.directories import resolve_model

    return resolve_model(policy.model)
