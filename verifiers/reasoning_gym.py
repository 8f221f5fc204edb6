"""`reasoning_gym`: the answer to a problem of reasoning-gym, by the scorer of its own data set.

Invariants: what reasoning-gym's scorer says is the value; the verdict is correct where the value reaches
`correct_from` (1 unless the spec says otherwise), since partial credit is also given to text that merely looks like an
answer. Where it does not, an answer that a guessing rule found is unknown, and so is a whole text that holds the gold
answer among other words: the scorer may not have seen the answer. Scorers parse hostile text, so they run in killable
workers, in which none of them evaluates it (`gym_child`). The data set, its parameters and the entry's metadata stand
in the problem's metadata, where `source.reasoning_gym` put them.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Literal

from pydantic import Field

from synthflow.contracts import Judgement, Question, VerifierConfig
from synthflow.verifiers.answers.finding.extract import Extracted, after_thinking, find
from synthflow.verifiers.answers.reading.text import clean
from synthflow.verifiers.exact import normalise, stands_among_words
from synthflow.verifiers.metadata import fields
from synthflow.verifiers.workers.pool import Outcome
from synthflow.verifiers.workers.pooled import ItemVerifier

if find_spec("reasoning_gym") is None:
    raise ModuleNotFoundError("reasoning-gym is not installed", name="reasoning-gym")

KEY = "reasoning_gym"
_MAX_ANSWER = 20_000
_OPEN, _CLOSE = "<answer>", "</answer>"


class ReasoningGymConfig(VerifierConfig):
    """Configuration of `verify.reasoning_gym`."""

    extract: Literal["any", "tag", "all"] = Field(
        "any",
        description="any: the last <answer>, else the last box, else as math finds it; tag: <answer> alone; "
        "all: the whole text after thinking",
    )
    correct_from: float = Field(1.0, gt=0, le=1, description="correct where the scorer's value is this or more")
    timeout_s: float = Field(
        5.0, gt=0, le=600, description="CPU seconds one answer may take; ten times as much on the wall"
    )
    memory_mb: int = Field(2048, ge=512, le=65536, description="address space of a worker process, in MiB")
    workers: int = Field(1, ge=1, le=256, description="worker processes")


class ReasoningGymVerifier(ItemVerifier):
    """reasoning-gym's own scorers, in killable workers.

    Unknown reasons: empty, parse_failure, guessed, text_differs, gold_unparsable, too_large, timeout, memory,
    verifier_error.
    """

    name = "reasoning_gym"
    version = "2"
    Config = ReasoningGymConfig
    needs_answer = False
    task = "synthflow.verifiers.gym_child:score"

    def full_version(self) -> str:
        return f"{self.version}+reasoning-gym {version('reasoning-gym')}"

    def item(self, question: Question) -> dict[str, Any] | Judgement:
        metadata = fields(question.metadata)
        how = metadata.pop(KEY, None)
        if not isinstance(how, dict):
            how = {"dataset": metadata.get("source_dataset")}
        if not isinstance(how.get("dataset"), str):
            return Judgement.unknown("gold_unparsable", f"the problem's metadata has no {KEY}.dataset")
        if not question.completion.strip():
            return Judgement.unknown("empty")
        found = self._answer(question.completion)
        if not found.text:
            return Judgement.unknown("parse_failure", found.note)
        if len(found.text) > _MAX_ANSWER:
            return Judgement.unknown("too_large", f"more than {_MAX_ANSWER} characters")
        asked = next((content for role, content in reversed(question.prompt) if role == "user"), "")
        return {
            "dataset": how["dataset"],
            "parameters": {**(how.get("parameters") or {}), "size": 1, "seed": 0},
            "answer": found.text.encode("utf-8", "replace").decode(),
            "rule": found.rule,
            "sure": found.sure,
            "entry": {"question": asked, "answer": question.answer, "metadata": metadata},
        }

    def _answer(self, completion: str) -> Extracted:
        text = after_thinking(completion)
        if self.config.extract == "all":
            return Extracted(text.strip(), "all", True, "no text after the thought")
        end = text.rfind(_CLOSE)
        start = text.rfind(_OPEN, 0, end) if end >= 0 else -1
        if start >= 0:
            return Extracted(text[start + len(_OPEN) : end].strip(), "tag", True, "the tag is empty")
        if self.config.extract == "tag":
            return Extracted("", "none", False, "no <answer>")
        return find(completion)

    def said(self, outcome: Outcome, item: dict[str, Any]) -> Judgement:
        shown, took = clean(item["answer"][:400])[:200], outcome.elapsed_s
        if outcome.reason is not None:
            return Judgement.unknown(outcome.reason, f"{shown} ({clean(outcome.detail or '')[:200]})", took)
        if "reason" in outcome.value:
            return Judgement.unknown(outcome.value["reason"], outcome.value["detail"], took)
        return self._scored(outcome.value["value"], item, shown, took).found(shown, item["rule"])

    def _scored(self, value: float, item: dict[str, Any], shown: str, took: float) -> Judgement:
        if value >= self.config.correct_from:
            return Judgement("correct", value, None, shown, took)
        if not item["sure"]:
            return Judgement.unknown("guessed", f"{shown} (the rule {item['rule']} may have missed it)", took)
        gold = normalise(str(item["entry"]["answer"] or ""))
        if item["rule"] == "all" and stands_among_words(gold, normalise(item["answer"])):
            return Judgement.unknown("text_differs", f"{shown} (the gold answer among words)", took)
        return Judgement("wrong", value, None, shown, took)
