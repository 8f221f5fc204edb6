"""`format`: has a completion the form that was asked for: think tags, exactly one box, a script?

Invariant: the rules are those of `filter.format`, which is asked; here what breaks one is wrong, with the rule as the
reason, so that form can veto, reward or be composed like any verdict. Whether the answer is right is no question here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from pydantic import Field

from synthflow.contracts import Judgement, Question, Verifier, VerifierConfig
from synthflow.filters.format import FormatConfig, FormatFilter


class FormatVerifierConfig(VerifierConfig, FormatConfig):
    """Configuration of `verify.format`: the fields of `filter.format`. What is false or null is not checked."""

    exactly_one_box: bool = Field(True, description=r"one \boxed{ in the completion, outside the think block")


class FormatVerifier(Verifier):
    """Form alone: correct where every rule holds, wrong with the broken rule. Unknown reasons: empty."""

    name = "format"
    version = f"1+filter {FormatFilter.version}"
    Config = FormatVerifierConfig
    needs_answer = False

    def judge(self, questions: Sequence[Question]) -> list[Judgement]:
        import polars as pl

        if not questions:
            return []
        started = time.perf_counter()
        texts = [question.completion.encode("utf-8", "replace").decode() for question in questions]
        frame = pl.DataFrame({"rollout_id": [q.target_id for q in questions], "completion": texts})
        said = FormatFilter(self.config).judge(frame)
        took = (time.perf_counter() - started) / len(questions)
        return [
            Judgement.unknown("empty", None, took)
            if not text.strip()
            else Judgement("correct", 1.0, None, None, took)
            if keep
            else Judgement("wrong", 0.0, reason, None, took)
            for text, keep, reason in zip(texts, said["keep"], said["reason"], strict=True)
        ]
