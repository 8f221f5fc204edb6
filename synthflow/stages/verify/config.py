"""The fields that stages with a judge share, and the fields of `verify.judge`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from synthflow.contracts import VerifyConfig
from synthflow.judges import prompts
from synthflow.judges.config import AskConfig, Found, reference_mistakes
from synthflow.judges.parsing import Answer
from synthflow.judges.samples import Thresholds

_VERDICT = (0.5, 0.5)
_AGAINST = {"reference": (0.5, 0.5), "group": (0.6, 0.4)}
"""Shares of wins from which an answer is correct, and below which it is wrong: our default. As good as the reference is
good enough; as good as the others says nothing."""


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
