"""Judging texts by a verifier: the one way from what was sampled to verdicts, rows of scores and telemetry.

Invariants: a text is judged by how it ended where that decides, without a gold answer only if the verifier needs none,
and in the same words whoever sampled it; a verdict keeps the rule for truncated ones in its configuration hash, so that
two stages which differ in that alone do not share a key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from synthflow import ids, registry
from synthflow.contracts import Judgement, Services, StageInfo, VerifyConfig
from synthflow.contracts.stage_info import verifier_of
from synthflow.errors import InvariantBroken, UserError, suggest
from synthflow.rollouts.eligibility import verdict_from_finish_reason
from synthflow.rollouts.plugin_options import option_mistakes
from synthflow.rollouts.questions import questions
from synthflow.rollouts.score_rows import Scorer, verdict_table
from synthflow.rollouts.telemetry import elapsed_table


def mistakes(verifier: str, options: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    """Mistakes in the fields `verifier` and `verifier_options`, in the form of `Stage.check`."""
    known = registry.names("verifiers")
    if verifier not in known:
        yield "verifier", f"no verifier is called {verifier!r}", suggest(verifier, known) or ", ".join(known)
        return
    try:
        wrapped = registry.load("verifiers", verifier)
        made = wrapped(wrapped.Config.model_validate(dict(options)))
        for field, what, fix in made.check():
            yield f"verifier_options.{field}", what, fix
    except ValidationError as error:
        yield from option_mistakes(error, wrapped.Config, "verifier_options")
    except UserError as error:
        yield "verifier", str(error), "install what it needs"


@dataclass(frozen=True, slots=True)
class ToJudge:
    """A rollout's text, how it ended, and its problem, one of `questions.problems_by_id`."""

    rollout_id: str
    text: str
    finish_reason: str | None
    problem: Mapping[str, Any]

    @property
    def problem_id(self) -> str:
        return str(self.problem["problem_id"])


@dataclass(frozen=True, slots=True)
class Judged:
    """Judgements on texts, in order, and who gave them; `asked` is false where no verifier was needed."""

    texts: Sequence[ToJudge]
    judgements: Sequence[Judgement]
    asked: Sequence[bool]
    scorer: Scorer

    def scores(self, stage_id: str) -> pa.Table:
        """Verdicts as rows of scores, with what stands behind them."""
        problems, rollouts = [text.problem_id for text in self.texts], [text.rollout_id for text in self.texts]
        return verdict_table(problems, rollouts, self.judgements, self.scorer, stage_id)

    def telemetry(self, services: Services) -> pa.Table:
        """Seconds that each verdict took for which the verifier was asked."""
        told = zip(self.texts, self.judgements, self.asked, strict=True)
        return elapsed_table([(t.problem_id, t.rollout_id, j.elapsed_s) for t, j, asked in told if asked], services)


@dataclass(frozen=True, slots=True)
class Judging:
    """A verifier by name, with its options and the rules for texts that it is not asked about.

    Attributes:
        truncated: what a text is that ended at the token limit: unknown, wrong, or judge.
        needs_answer: whether a problem without a gold answer is unknown without asking.
    """

    verifier: str
    options: Mapping[str, Any]
    truncated: str
    needs_answer: bool

    @staticmethod
    def as_stage(verify: StageInfo) -> Judging:
        """As a stage `verify.VERIFIER` judges rollouts.

        Continuations are judged so: they continue what that stage has judged, so there was a gold answer if one is
        needed.
        """
        own = {name: value for name, value in verify.config.items() if name not in VerifyConfig.model_fields}
        return Judging(verifier_of(verify.use), own, str(verify.config.get("truncated", "unknown")), False)

    def judge(self, texts: Sequence[ToJudge], services: Services) -> Judged:
        """Judge texts; of none, too: it tells the scorer's version.

        Raises:
            InvariantBroken: if the verifier gives another number of judgements.
        """
        early = [self._early(text) for text in texts]
        pending = [text for text, known in zip(texts, early, strict=True) if known is None]
        asked = questions((text.rollout_id, text.text, text.problem) for text in pending)
        answers, version, config_hash = services.judge(self.verifier, self.options, asked)
        if len(answers) != len(asked):
            raise InvariantBroken(f"verifier {self.verifier!r}: {len(asked)} questions, {len(answers)} judgements")
        if self.truncated != "unknown":
            config_hash = ids.content_id("c", config_hash, self.truncated)
        given = iter(answers)
        judgements = [known if known is not None else next(given) for known in early]
        return Judged(texts, judgements, [k is None for k in early], Scorer(self.verifier, version, config_hash))

    def _early(self, text: ToJudge) -> Judgement | None:
        ended = verdict_from_finish_reason(text.finish_reason, self.truncated)
        if ended is None and self.needs_answer and text.problem["answer"] is None:
            return Judgement.unknown("no_gold")
        return ended
