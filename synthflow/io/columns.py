"""Which column holds the answer that is judged, and which the gold answer.

Invariant: a column is taken because it was named, or because it is the only one with a usual name; anything else is a
mistake that lists the columns. `answer` is what data sets call either: it is the gold answer beside a column that can
only be a completion, and the completion beside a column that can only be gold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from synthflow.errors import Mistake, suggest

ADDED = ("verdict", "reason", "value", "detail", "extracted", "rule", "scorer", "scorer_version")
"""The columns that a verification adds, in this order."""

COMPLETIONS = (
    "completion", "response", "generation", "output", "prediction", "predicted_answer", "model_answer",
    "model_output", "model_response",
)  # fmt: skip
GOLDS = (
    "gold", "gold_answer", "ground_truth", "reference", "reference_answer", "target", "expected_answer", "expected",
    "correct_answer",
)  # fmt: skip
ASKED = ("prompt", "problem", "question")
PROBLEMS = ("problem_id", *ASKED)
_EITHER = "answer"
_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Chosen:
    """Names of columns; `gold` is None where the verifier needs none, `problem` where no column says what was asked."""

    answer: str
    gold: str | None
    problem: str | None
    metadata: str | None


def choose_columns(
    columns: Sequence[str], answer: str | None, gold: str | None, needs_gold: bool, overwrite: bool
) -> tuple[Chosen | None, list[Mistake]]:
    """The columns to use, or every mistake in the choice.

    Args:
        answer, gold: as the user named them, or None.
        overwrite: whether columns called like the added ones may be replaced.
    """
    known = [name for name in columns if not (overwrite and name in ADDED)]
    found: list[Mistake] = []
    chosen_answer = _one("--answer-column", "the answer to judge", answer, COMPLETIONS, known, taken=gold, found=found)
    noted: list[Mistake] = []
    chosen_gold = _one("--gold-column", "the gold answer", gold, GOLDS, known, taken=chosen_answer or "", found=noted)
    if needs_gold or gold is not None:
        found += noted
    if chosen_answer is not None and chosen_answer == chosen_gold:
        found.append(Mistake("--gold-column", f"{chosen_gold!r} is the answer to judge as well", "name two columns"))
    found.extend(_clashes(columns, overwrite))
    if found or chosen_answer is None:
        return None, found
    problem = next((name for name in PROBLEMS if name in known and name not in (chosen_answer, chosen_gold)), None)
    return Chosen(chosen_answer, chosen_gold, problem, "metadata" if "metadata" in known else None), []


def clash(columns: Sequence[str]) -> str | None:
    """The first column that has the name of an added one."""
    return next((name for name in columns if name in ADDED), None)


def _clashes(columns: Sequence[str], overwrite: bool) -> Iterator[Mistake]:
    both = [name for name in ADDED if name in columns]
    if both and not overwrite:
        yield Mistake("FILE", f"it has columns called {', '.join(both)} already", "give --overwrite to replace them")


def _one(
    option: str,
    what: str,
    wanted: str | None,
    usual: Sequence[str],
    columns: Sequence[str],
    taken: str | None,
    found: list[Mistake],
) -> str | None:
    listed = f"columns: {', '.join(columns[:_SHOWN]) or 'none'}" + (", ..." if len(columns) > _SHOWN else "")
    if wanted is not None:
        if wanted in columns:
            return wanted
        found.append(Mistake(option, f"no column {wanted!r}", f"{suggest(wanted, columns)} {listed}".strip()))
        return None
    likely = [name for name in columns if _folded(name) in usual and name != taken]
    if not likely:
        # `answer` is left for the other side unless that has found its own.
        others = [n for n in columns if _folded(n) in (*GOLDS, *COMPLETIONS) and _folded(n) not in usual]
        likely = [n for n in columns if _folded(n) == _EITHER and n != taken and (others or taken is not None)]
    if len(likely) == 1:
        return likely[0]
    if likely:
        found.append(Mistake(option, f"several columns may hold {what}: {', '.join(likely)}", "say which"))
    else:
        found.append(Mistake(option, f"no column is known to hold {what}", f"say which; {listed}"))
    return None


def _folded(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")
