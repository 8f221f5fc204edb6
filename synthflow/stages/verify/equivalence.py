"""Which rollouts of a group gave the same answer, without a gold answer.

Invariants: one spelling (`verifiers.text.canonical`) settles most; what is still written differently is compared in
pairs by the math verifier, under its limits of time and memory, each pair once, the commoner answer as the gold one,
and turned round where that is unknown. Equal pairs are merged whatever their order, so nothing depends on it. A pair
that stays unknown is neither equal nor different.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

from synthflow.contracts import Judgement, Question, Services
from synthflow.errors import InvariantBroken
from synthflow.stages.verify.voting import merged
from synthflow.verifiers.answers.finding.extract import Extraction, extract
from synthflow.verifiers.answers.reading.text import canonical
from synthflow.verifiers.exact import normalise
from synthflow.verifiers.math import MathConfig, shown

Equivalence = Literal["math", "text"]
MAX_ANSWER = 2000
"""Characters of an answer that takes part; the math verifier refuses longer ones."""
_DIFFERENT = Judgement("wrong", 0.0)


@dataclass(frozen=True, slots=True)
class Ballot:
    """What a rollout answered: its class, and the answer as `detail` shows it."""

    label: int
    shown: str


@dataclass(frozen=True, slots=True)
class Classes:
    """The answers of a group. `lost` judges rollouts without one; `apart` holds the pairs of classes of which some
    spellings were told apart, `open` those whose comparison failed, with the reason."""

    ballots: Mapping[str, Ballot]
    lost: Mapping[str, Judgement]
    apart: Set[frozenset[int]]
    open: Mapping[frozenset[int], str]

    def why_open(self, one: int, other: int) -> str | None:
        """Why nobody knows whether two classes are equal; None if they are one, or were told apart."""
        pair = frozenset((one, other))
        return None if len(pair) == 1 or pair in self.apart else self.open.get(pair, "not_compared")


@dataclass(frozen=True, slots=True)
class _Spelling:
    """Answers of a group that are written alike; the smallest rollout_id stands for them."""

    text: str
    votes: int
    problem_id: str
    rollout_id: str
    completion: str
    answer: str


@dataclass(frozen=True, slots=True)
class _Read:
    """A group's answers in one spelling each."""

    of: Mapping[str, tuple[str, str]]
    lost: Mapping[str, Judgement]
    spellings: Sequence[_Spelling]


def classify(
    groups: Sequence[Sequence[Mapping[str, Any]]],
    how: Equivalence,
    extraction: Extraction,
    timeout_s: float,
    max_classes: int,
    services: Services,
) -> tuple[list[Classes], str]:
    """Classes of equal answers of each group, and the version of the verifier that compared.

    Args:
        groups: rows with rollout_id, problem_id and completion.
        max_classes: spellings of a group that are compared in pairs, the commonest first; others stand alone.
    """
    read = [_read(group, how, extraction) for group in groups]
    if how == "text":
        return [_classes(group, None) for group in read], ""
    pairs = [
        (g, i, j)
        for g, group in enumerate(read)
        for i in range(min(len(group.spellings), max_classes))
        for j in range(i + 1, min(len(group.spellings), max_classes))
    ]
    config = MathConfig(extract=extraction, timeout_s=timeout_s).model_dump(mode="json")
    said, version = _compare(pairs, read, config, services)
    unsure = [pair for pair in pairs if said[pair].verdict == "unknown"]
    turned, _ = _compare([(g, j, i) for g, i, j in unsure], read, config, services)
    for g, i, j in unsure:
        if turned[g, j, i].verdict != "unknown":
            said[g, i, j] = turned[g, j, i]
    by_group: list[dict[tuple[int, int], Judgement]] = [{} for _ in read]
    for (g, i, j), judgement in said.items():
        by_group[g][i, j] = judgement
    return [_classes(group, by_group[g]) for g, group in enumerate(read)], version


Pair = tuple[int, int, int]
"""Group, spelling taken for gold, spelling that is judged."""


def _compare(
    pairs: Sequence[Pair], read: Sequence[_Read], config: Mapping[str, Any], services: Services
) -> tuple[dict[Pair, Judgement], str]:
    questions = []
    for g, gold, given in pairs:
        one, other = read[g].spellings[gold], read[g].spellings[given]
        questions.append(Question(other.rollout_id, other.problem_id, other.completion, one.answer))
    answers, version, _ = services.judge("math", config, questions)
    if len(answers) != len(questions):
        raise InvariantBroken(f"verifier 'math': {len(questions)} questions, {len(answers)} judgements")
    return dict(zip(pairs, answers, strict=True)), f"math {version}"


def _read(group: Sequence[Mapping[str, Any]], how: Equivalence, extraction: Extraction) -> _Read:
    of: dict[str, tuple[str, str]] = {}
    lost: dict[str, Judgement] = {}
    first: dict[str, tuple[Mapping[str, Any], str]] = {}
    for row in sorted(group, key=lambda r: r["rollout_id"]):
        answer = extract(row["completion"], extraction)
        text = "" if answer is None else canonical(answer) if how == "math" else normalise(answer)
        if not row["completion"].strip():
            lost[row["rollout_id"]] = Judgement.unknown("empty")
        elif answer is None or not text:
            lost[row["rollout_id"]] = Judgement.unknown("parse_failure", "no answer found")
        elif len(answer) > MAX_ANSWER:
            lost[row["rollout_id"]] = Judgement.unknown("too_large", shown(answer))
        else:
            of[row["rollout_id"]] = text, shown(answer)
            first.setdefault(text, (row, answer))
    votes = Counter(text for text, _ in of.values())
    spellings = [
        _Spelling(text, votes[text], row["problem_id"], row["rollout_id"], row["completion"], answer)
        for text, (row, answer) in first.items()
    ]
    return _Read(of, lost, sorted(spellings, key=lambda s: (-s.votes, s.text)))


def _classes(group: _Read, said: Mapping[tuple[int, int], Judgement] | None) -> Classes:
    """Classes from what was said about pairs of spellings; None where spellings that differ are different."""
    n = len(group.spellings)
    known = said if said is not None else {(i, j): _DIFFERENT for i in range(n) for j in range(i + 1, n)}
    labels = merged(n, [pair for pair, judgement in known.items() if judgement.verdict == "correct"])
    by_text = {spelling.text: label for spelling, label in zip(group.spellings, labels, strict=True)}
    ballots = {rollout: Ballot(by_text[text], answer) for rollout, (text, answer) in group.of.items()}
    apart: set[frozenset[int]] = set()
    open_: dict[frozenset[int], str] = {}
    for (i, j), judgement in sorted(known.items(), key=lambda item: item[0]):
        pair = frozenset((labels[i], labels[j]))
        if len(pair) == 2 and judgement.verdict == "wrong":
            apart.add(pair)
        elif len(pair) == 2:
            open_.setdefault(pair, judgement.reason or "verifier_error")
    return Classes(ballots, group.lost, apart, open_)
