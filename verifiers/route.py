"""`route`: which verifier judges depends on the problem: its domain, its source, or a field of its metadata.

Invariant: exactly one verifier is asked about a completion, or none where no route leads anywhere, which is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from synthflow.contracts import Judgement, Question, Verifier, VerifierConfig
from synthflow.verifiers.components import Component, Components, anchored
from synthflow.verifiers.metadata import fields


class RouteConfig(VerifierConfig):
    """Configuration of `verify.route`."""

    by: str = Field("domain", pattern=r"^(domain|source|metadata\..+)$", description="domain, source or metadata.FIELD")
    routes: dict[str, Component] = Field(min_length=1, description="verifiers by value of that field")
    default: Component | None = Field(None, description="for every other value; null: unknown, reason no_route")


class RouteVerifier(Verifier):
    """One verifier a domain. Unknown reasons: no_route, and those of the verifier that was asked."""

    name = "route"
    version = "1"
    Config = RouteConfig
    needs_answer = False

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._keys = list(self.config.routes)
        last = [] if self.config.default is None else [self.config.default]
        self._components = Components([*self.config.routes.values(), *last])

    @classmethod
    def resolve_paths(cls, given: Mapping[str, Any], base_dir: Path) -> dict[str, Any]:
        found = dict(given)
        if isinstance(found.get("routes"), Mapping):
            found["routes"] = {key: anchored(value, base_dir) for key, value in found["routes"].items()}
        if "default" in found:
            found["default"] = anchored(found["default"], base_dir)
        return found

    def check(self) -> Iterable[tuple[str, str, str]]:
        default = [] if self.config.default is None else ["default"]
        return self._components.check([*(f"routes.{key}" for key in self._keys), *default])

    def identity(self) -> Any:
        return {"by": self.config.by, "keys": self._keys, "components": self._components.identities()}

    def full_version(self) -> str:
        return self.version + self._components.versions()

    def judge(self, questions: Sequence[Question]) -> list[Judgement]:
        judged: list[Judgement | None] = [None] * len(questions)
        by_place: dict[int, list[int]] = {}
        for i, question in enumerate(questions):
            value = self._value(question)
            if value in self._keys:
                by_place.setdefault(self._keys.index(value), []).append(i)
            elif self.config.default is not None:
                by_place.setdefault(len(self._keys), []).append(i)
            else:
                judged[i] = Judgement.unknown("no_route", f"{self.config.by}: {value}")
        for place, mine in sorted(by_place.items()):
            for i, judgement in zip(mine, self._components[place].ask([questions[i] for i in mine]), strict=True):
                judged[i] = judgement
        return [judgement for judgement in judged if judgement is not None]

    def _value(self, question: Question) -> str | None:
        by = self.config.by
        if by in ("domain", "source"):
            found = question.domain if by == "domain" else question.source
        else:
            found = fields(question.metadata).get(by.removeprefix("metadata."))
        return None if found is None else str(found)

    def close(self) -> None:
        self._components.close()
