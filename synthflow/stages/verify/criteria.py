"""The criteria of a rubric: hard rules, which a program checks, and principles, which a model judges one by one.

Invariant: a rule is a registered verifier or filter with its own fields, checked when the spec is read. Criteria that
come with a problem (its metadata, or an artifact of kind rubric) are principles only: data may ask a model, but names
no program; what is not a list of them is a mistake that is told, never an empty rubric.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synthflow import registry
from synthflow.errors import UserError, suggest
from synthflow.judges import prompts
from synthflow.judges.config import Found
from synthflow.judges.parsing import Answer
from synthflow.judges.samples import Thresholds
from synthflow.rollouts.plugin_options import option_mistakes
from synthflow.stages.verify.config import JudgingConfig

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
MAX_OWN = 64
"""Most criteria that a problem may bring."""


class Criterion(BaseModel):
    """One criterion: `rule` or `principle`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="its score is the row RUBRIC:NAME")
    weight: float = Field(1.0, ge=-1e6, le=1e6, description="points if it is met; below 0 for a fault")
    required: bool = Field(False, description="where it is not met, the answer is wrong whatever its points")
    principle: str | None = Field(None, min_length=1, description="what a model judges")
    scale: tuple[float, float] | None = Field(
        None, description="ask for a score on this scale; null: ask whether it is met, yes or no"
    )
    rule: str | None = Field(None, description="what a program checks: verify.NAME or filter.NAME")
    options: dict[str, Any] = Field(default_factory=dict, description="fields of the rule")

    def answer(self, layout: Any) -> Answer:
        if self.scale is not None:
            return Answer("Score", scale=self.scale, layout=layout)
        return Answer("Met", ("yes", "no"), layout=layout)

    def mistakes(self) -> Iterable[tuple[str, str, str]]:
        """(field, what is wrong, what to do)."""
        if not _NAME.fullmatch(self.name):
            yield "name", f"{self.name!r} is no name", "write 1 to 64 letters, digits, _ and -"
        if (self.rule is None) == (self.principle is None):
            yield "", "has both a rule and a principle" if self.rule else "has no rule and no principle", "give one"
        elif self.rule is not None:
            yield from _rule_mistakes(self.rule, self.options)
        if self.rule is None and self.options:
            yield "options", "a principle has no options", "remove them"
        if self.scale is not None and not self.scale[0] < self.scale[1]:
            yield "scale", "its first end is not below its second", "write [least, most], such as [0, 10]"
        if self.scale is not None and self.rule is not None:
            yield "scale", "a rule has no scale", "remove it"


def _rule_mistakes(rule: str, options: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    kind, _, name = rule.partition(".")
    groups = {"verify": "verifiers", "filter": "filters"}
    known = {f"{k}.{n}" for k, group in groups.items() for n in registry.names(group)}  # type: ignore[arg-type]
    if rule not in known:
        hint = suggest(rule, known) or f"known: {', '.join(sorted(known))}"
        yield "rule", f"no verifier or filter is called {rule!r}", hint
        return
    try:
        model = registry.load(groups[kind], name).Config  # type: ignore[arg-type]
        model.model_validate(options)
    except ValidationError as error:
        yield from option_mistakes(error, model, "options")
    except UserError as error:
        yield "rule", str(error), "install what it needs"


class RubricConfig(JudgingConfig):
    """Fields of `verify.rubric`."""

    policy: str | None = Field(None, description="the policy that judges principles; null where there are rules only")
    criteria: tuple[Criterion, ...] = Field((), description="the rubric of every problem")
    criteria_from: str | None = Field(
        None, description="principles of each problem's own: metadata.KEY (a list), or artifacts (of kind rubric)"
    )
    correct_from: float = Field(0.5, gt=0, le=1, description="score from which an answer is correct")
    wrong_below: float | None = Field(None, gt=0, le=1, description="below it an answer is wrong; null: correct_from")

    def template(self) -> str:
        return self.prompt if self.prompt is not None else prompts.shipped("criterion")

    def limits(self) -> Thresholds:
        return Thresholds(self.correct_from, self.correct_from if self.wrong_below is None else self.wrong_below)

    def mistakes(self) -> Found:
        yield from self.common_mistakes(("question", "answer", "criterion"))
        seen: set[str] = set()
        for place, criterion in enumerate(self.criteria):
            for field, what, fix in criterion.mistakes():
                yield f"criteria.{place}" + (f".{field}" if field else ""), what, fix
            if criterion.name in seen:
                yield f"criteria.{place}.name", f"{criterion.name!r} stands twice", "choose another name"
            seen.add(criterion.name)
        if not self.criteria and self.criteria_from is None:
            yield "criteria", "missing", "give criteria, or say where each problem has its own with criteria_from"
        if self.criteria and self.criteria_from is None and not any(c.weight > 0 for c in self.criteria):
            yield "criteria", "no weight is above 0, so there is no score", "give a criterion a weight above 0"
        if self.criteria_from is not None and not re.fullmatch(r"artifacts|metadata\..+", self.criteria_from):
            yield "criteria_from", f"{self.criteria_from!r} names no place", "write metadata.KEY or artifacts"
        asks = self.criteria_from is not None or any(c.principle is not None for c in self.criteria)
        if asks and self.policy is None:
            yield "policy", "missing", "name the policy that judges principles"
        if self.wrong_below is not None and self.wrong_below > self.correct_from:
            yield "wrong_below", f"{self.wrong_below:g} is above correct_from", "scores between the two are unknown"


@dataclass(frozen=True, slots=True)
class Rubric:
    """The criteria of one problem, or the `problem` that there is with them."""

    criteria: tuple[Criterion, ...]
    problem: str | None = None


def own_criteria(given: Any, taken: Sequence[str]) -> Rubric:
    """The principles that a problem brings.

    Args:
        given: a list of texts, or of groups with `principle` (or `criterion`) and perhaps `name`, `weight` (or
            `points`), `required`, `scale`; or that list as JSON.
        taken: names that the spec's own criteria have.
    """
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return Rubric((), "is not JSON")
    if not isinstance(given, list) or not given:
        return Rubric((), "is no list of criteria")
    if len(given) > MAX_OWN:
        return Rubric((), f"has {len(given)} criteria; at most {MAX_OWN}")
    found: list[Criterion] = []
    for place, item in enumerate(given, 1):
        fields = {"principle": item} if isinstance(item, str) else dict(item) if isinstance(item, Mapping) else None
        if fields is None:
            return Rubric((), f"criterion {place} is neither a text nor a group of fields")
        for other, name in (("criterion", "principle"), ("points", "weight")):
            if other in fields:
                fields.setdefault(name, fields.pop(other))
        try:
            criterion = Criterion.model_validate({"name": f"own-{place}", **fields})
        except ValidationError as error:
            first = error.errors()[0]
            return Rubric((), f"criterion {place}: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}")
        if criterion.principle is None or criterion.rule is not None or next(iter(criterion.mistakes()), None):
            return Rubric((), f"criterion {place} is no sound principle")
        if criterion.name in {*taken, *(c.name for c in found)}:
            return Rubric((), f"two criteria are called {criterion.name!r}")
        found.append(criterion)
    return Rubric(tuple(found))
