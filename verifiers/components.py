"""The verifiers that a composition asks: named and checked in its configuration, opened when they are first needed.

Invariants: a component is any registered verifier, a third party's or a composition too; a mistake in its
configuration stands at its own field; what a component says is one `Part` of the composed judgement, with the same
scorer, version and configuration hash as if it had judged alone. A component that needs a gold answer is not asked
without one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationError, WithJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError

from synthflow.contracts import Judgement, Part, Question, Verifier
from synthflow.errors import InvariantBroken, UserError, suggest
from synthflow.ids import canonical
from synthflow.registry import load, names
from synthflow.verifiers.opening import open_verifier
from synthflow.verifiers.workers.sharing import SharedVerifier, acquire, release


def _checked(value: Any) -> dict[str, Any]:
    """A component as `{use: name, ...}` with every default written out.

    Raises:
        ValidationError: with each mistake at its own field.
    """
    if isinstance(value, str):
        value = {"use": value}
    if not isinstance(value, Mapping):
        raise PydanticCustomError("component", "the name of a verifier, or {use: NAME, ...}")
    own = {str(key): inner for key, inner in value.items()}
    use = own.pop("use", None)
    if use is None:
        raise _at([InitErrorDetails(type="missing", loc=("use",), input=value)])
    cls = _class(use)
    try:
        config = cls.Config.model_validate(own)
    except ValidationError as error:
        raise _at([_retold(found, cls) for found in error.errors(include_url=False)]) from None
    if getattr(config, "threshold", 0) is None:
        what = PydanticCustomError("component", "a number: without one it gives no verdict to compose")
        raise _at([InitErrorDetails(type=what, loc=("threshold",), input=None)])
    return {"use": use, **config.model_dump(mode="json")}


def _class(use: Any) -> type[Verifier]:
    if isinstance(use, str) and use in names("verifiers"):
        try:
            found: type[Verifier] = load("verifiers", use)
        except UserError as error:
            expected = str(error)
        else:
            return found
    elif isinstance(use, str) and f"verify.{use.removeprefix('verify.')}" in names("stages"):
        expected = "a verifier; this one is a stage of its own: combine its verdicts with verify.combine"
    else:
        known = names("verifiers")
        hint = suggest(str(use).removeprefix("verify."), known) or f"known: {', '.join(known)}"
        expected = f"the name of a verifier; {hint}"
    raise _at([InitErrorDetails(type=PydanticCustomError("component", _literal(expected)), loc=("use",), input=use)])


def _at(found: list[InitErrorDetails]) -> ValidationError:
    return ValidationError.from_exception_data("component", found)


def _retold(found: Mapping[str, Any], cls: type[Verifier]) -> InitErrorDetails:
    """A component's own mistake; an unknown field with the nearest right one, which only its verifier knows."""
    kind, message = found["type"], found["msg"]
    if kind == "extra_forbidden" and len(found["loc"]) == 1:
        known = sorted(cls.Config.model_fields)
        kind = "no_such_field"
        message = suggest(str(found["loc"][0]), known) or f"known: {', '.join(known) or 'none'}"
    told = PydanticCustomError(kind, _literal(message), dict(found.get("ctx", {})))
    return InitErrorDetails(type=told, loc=found["loc"], input=found["input"])


def _literal(message: str) -> Any:
    """Pydantic's types want a literal; its templates fill in `{name}` of the context only."""
    return message


Component = Annotated[
    dict[str, Any],
    BeforeValidator(_checked),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "object", "required": ["use"], "properties": {"use": {"type": "string"}}},
            ],
            "description": "a verifier: its name, or {use: NAME, ...} with its fields",
        }
    ),
]


