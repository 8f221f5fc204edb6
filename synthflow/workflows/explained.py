"""How the verdict on one row came about, for a row of a file.

Invariant: nothing is written, and the verdict is the one that `verify` gives this row with the same verifier and
fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from synthflow.contracts import Explanation, Judgement, Question
from synthflow.errors import Mistakes, UserError
from synthflow.io.paths import label
from synthflow.rollouts.questions import note
from synthflow.workflows.verify_file import FileJudge, FileVerdicts, VerifyFile, checked

_ASKED, _SAID = 600, 600  # characters of the question, and of the end of the completion, that are told


@dataclass(frozen=True)
class Explained:
    """One row with its explanation.

    Attributes:
        where: the row, as a person would name it.
        recorded: what a run says of it already: verdict, reason, detail, scorer_version.
    """

    where: str
    scorer: str
    scorer_version: str
    explanation: Explanation
    question: Question | None = None
    recorded: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        said, question = self.explanation.judgement, self.question
        return {
            "where": self.where,
            "scorer": self.scorer,
            "scorer_version": self.scorer_version,
            "asked": None if question is None else asked_of(question),
            "completion_end": None if question is None else end_of(question.completion),
            "gold": None if question is None else question.answer,
            "verdict": said.verdict,
            "reason": note(said.reason),
            "detail": note(said.detail),
            "value": said.value,
            "extracted": note(said.extracted),
            "rule": said.rule,
            "candidates": [asdict(candidate) for candidate in self.explanation.candidates],
            "readings": [{"of": of, "read_as": how} for of, how in self.explanation.readings],
            "recorded": None if self.recorded is None else dict(self.recorded),
        }


def asked_of(question: Question) -> str:
    """The beginning of what was asked last."""
    return next((text for role, text in reversed(question.prompt) if role == "user"), "")[:_ASKED]


def end_of(completion: str) -> str:
    return completion.rstrip()[-_SAID:]


def explain_row(asked: VerifyFile, row: int) -> Explained:
    """The explanation of row `row` of a file; the first is 1.

    Raises:
        Mistakes: everything that is wrong with the call, or with the row.
        UserError: if the file has fewer rows.
    """
    asked = replace(
        asked, overwrite=True
    )  # nothing is written, so that columns of earlier verdicts are in nobody's way
    answers, verifier, chosen, out = checked(asked)
    try:
        done = FileVerdicts(asked.path, out, asked.verifier, verifier.full_version(), "", chosen)
        judge, passed = FileJudge(asked, verifier, chosen, done), 0
        for chunk in answers.chunks(chosen.problem, None):
            if row > passed + len(chunk.rows):
                passed += len(chunk.rows)
                continue
            given = chunk.rows[row - passed - 1]
            question = judge.before_asking(given)
            if judge.mistakes:
                raise Mistakes(judge.mistakes, label(asked.path))
            where = f"{label(asked.path)}, row {row}"
            if isinstance(question, Judgement):
                return Explained(where, done.scorer, done.scorer_version, Explanation(question))
            return Explained(where, done.scorer, done.scorer_version, verifier.explain(question), question)
        raise UserError(f"--explain {row}: {label(asked.path)} has {passed} rows")
    finally:
        verifier.close()
