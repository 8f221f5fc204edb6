"""How a judge is asked, whatever about, and what it may take for right."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from synthflow import ids
from synthflow.contracts import SamplingParams, StageConfig
from synthflow.judges import prompts
from synthflow.judges.parsing import Layout

Found = Iterable[tuple[str, str, str]]
CONDITION = "judge"
"""Stands in the sampling_id of what judges write."""


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


def reference_mistakes(reference: str | None) -> Found:
    """Mistakes in a field that says what a judge may take for right."""
    if reference is not None and reference != "answer":
        kind, _, key = reference.partition(".")
        if kind != "metadata" or not key:
            yield "reference", f"{reference!r} names no column", "write answer, or metadata.KEY"


def reference_text(problem: Mapping[str, Any], where: str | None) -> str | None:
    """The text that the judge may take for right; None where the problem has none."""
    if where is None:
        return None
    if where == "answer":
        found: Any = problem["answer"]
    else:
        found = metadata_of(problem).get(where.partition(".")[2])
    text = found if isinstance(found, str) else None if found is None else json.dumps(found, ensure_ascii=False)
    return text if text is not None and text.strip() else None


def metadata_of(problem: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the source said beside prompt and answer."""
    found = json.loads(problem["metadata"] or "{}")
    return found if isinstance(found, Mapping) else {}
