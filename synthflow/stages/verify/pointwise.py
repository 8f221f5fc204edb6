"""One answer at a time: correct or wrong, or a score on a scale, k times.

Invariant: a rollout's judgement depends on its own text, its problem and the judge alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from synthflow.contracts import Judgement
from synthflow.judges.client import Heard, JudgeClient, JudgeQuestion
from synthflow.judges.samples import JudgeSample, combine
from synthflow.stages.verify.candidate import Candidate
from synthflow.stages.verify.config import JudgeConfig

Judged = tuple[dict[str, Judgement], list[tuple[str, str, float]], pa.Table]
"""Judgements by rollout; numbers behind them (rollout, name, value); artifacts."""


def judge(candidates: Sequence[Candidate], config: JudgeConfig, panel: JudgeClient) -> Judged:
    """Judge each candidate alone."""
    answer = config.answer()
    asks = [JudgeQuestion(c.row["problem_id"], _values(c), (c.rollout_id,)) for c in candidates]
    heard, artifacts = panel.hear(asks, [answer] * len(asks))
    judgements, measures = {}, []
    for candidate, samples in zip(candidates, heard, strict=True):
        opinions = [_opinion(sample, config) for sample in samples]
        said, share = combine(opinions, config.limits(), config.min_agreement)
        detail = candidate.extracted if said.verdict != "unknown" else said.detail
        took = sum(sample.elapsed_s for sample in samples)
        judgements[candidate.rollout_id] = replace(said, detail=detail, elapsed_s=took)
        if config.k > 1:
            measures.append((candidate.rollout_id, "agreement", share))
    return judgements, measures, artifacts


def _values(candidate: Candidate) -> dict[str, str]:
    values = {"question": candidate.question, "answer": candidate.text}
    return values if candidate.reference is None else {**values, "reference": candidate.reference}


def _opinion(heard: Heard, config: JudgeConfig) -> JudgeSample:
    value = heard.reading.value
    if value is None:
        return JudgeSample(None, heard.reason, heard.reading.problem)
    return JudgeSample(config.unit(value) if isinstance(value, float) else float(value == "correct"))