def all_different(components: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The components, if no two are one verifier with one configuration, which would be asked twice.

    Raises:
        ValueError: if two are.
    """
    seen: set[str] = set()
    for component in components:
        key = canonical(component)
        if key in seen:
            raise ValueError(f"different verifiers: {component['use']} stands twice with the same configuration")
        seen.add(key)
    return tuple(components)


def anchored(value: Any, base_dir: Path) -> Any:
    """A component as given, with the paths in it made absolute; what is malformed is left for the validation."""
    if not isinstance(value, Mapping) or value.get("use") not in names("verifiers"):
        return value
    try:
        cls: type[Verifier] = load("verifiers", value["use"])
    except UserError:
        return value
    return {"use": value["use"], **cls.resolve_paths({k: v for k, v in value.items() if k != "use"}, base_dir)}


@dataclass(slots=True)
class Asked:
    """One component, opened."""

    use: str
    lent: SharedVerifier
    version: str
    config_hash: str

    @classmethod
    def open(cls, component: Mapping[str, Any]) -> Asked:
        use = component["use"]
        lent = acquire(use, {key: value for key, value in component.items() if key != "use"})
        return cls(use, lent, lent.full_version, lent.config_hash)

    def ask(self, questions: Sequence[Question]) -> list[Judgement]:
        """Judgements in order, each with its own `Part` in front of those that stand behind it.

        Raises:
            InvariantBroken: if the verifier gives another number of judgements.
        """
        needs_answer = self.lent.verifier.needs_answer
        open_ = [q for q in questions if q.answer is not None or not needs_answer]
        with self.lent.turn:
            said = self.lent.verifier.judge(open_) if open_ else []
        if len(said) != len(open_):
            raise InvariantBroken(f"verifier {self.use!r}: {len(open_)} questions, {len(said)} judgements")
        given = iter(said)
        return [
            self._with_part(Judgement.unknown("no_gold") if question.answer is None and needs_answer else next(given))
            for question in questions
        ]

    def _with_part(self, said: Judgement) -> Judgement:
        part = Part(
            "component", self.use, self.version, self.config_hash, said.verdict, said.value, said.reason, said.detail
        )
        return replace(said, parts=(part, *said.parts))


class Components:
    """The components of one composition. `ask` opens what it needs; `close` closes what was opened."""

    def __init__(self, given: Sequence[Mapping[str, Any]]) -> None:
        self.given = tuple(given)
        self._opened: dict[str, Asked] = {}

    def __getitem__(self, place: int) -> Asked:
        key = canonical(self.given[place])
        if key not in self._opened:
            self._opened[key] = Asked.open(self.given[place])
        return self._opened[key]

    def names(self) -> list[str]:
        return [component["use"] for component in self.given]

    def versions(self) -> str:
        """Names and full versions of all, for the composition's own version."""
        return "".join(f"+({self[i].use} {self[i].version})" for i in range(len(self.given)))

    def identities(self) -> list[Any]:
        """What stands for the components in the composition's configuration hash."""
        opened = [self[i] for i in range(len(self.given))]
        return [[each.use, each.lent.verifier.version, each.config_hash] for each in opened]

    def ask_in_turn(
        self, questions: Sequence[Question], order: Sequence[int], needed: Callable[[Mapping[int, Judgement]], bool]
    ) -> list[dict[int, Judgement]]:
        """Ask the components in `order`, each about the questions whose judgements so far say that it is `needed`.

        Returns:
            For each question, judgements by the place of the component.
        """
        said: list[dict[int, Judgement]] = [{} for _ in questions]
        for place in order:
            open_ = [i for i in range(len(questions)) if needed(said[i])]
            if not open_:
                continue
            for i, judgement in zip(open_, self[place].ask([questions[i] for i in open_]), strict=True):
                said[i][place] = judgement
        return said

    def check(self, fields: Sequence[str]) -> Iterable[tuple[str, str, str]]:
        """Mistakes of the components, which stand in `fields` of the composition."""
        for given, place in zip(self.given, fields, strict=True):
            verifier = open_verifier(given["use"], {key: value for key, value in given.items() if key != "use"})
            for field, what, fix in verifier.check():
                yield f"{place}.{field}", what, fix

    def close(self) -> None:
        opened, self._opened = list(self._opened.values()), {}
        for component in opened:
            release(component.lent)
