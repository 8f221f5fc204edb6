"""A verifier gives verdicts: correct, wrong or unknown, with a reason.

Invariants: `judge` returns one judgement a question, in order, whatever the questions hold; a timeout, a crash or
a parse failure is `unknown` with its reason, never `wrong`; model text is hostile, so whatever could hang or
blow up runs in a process that is killed at its limit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["correct", "wrong", "unknown"]


class VerifierConfig(BaseModel):
    """Base of verifier configurations."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Question:
    """One completion to judge against its problem's gold answer."""

    target_id: str
    problem_id: str
    completion: str
    answer: str | None
    metadata: str = "{}"
    prompt: tuple[tuple[str, str], ...] = ()
    """The problem's messages, role and content."""
    domain: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What stands behind a judgement, and is kept in a row of its own: what one component of a composition said
    (kind `component`), or a number that was measured (kind `measure`, without a verdict)."""

    kind: Literal["component", "measure"]
    scorer: str
    scorer_version: str
    config_hash: str
    verdict: Verdict | None
    value: float | None
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict. `value` is 1.0, 0.0, partial credit between, or None for unknown; `detail` says what was compared;
    `parts` is what else was found on the way.

    Attributes:
        extracted: the answer as the completion has it, None where none was found or the verifier reads all of the text.
        rule: the name of the rule that found it.
    """

    verdict: Verdict
    value: float | None
    reason: str | None = None
    detail: str | None = None
    elapsed_s: float = 0.0
    parts: tuple[Part, ...] = ()
    extracted: str | None = None
    rule: str | None = None

    @staticmethod
    def unknown(reason: str, detail: str | None = None, elapsed_s: float = 0.0) -> Judgement:
        return Judgement("unknown", None, reason, detail, elapsed_s)

    def found(self, extracted: str, rule: str) -> Judgement:
        """The same judgement, on an answer that was extracted by a rule."""
        said = (self.verdict, self.value, self.reason, self.detail, self.elapsed_s, self.parts)
        return Judgement(*said, extracted, rule)  # a third of the time of `replace`, and each verdict passes here


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one rule takes for the final answer. `sure` rules may call an answer that differs wrong; `note` says why the
    rule found nothing, or what else there is to tell."""

    rule: str
    text: str
    sure: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a judgement came about.

    Attributes:
        candidates: what the rules found, the one that was chosen first; empty where the verifier reads all of the text.
        readings: how the texts were read, each a name (such as `gold`) and the reading.
    """

    judgement: Judgement
    candidates: tuple[Candidate, ...] = ()
    readings: tuple[tuple[str, str], ...] = ()


class Verifier(ABC):
    """Base of the verifiers; registered in the entry-point group `synthflow.verifiers`.

    A registered verifier `x` is the stage `verify.x`. A verifier is opened on the worker that uses it and
    closed when the worker ends; `judge` may be called many times in between, from one thread at a time.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    Config: ClassVar[type[VerifierConfig]] = VerifierConfig
    needs_answer: ClassVar[bool] = True

    def __init__(self, config: Any = None) -> None:
        self.config: Any = config if config is not None else self.Config()

    @classmethod
    def resolve_paths(cls, given: Mapping[str, Any], base_dir: Path) -> dict[str, Any]:
        """`given` with paths that are relative to the spec made absolute, before it is validated."""
        return dict(given)

    def check(self) -> Iterable[tuple[str, str, str]]:
        """Mistakes that only this machine shows, such as a folder that is not there: (field, what, what to do)."""
        return ()

    def identity(self) -> Any:
        """What the hash of the configuration is of: anything JSON can say, but no path of this machine."""
        return self.config

    def full_version(self) -> str:
        """Version of this verifier and of the libraries that decide, such as `1+math-verify 0.9.0`."""
        return self.version

    @abstractmethod
    def judge(self, questions: Sequence[Question]) -> list[Judgement]: ...

    def explain(self, question: Question) -> Explanation:
        """The judgement on one question, and how it came about."""
        (judgement,) = self.judge([question])
        chosen = () if judgement.rule is None else (Candidate(judgement.rule, judgement.extracted or ""),)
        return Explanation(judgement, chosen)

    def gold_faults(self, questions: Sequence[Question]) -> list[str | None]:
        """Why the gold answer of a question cannot be read, whatever is answered; None where it can.

        It is cheap and starts no worker; completions are not looked at. A verifier that does not say reads all.
        """
        return [None] * len(questions)

    def close(self) -> None:
        """Stop what `judge` started. Idempotent."""
        return
