"""The fields that stages with a judge share, and the fields of `verify.judge`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from synthflow import ids
from synthflow.contracts import SamplingParams, StageConfig
from synthflow.judges import prompts
from synthflow.judges.parsing import Answer, Layout
from synthflow.judges.samples import Thresholds
from synthflow.stages.adapters import VerifyConfig

Found = Iterable[tuple[str, str, str]]
CONDITION = "judge"
"""Stands in the sampling_id of what judges write."""
_VERDICT = (0.5, 0.5)
_AGAINST = {"reference": (0.5, 0.5), "group": (0.6, 0.4)}
"""Shares of wins from which an answer is correct, and below which it is wrong: our default. As good as the reference is
good enough; as good as the others says nothing."""


class AskConfig(StageConfig):
    """How a judge is asked, whatever about."""

    k: int = Field(1, ge=1, le=1000, description="samples of each judgement; raising it samples only the new ones")
    min_agreement: float = Field(
        0.5, gt=0, le=1, description="share of the k samples that must agree; more than half must anyway"
    )
    layout: Layout = Field("line", description="how the judge answers: line (the last line), or json (one object)")
    prompt: str | None = Field(None, description="the judge's prompt; null: the one that is shipped")
    max_chars: int = Field(
        8000, ge=64, le=10_000_000, description="most characters of an answer in a prompt; its middle is left out"
    )
    temperature: float = Field(0.0, ge=0.0, le=5.0, description="of the judge; 0 is greedy")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus; 1 is off")
    top_k: int = Field(0, ge=0, description="keep the k likeliest tokens; 0 is off")
    max_tokens: int = Field(1024, ge=1, description="most tokens of a judge's completion; a longer one is not read")

    def params(self) -> SamplingParams:
        names = ("temperature", "top_p", "top_k", "max_tokens")
        return SamplingParams(**{name: getattr(self, name) for name in names})

    def sampling_id(self, template: str) -> str:
        return ids.sampling_id(self.params().model_dump(), template, CONDITION)

    def common_mistakes(self, placeholders: Iterable[str]) -> Found:
        """Mistakes in the form of `Stage.check`."""
        if self.k > 1 and self.temperature == 0:
            yield "k", "at temperature 0 all k samples are the same", "give a temperature above 0, or k: 1"
        if self.prompt is not None:
            for what, fix in prompts.mistakes(self.prompt, tuple(placeholders)):
                yield "prompt", what, fix


class JudgingConfig(AskConfig, VerifyConfig):
    """How a judge is asked by any verify stage that has one."""

    thinking: bool = Field(False, description="show the judge what stands before </think> too")


class JudgeConfig(JudgingConfig):
    """Fields of `verify.judge`."""

    policy: str = Field(description="the policy that judges")
    mode: Literal["pointwise", "pairwise"] = Field("pointwise", description="judge answers alone, or two at a time")
    ask: Literal["verdict", "score"] = Field("verdict", description="pointwise: correct or wrong, or a score")
    scale: tuple[float, float] = Field((0.0, 10.0), description="least and most of a score")
    against: Literal["group", "reference"] = Field(
        "group", description="a pairwise judge compares with the other rollouts of the group, or with the reference"
    )
    opponents: int | None = Field(
        None, ge=1, description="of the group: each is compared with the next so many by rollout_id; null: with all"
    )
    reference: str | None = Field(
        None, description="what the judge may take for right: answer (the gold answer), or metadata.KEY of the problem"
    )
    correct_from: float | None = Field(
        None,
        description="score, or share of comparisons won, from which an answer is correct; null: 0.6 of the group, "
        "0.5 against a reference",
    )
    wrong_below: float | None = Field(
        None, description="below it an answer is wrong; null: correct_from, or 0.4 of the group where that is null"
    )
    min_decided: float = Field(0.5, ge=0, le=1, description="share of its comparisons that must have a result")

    def answer(self) -> Answer:
        """What the judge is asked to end with."""
        if self.mode == "pairwise":
            return Answer("Better", ("A", "B", "tie"), layout=self.layout)
        if self.ask == "score":
            return Answer("Score", scale=self.scale, layout=self.layout)
        return Answer("Verdict", ("correct", "wrong"), layout=self.layout)

    def placeholders(self) -> tuple[str, ...]:
        if self.mode == "pairwise":
            return ("question", "first", "second")
        return ("question", "answer") if self.reference is None else ("question", "reference", "answer")

    def template(self) -> str:
        shipped = "pairwise" if self.mode == "pairwise" else "pointwise" if self.reference is None else "reference"
        return self.prompt if self.prompt is not None else prompts.shipped(shipped)

    def limits(self) -> Thresholds:
        """Thresholds on values in [0, 1]."""
        if self.mode == "pointwise" and self.ask == "score":
            correct = self.unit(self.correct_from if self.correct_from is not None else self.scale[1])
            return Thresholds(correct, correct if self.wrong_below is None else self.unit(self.wrong_below))
        if self.correct_from is not None:
            return Thresholds(self.correct_from, self.correct_from if self.wrong_below is None else self.wrong_below)
        correct, wrong = _AGAINST[self.against] if self.mode == "pairwise" else _VERDICT
        return Thresholds(correct, wrong if self.wrong_below is None else self.wrong_below)

    def unit(self, score: float) -> float:
        """A score on the scale as a value in [0, 1]."""
        low, high = self.scale
        return (score - low) / (high - low)

    def mistakes(self) -> Found:
        yield from self.common_mistakes(self.placeholders())
        yield from self._reference_mistakes()
        is_score = self.mode == "pointwise" and self.ask == "score"
        if is_score and not self.scale[0] < self.scale[1]:
            yield "scale", "its first end is not below its second", "write [least, most], such as [0, 10]"
            return
        if self.mode == "pointwise" and not is_score:
            for name in ("correct_from", "wrong_below"):
                if getattr(self, name) is not None:
                    yield name, "a judge that says correct or wrong has no threshold", "remove it, or set ask: score"
            return
        if is_score and self.correct_from is None:
            yield "correct_from", "missing", f"say from which score on {list(self.scale)} an answer is correct"
            return
        low, high = self.scale if is_score else (0.0, 1.0)
        correct = self.correct_from if self.correct_from is not None else self.limits().correct_from
        if not low < correct <= high:
            yield "correct_from", f"{correct:g} is not above {low:g} and at most {high:g}", "choose one that divides"
        if self.wrong_below is not None and not low < self.wrong_below <= correct:
            fix = "scores between the two are unknown"
            yield "wrong_below", f"{self.wrong_below:g} is not above {low:g} and at most correct_from", fix

    def _reference_mistakes(self) -> Found:
        yield from reference_mistakes(self.reference)
        if self.mode == "pairwise" and (self.against == "reference") != (self.reference is not None):
            if self.reference is None:
                yield "reference", "missing", "say what against: reference compares with: answer, or metadata.KEY"
            else:
                yield "reference", "a judge of the group has no reference", "set against: reference, or remove it"
        if self.opponents is not None and (self.mode, self.against) != ("pairwise", "group"):
            yield "opponents", "only a pairwise judge of the group has opponents", "remove it"
        if self.mode == "pairwise" and self.ask == "score":
            yield "ask", "a pairwise judge gives no scores", "remove it, or set mode: pointwise"


def reference_mistakes(reference: str | None) -> Found:
    """Mistakes in a field that says what a judge may take for right."""
    if reference is not None and reference != "answer":
        kind, _, key = reference.partition(".")
        if kind != "metadata" or not key:
            yield "reference", f"{reference!r} names no column", "write answer, or metadata.KEY"
