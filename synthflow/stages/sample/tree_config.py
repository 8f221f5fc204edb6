"""The fields of `sample.tree`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from synthflow import ids
from synthflow.contracts import OneOrMore, SamplingParams, StageConfig
from synthflow.rollouts.paths import WHOLE
from synthflow.rollouts.prefixes import TEMPLATE as CONTINUED
from synthflow.segment import SegmenterName
from synthflow.stages.sample.first import TEMPLATE as FIRST
from synthflow.stages.sample.tree_select import Selection

TEMPLATES = {"none": FIRST, "prefix": CONTINUED, "tree": WHOLE}
"""Templates of the rollouts that a tree has, by condition."""


class TreeSearchConfig(StageConfig):
    """Fields of `sample.tree`. The defaults of the search are ours, but for `exploration` (ReST-MCTS*'s code)."""

    policy: str = Field("default", description="the policy to sample from")
    search: Literal["uct", "puct", "best_of_n"] = Field(
        "uct", description="how a node is selected; best_of_n spends the same budget on first rollouts alone"
    )
    first: int = Field(4, ge=1, le=4096, description="first rollouts of a problem, before the first selection")
    branch: int = Field(2, ge=1, le=1024, description="continuations of a selected node")
    iterations: int = Field(16, ge=0, le=100_000, description="selections, at most")
    tokens: int | None = Field(
        None, ge=1, description="tokens of a problem after which no node is selected any more; null is no limit"
    )
    exploration: float = Field(0.7, ge=0.0, le=1e3, description="the constant c of the selection rule")
    best_share: float = Field(
        0.0, ge=0.0, le=1.0, description="share of the best outcome below a node in its value; 0 is the mean alone"
    )
    length_power: float = Field(
        1.0, ge=0.0, le=2.0, description="puct: the prior is exp(sum of log p / len ** this); 1 is the mean's"
    )
    max_depth: int = Field(16, ge=1, le=4096, description="most steps of a prefix that is continued")
    segmenter: SegmenterName = Field("lines", description="where a step ends")
    max_steps: int = Field(64, ge=1, le=4096, description="most steps of a path; the rest is joined into the last")
    verifier: str = Field("math", description="the verifier that judges every path")
    verifier_options: dict[str, Any] = Field(default_factory=dict, description="fields of the verifier")
    truncated: Literal["unknown", "wrong", "judge"] = Field(
        "unknown", description="a path that ended at the token limit: unknown, wrong, or judged as if it had ended"
    )
    temperature: float = Field(1.0, ge=0.0, le=5.0, description="softmax temperature")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus; 1 is off")
    top_k: int = Field(0, ge=0, description="keep the k likeliest tokens; 0 is off")
    max_tokens: int = Field(1024, ge=1, description="most tokens of a rollout, and of what continues one")
    stop: OneOrMore = Field((), description="texts that end a rollout")

    @model_validator(mode="after")
    def _explores(self) -> TreeSearchConfig:
        if self.temperature == 0:
            raise ValueError("temperature 0 samples the same continuation again and again; give it one above 0")
        return self

    def params(self) -> SamplingParams:
        return SamplingParams(**self.model_dump(include=set(SamplingParams.model_fields)))

    def sampling_id(self, condition: Literal["none", "prefix", "tree"]) -> str:
        return ids.sampling_id(self.params().model_dump(), TEMPLATES[condition], condition)

    def selection(self) -> Selection:
        rule: Literal["uct", "puct"] = "puct" if self.search == "puct" else "uct"
        return Selection(rule, self.exploration, self.best_share, self.max_depth)
