"""Two answers at a time, in both orders: the other rollouts of the group, or a reference.

Invariants: a comparison has a result only if the two orders name the same one, or both say tie; rollouts with equal
texts are not compared, and what equals the reference ties with it unasked; a rollout's value is its share of wins,
ties counting half, over its comparisons with a result, and where too few have one it is unknown with the commonest
reason. Who is compared with whom depends on the group's rollout_ids and texts alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from synthflow.contracts import Judgement
from synthflow.judges.client import Heard, JudgeClient, JudgeQuestion
from synthflow.judges.samples import Result, both_orders, majority, verdict_value, win_share
from synthflow.rollouts.groups import GROUP
from synthflow.stages.verify.candidate import Candidate
from synthflow.stages.verify.config import JudgeConfig
from synthflow.stages.verify.pointwise import Judged

_REVERSED: dict[Result | None, Result | None] = {"win": "loss", "loss": "win", "tie": "tie", None: None}


@dataclass(slots=True)
class _Record:
    """The comparisons of one rollout: results, reasons where there is none, and the seconds they took."""

    results: list[Result | None] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    elapsed_s: float = 0.0

    def add(self, result: Result | None, reason: str | None, elapsed_s: float) -> None:
        self.results.append(result)
        self.elapsed_s += elapsed_s
        if reason is not None:
            self.reasons[reason] += 1


def judge(candidates: Sequence[Candidate], config: JudgeConfig, panel: JudgeClient) -> Judged:
    """Compare candidates, and judge each by its share of wins."""
    records = {c.rollout_id: _Record() for c in candidates}
    matches: list[tuple[Candidate, Candidate | None]] = (
        [(c, None) for c in candidates] if config.against == "reference" else list(_matches(candidates, config))
    )
    asks = [ask for match in matches for ask in _asks(*match)]  # none where the texts are equal
    heard, artifacts = panel.hear(asks, [config.answer()] * len(asks))
    given = iter(heard)
    for one, other in matches:
        texts = _texts(one, other)
        result: Result | None = "tie"
        reason, took = None, 0.0
        if texts[0] != texts[1]:
            forward, backward = next(given), next(given)
            result, reason = _result(forward, backward, config.min_agreement)
            took = sum(sample.elapsed_s for sample in (*forward, *backward))
        records[one.rollout_id].add(result, reason, took)
        if other is not None:
            records[other.rollout_id].add(_REVERSED[result], reason, took)
    judgements, measures = {}, []
    for candidate in candidates:
        record = records[candidate.rollout_id]
        judgements[candidate.rollout_id] = _judgement(record, config, candidate)
        if record.results:
            decided = sum(result is not None for result in record.results) / len(record.results)
            measures.append((candidate.rollout_id, "decided", decided))
    return judgements, measures, artifacts


def _matches(candidates: Sequence[Candidate], config: JudgeConfig) -> list[tuple[Candidate, Candidate]]:
    """Pairs within each group: each with the next `opponents` in the circle of rollout_ids, or all with all."""
    groups: dict[tuple[object, ...], list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(tuple(candidate.row[name] for name in GROUP), []).append(candidate)
    found = []
    for group in groups.values():
        members = sorted(group, key=lambda c: c.rollout_id)
        n = len(members)
        reach = n - 1 if config.opponents is None else min(config.opponents, n - 1)
        pairs = {tuple(sorted((i, (i + step) % n))) for i in range(n) for step in range(1, reach + 1)}
        found += [(members[i], members[j]) for i, j in sorted(pairs) if members[i].text != members[j].text]
    return found


def _texts(one: Candidate, other: Candidate | None) -> tuple[str, str]:
    return one.text, other.text if other is not None else str(one.reference)


def _asks(one: Candidate, other: Candidate | None) -> list[JudgeQuestion]:
    """Both orders of a match, none where the texts are equal."""
    a, b = _texts(one, other)
    if a == b:
        return []
    about = (one.rollout_id,) if other is None else (one.rollout_id, other.rollout_id)
    names = (one.rollout_id, "reference" if other is None else other.rollout_id)
    problem = one.row["problem_id"]
    return [
        JudgeQuestion(
            problem,
            {"question": one.question, "first": first, "second": second},
            about,
            {"first": first_name, "second": second_name},
        )
        for (first, second), (first_name, second_name) in (((a, b), names), ((b, a), names[::-1]))
    ]


def _result(
    forward: Sequence[Heard], backward: Sequence[Heard], min_agreement: float
) -> tuple[Result | None, str | None]:
    said = []
    for samples in (forward, backward):
        readings = [s.reading.value if isinstance(s.reading.value, str) else None for s in samples]
        winner = majority(readings, min_agreement)
        if winner is None:
            lost = next((s.reason for s in samples if s.reason is not None), None)
            return None, lost if lost is not None else "disagreement"
        said.append(winner)
    return both_orders(*said)


def _judgement(record: _Record, config: JudgeConfig, candidate: Candidate) -> Judgement:
    value = win_share(record.results)
    decided = sum(result is not None for result in record.results)
    if not record.results:
        return Judgement.unknown("too_few", "nothing in its group to compare it with")
    if value is None or decided < config.min_decided * len(record.results):
        reason = min(record.reasons, key=lambda name: (-record.reasons[name], name))
        told = f"{decided} of {len(record.results)} comparisons have a result"
        return Judgement.unknown(reason, told, record.elapsed_s)
    verdict = config.limits().zone(value)
    if verdict == "unknown":
        told = f"a share of {value:.4g} lies between the thresholds"
        return Judgement.unknown("undecided", told, record.elapsed_s)
    return Judgement(verdict, verdict_value(verdict, value), None, candidate.extracted, record.elapsed_s)
