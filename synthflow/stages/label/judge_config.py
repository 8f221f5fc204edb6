"""The fields of `label.judge`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from synthflow import ids
from synthflow.judges import prompts
from synthflow.judges.client import Form
from synthflow.judges.config import AskConfig, Found, reference_mistakes
from synthflow.judges.step_parsing import EarliestError, StepScores
from synthflow.stages.label.config import WHICH, LabelConfig

PRINCIPLES = (
    "The step follows from the problem and the steps before it.",
    "What it states and calculates is right.",
    "It brings the solution nearer to what is asked.",
)
"""What steps are scored by where a recipe names nothing: our default."""

_REFERENCE = "{reference}\n\n"


class StepJudgeConfig(LabelConfig, AskConfig):
    """How a language model judges steps, beside the fields of every labeler and of every judge."""

    policy: str = Field(description="the policy that judges")
    mode: Literal["earliest", "scores"] = Field(
        "earliest", description="earliest: name the index of the earliest error; scores: score every step"
    )
    only: Literal["correct", "wrong", "all"] = Field("all", description="judge rollouts with this verdict only")
    reference: str | None = Field(
        None, description="what the judge may take for right: answer (the gold answer), or metadata.KEY of the problem"
    )
    principles: tuple[str, ...] = Field((), description="what steps are scored by; empty: ours")
    scale: tuple[float, float] = Field((0, 10), description="least and most score of a step, where scored")
    error_below: float = Field(
        0.5, gt=0, le=1, description="a step is an error if its score, put between 0 and 1, is below this"
    )
    max_chars: int = Field(
        16_000, ge=64, le=10_000_000, description="most characters of a solution in a prompt; long steps are shortened"
    )

    def form(self, n_steps: int) -> Form:
        """What the judge is asked to end with."""
        if self.mode == "earliest":
            return EarliestError(n_steps, self.layout)
        return StepScores(n_steps, self.scale, self.layout)

    def placeholders(self) -> tuple[str, ...]:
        reference = ("reference",) if self.reference is not None else ()
        principles = ("principles",) if self.mode == "scores" else ()
        return ("question", *reference, "solution", *principles)

    def template(self) -> str:
        if self.prompt is not None:
            return self.prompt
        text = prompts.shipped("earliest" if self.mode == "earliest" else "principles")
        return text if self.reference is not None else text.replace(_REFERENCE, "")

    def stated_principles(self) -> Sequence[str]:
        return self.principles or PRINCIPLES

    def judge_hash(self, policy_id: str, *others: str) -> str:
        """H(all that a label depends on): the judge and its prompt too."""
        fields = self.model_dump(mode="json", exclude=WHICH | {"only"})
        stated = list(self.stated_principles()) if self.mode == "scores" else []
        return ids.content_id("c", fields, self.template(), stated, policy_id, *others)

    def mistakes(self) -> Found:
        """Mistakes in the form of `Stage.check`."""
        yield from self.common_mistakes(self.placeholders())
        yield from reference_mistakes(self.reference)
        if not self.scale[0] < self.scale[1]:
            yield "scale", "its first end is not below its second", "write [least, most], such as [0, 10]"
        if self.mode == "earliest" and self.principles:
            yield "principles", "who names the earliest error scores nothing", "remove it, or set mode: scores"
        if any(not principle.strip() for principle in self.principles):
            yield "principles", "one of them is empty", "write a sentence, or remove it"
