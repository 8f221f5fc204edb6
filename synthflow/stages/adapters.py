"""From the word after `use` to the class of a stage: registered stages, and verifiers and filters as stages.

Invariant: this is the one door: who reads specs or runs units asks here, and imports no stage.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import create_model

from synthflow import registry
from synthflow.contracts import Filter, Stage, StageConfig, Verifier, VerifyConfig
from synthflow.contracts.stage_info import verifier_stage
from synthflow.errors import UserError, suggest
from synthflow.rollouts.adapted import ADAPTER_VERSION
from synthflow.stages.filter.registered import FilterStage, FilterStageConfig
from synthflow.stages.tag.registered import TagConfig, TagStage
from synthflow.stages.verify.registered import VerifyStage


def stage_class(use: str) -> type[Stage]:
    """The stage a spec calls `use`: a registered stage, or the adapter of a verifier or filter.

    Raises:
        UserError: if nothing has that name, with the nearest one of any kind; or if its import fails.
    """
    if use in registry.names("stages"):
        found: type[Stage] = registry.load("stages", use)
        return found
    kind, _, name = use.partition(".")
    if kind == "verify" and name in registry.names("verifiers"):
        return _bind_verifier(name, registry.load("verifiers", name))
    if kind == "tag" and name in registry.names("verifiers"):
        return _bind_tag(name, registry.load("verifiers", name))
    if kind == "filter" and name in registry.names("filters"):
        return _bind_filter(name, registry.load("filters", name))
    hint = suggest(use, all_stage_names()) or "`synthflow list stages` shows all"
    raise UserError(f"no stage is called {use!r}; {hint}")


def origin(use: str) -> str:
    """`my.tags of my-package 0.3`: a stage, or the verifier or filter that it is made of, and who brought it."""
    kind, _, name = use.partition(".")
    kinds: dict[str, registry.Kind] = {"verify": "verifiers", "tag": "verifiers", "filter": "filters"}
    if use in registry.names("stages"):
        return f"{use} of {registry.distribution('stages', use)}"
    if kind in kinds and name in registry.names(kinds[kind]):
        return f"{use} of {registry.distribution(kinds[kind], name)}"
    return use


def all_stage_names() -> list[str]:
    """Every name that `use` may have, sorted: stages, `verify.x`, `tag.x` and `filter.x`."""
    verifiers = [name for x in registry.names("verifiers") for name in (verifier_stage(x), f"tag.{x}")]
    return sorted({*registry.names("stages"), *verifiers, *(f"filter.{name}" for name in registry.names("filters"))})


@cache
def _bind_verifier(name: str, wrapped: type[Verifier]) -> type[Stage]:
    body = {
        "use": verifier_stage(name),
        "version": f"{ADAPTER_VERSION}+{wrapped.version}",
        "Config": _merged(verifier_stage(name), VerifyConfig, wrapped.Config),
        "own": tuple(wrapped.Config.model_fields),
        "summary": _summary(wrapped),
        "verifier": name,
        "wrapped": wrapped,
        "needs_answer": wrapped.needs_answer,
        "__doc__": wrapped.__doc__,
        "__reduce__": _reduce,
    }
    return type(f"Verify_{name}", (VerifyStage,), body)


@cache
def _bind_tag(name: str, wrapped: type[Verifier]) -> type[Stage]:
    body = {
        "use": f"tag.{name}",
        "version": f"{ADAPTER_VERSION}+{wrapped.version}",
        "Config": _merged(f"tag.{name}", TagConfig, wrapped.Config),
        "own": tuple(wrapped.Config.model_fields),
        "summary": f"As a measure and no verdict: {_summary(wrapped)}",
        "verifier": name,
        "wrapped": wrapped,
        "__doc__": wrapped.__doc__,
        "__reduce__": _reduce,
    }
    return type(f"Tag_{name}", (TagStage,), body)


@cache
def _bind_filter(name: str, wrapped: type[Filter]) -> type[Stage]:
    body = {
        "use": f"filter.{name}",
        "version": f"{ADAPTER_VERSION}+{wrapped.version}",
        "Config": _merged(f"filter.{name}", FilterStageConfig, wrapped.Config),
        "own": tuple(wrapped.Config.model_fields),
        "summary": _summary(wrapped),
        "filter": name,
        "wrapped": wrapped,
        "__doc__": wrapped.__doc__,
        "__reduce__": _reduce,
    }
    return type(f"Filter_{name}", (FilterStage,), body)


def _merged(use: str, ours: type[StageConfig], theirs: type[Any]) -> type[Any]:
    """One flat model of both, with the validators of both; a field in both is a programming error of `theirs`."""
    both = set(ours.model_fields) & set(theirs.model_fields)
    if both:
        raise UserError(f"{use}: its configuration may not have a field called {sorted(both)[0]!r}, every stage has it")
    return create_model(use.replace(".", "_") + "_config", __base__=(ours, theirs), __doc__=theirs.__doc__)


def _summary(wrapped: type[Any]) -> str:
    return (wrapped.__doc__ or "").strip().partition("\n")[0]


def _reduce(stage: Stage) -> tuple[Any, ...]:
    # The class is made at run time, so that a pickle can only name it by its use.
    return _rebuild, (stage.use, stage.name, stage.config.model_dump())


def _rebuild(use: str, name: str, config: dict[str, Any]) -> Stage:
    made = stage_class(use)
    return made(name, made.Config.model_validate(config))
