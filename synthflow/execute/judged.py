"""A verifier asked by a worker: what it raises on a question is that question's outcome.

Invariant: every question has a judgement that is one. Where the verifier raises, the questions are asked one by one,
and those on which it raises again are unknown, `verifier_error`, with its words; the first traceback of a kind is in
the worker's log. Errors that were meant for a person or are the machine's (`SynthflowError`) are none of a question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from synthflow.contracts import Judgement, Question, Verifier
from synthflow.contracts.foreign import log_traceback, said
from synthflow.contracts.verifier import Verdict
from synthflow.errors import SynthflowError
from synthflow.verifiers.workers.unique import judge_unique

_VERDICTS = frozenset(get_args(Verdict))
_logged: set[tuple[str, type[BaseException]]] = set()


def judged(verifier: Verifier, questions: Sequence[Question]) -> list[Judgement]:
    """Judgements on questions, in order; equal questions are asked once.

    Raises:
        InvariantBroken: if the verifier gives another number of judgements than it was asked for.
    """
    try:
        found = judge_unique(verifier, questions)
    except SynthflowError:
        raise
    except Exception as error:
        _log(verifier, error)
        return [_alone(verifier, question) for question in questions]
    return [_sound(judgement) for judgement in found]


def _alone(verifier: Verifier, question: Question) -> Judgement:
    try:
        return _sound(judge_unique(verifier, [question])[0])
    except SynthflowError:
        raise
    except Exception as error:
        return Judgement.unknown("verifier_error", said(error))


def _sound(judgement: Any) -> Judgement:
    if isinstance(judgement, Judgement) and judgement.verdict in _VERDICTS:
        return judgement
    return Judgement.unknown("verifier_error", f"no judgement: {judgement!r:.200}")


def _log(verifier: Verifier, error: Exception) -> None:
    if (verifier.name, type(error)) not in _logged:
        _logged.add((verifier.name, type(error)))
        log_traceback(error)
