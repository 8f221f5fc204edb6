"""`cascade`, `consensus`, `veto` and `blend`: verifiers made of verifiers.

Invariant: a composition asks a component only where its rule can still depend on the answer, in the order in which
they are written (cheap first), and whatever it asked is kept beside the verdict. The rules are in `rules`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from synthflow.contracts import Judgement, Question, Verifier, VerifierConfig
from synthflow.verifiers import rules
from synthflow.verifiers.components import Component, Components, all_different, anchored

Said = Mapping[int, Judgement]
Different = Annotated[tuple[Component, ...], AfterValidator(all_different)]


class Composition(Verifier):
    """What compositions share. `lists` names the fields that hold lists of components, `singles` those with one."""

    needs_answer = False
    lists: ClassVar[tuple[str, ...]] = ()
    singles: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        single = [getattr(self.config, name) for name in self.singles]
        self.components = Components([*single, *(c for name in self.lists for c in getattr(self.config, name))])

    @classmethod
    def resolve_paths(cls, given: Mapping[str, Any], base_dir: Path) -> dict[str, Any]:
        found = dict(given)
        for name in cls.singles:
            if name in found:
                found[name] = anchored(found[name], base_dir)
        for name in cls.lists:
            if isinstance(found.get(name), list | tuple):
                found[name] = [anchored(component, base_dir) for component in found[name]]
        return found

    def check(self) -> Iterable[tuple[str, str, str]]:
        lists = [f"{name}.{i}" for name in self.lists for i in range(len(getattr(self.config, name)))]
        return self.components.check([*self.singles, *lists])

    def identity(self) -> Any:
        left = self.config.model_dump(mode="json", exclude={*self.lists, *self.singles})
        return {**left, "components": self.components.identities()}

    def full_version(self) -> str:
        return self.version + self.components.versions()

    def judge(self, questions: Sequence[Question]) -> list[Judgement]:
        said = self.components.ask_in_turn(questions, self.order(), self.needed)
        return [self.decide(each) for each in said]

    def gold_faults(self, questions: Sequence[Question]) -> list[str | None]:
        """What the first component says that needs one, where no such component can read a gold answer."""
        opened = (self.components[i].lent.verifier for i in range(len(self.components.given)))
        said = [verifier.gold_faults(questions) for verifier in opened if verifier.needs_answer]
        return [each[0] if all(each) else None for each in zip(*said, strict=True)] if said else [None] * len(questions)

    def order(self) -> Sequence[int]:
        return range(len(self.components.given))

    def named(self, said: Said) -> list[rules.Named]:
        names = self.components.names()
        return [(names[place], said[place]) for place in sorted(said)]

    @abstractmethod
    def needed(self, said: Said) -> bool:
        """Whether the next component can still change the verdict."""

    @abstractmethod
    def decide(self, said: Said) -> Judgement: ...

    def close(self) -> None:
        self.components.close()


class CascadeConfig(VerifierConfig):
    """Configuration of `verify.cascade`."""

    steps: Different = Field(
        min_length=2, description="verifiers, cheap first; the next is asked where all before are unknown"
    )


class CascadeVerifier(Composition):
    """Cheap first: the first verdict that is not unknown. Unknown reasons: all_unknown, or the one that all share."""

    name = "cascade"
    version = "1"
    Config = CascadeConfig
    lists = ("steps",)

    def needed(self, said: Said) -> bool:
        return all(judgement.verdict == "unknown" for judgement in said.values())

    def decide(self, said: Said) -> Judgement:
        return rules.cascade(self.named(said))


class ConsensusConfig(VerifierConfig):
    """Configuration of `verify.consensus`."""

    components: Different = Field(min_length=2, description="verifiers that must agree, cheap first")


class ConsensusVerifier(Composition):
    """What all components say. Unknown reasons: disagree, component_unknown, or the one that all share."""

    name = "consensus"
    version = "1"
    Config = ConsensusConfig
    lists = ("components",)

    def needed(self, said: Said) -> bool:
        verdicts = {judgement.verdict for judgement in said.values()}
        return "unknown" not in verdicts and len(verdicts) < 2

    def decide(self, said: Said) -> Judgement:
        return rules.consensus(self.named(said))


class VetoConfig(VerifierConfig):
    """Configuration of `verify.veto`."""

    main: Component = Field(description="the verifier whose verdict counts; asked where no veto has spoken")
    vetoes: Different = Field(min_length=1, description="verifiers whose `wrong` makes it wrong")
    unknown_veto: Literal["unknown", "ignore"] = Field(
        "unknown", description="what a veto that is unknown does to a correct verdict: makes it unknown, or nothing"
    )

    @model_validator(mode="after")
    def _all_different(self) -> Self:
        all_different([self.main, *self.vetoes])
        return self


class VetoVerifier(Composition):
    """One verdict that others can only turn to wrong. Unknown reasons: veto_unknown, and those of the main verifier."""

    name = "veto"
    version = "1"
    Config = VetoConfig
    singles = ("main",)
    lists = ("vetoes",)

    def order(self) -> Sequence[int]:
        return [*range(1, len(self.components.given)), 0]

    def needed(self, said: Said) -> bool:
        return all(judgement.verdict != "wrong" for judgement in said.values())

    def decide(self, said: Said) -> Judgement:
        names = self.components.names()
        main = (names[0], said[0]) if 0 in said else None
        vetoes = [(names[place], said[place]) for place in sorted(said) if place]
        return rules.veto(main, vetoes, self.config.unknown_veto)


class BlendConfig(VerifierConfig):
    """Configuration of `verify.blend`."""

    components: Different = Field(min_length=2, description="verifiers whose values are averaged")
    weights: tuple[float, ...] = Field(description="one positive weight a component, in their order")
    correct_from: float = Field(0.5, gt=0, le=1, description="correct where the weighted mean is this or more")
    wrong_below: float = Field(0.5, gt=0, le=1, description="wrong where it is below this; unknown in between")
    unknown: Literal["unknown", "skip"] = Field(
        "unknown", description="what a component that is unknown does: makes the blend unknown, or is left out"
    )

    @field_validator("weights")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < weight < float("inf") for weight in value):
            raise ValueError("positive numbers; leave out a component that shall not count")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.weights) != len(self.components):
            raise ValueError(f"weights has {len(self.weights)} numbers for {len(self.components)} components")
        if self.wrong_below > self.correct_from:
            raise ValueError(f"wrong_below ({self.wrong_below:g}) is above correct_from ({self.correct_from:g})")
        return self


class BlendVerifier(Composition):
    """The weighted mean of the components' values against thresholds. Unknown reasons: component_unknown, undecided."""

    name = "blend"
    version = "1"
    Config = BlendConfig
    lists = ("components",)

    def needed(self, said: Said) -> bool:
        return self.config.unknown == "skip" or all(j.verdict != "unknown" for j in said.values())

    def decide(self, said: Said) -> Judgement:
        config = self.config
        weights = [config.weights[place] for place in sorted(said)]
        return rules.blend(self.named(said), weights, config.correct_from, config.wrong_below, config.unknown)
