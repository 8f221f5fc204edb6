"""Single steps: a better against a worse one after the same prefix.

Invariants: both sides follow the same prompt and the same prefix, in text and in the tokens that were sampled; both
were written by the same policy in the same round. Steps with the same text after one prefix are one step.

Two rules. `sibling`: two labelled steps after one prefix; both have values of their own, so the margin is their
difference. `continuation` (in the spirit of Setlur et al. 2024, "RL on Incorrect Synthetic Data Scales the Efficiency
of LLM Math Reasoning by Eight-Fold"; the details are our default): the rejected side is a labelled step that loses
value, the chosen side the first step of a continuation of the same prefix that turned out correct. That step was
never valued, and one success says little of it, so its `chosen_value` is the value of the prefix: given that a sample
succeeded, the expected value of its first step is E[V²]/E[V] >= E[V], the prefix's. The margin is then minus the
advantage of the rejected step, a bound that holds on average.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

from synthflow import ids
from synthflow.rollouts.prefixes import prefix_id
from synthflow.segment import segment_like
from synthflow.segment.entropy import needs_tokens
from synthflow.stages.mine.choose import Candidate, Side
from synthflow.statistics.intervals import Z95, difference_error, standard_error

MAX_SIDE = 64
"""Labelled steps, and correct samples, considered after one prefix: those with the smallest ids. What is compared
grows with the square of them."""

ROUNDING = 1e-6
"""Values come from 32-bit columns: a gap of exactly min_gap must not fail by their rounding."""

NodeKey = tuple[str, str, int, str, str]
"""prompt hash, policy, round, prefix_id, hash of the prefix's text."""


@dataclass(frozen=True, slots=True)
class CorrectEnd:
    """A rollout that begins at a prefix and ended correct: a continuation, or a first rollout after the prompt."""

    rollout_id: str
    text: str


@dataclass(slots=True)
class StepNode:
    """A prefix and the labelled steps after it, by their text."""

    prefix_id: str
    prefix: str
    children: dict[str, tuple[Side, Mapping[str, Any]]] = field(default_factory=dict)
    correct: list[CorrectEnd] = field(default_factory=list)

    @property
    def comparable(self) -> bool:
        """There is something to pair a labelled step with."""
        return len(self.children) > 1 or (bool(self.children) and bool(self.correct))


def nodes_of(
    labelled: Iterable[Mapping[str, Any]],
    continuations: Iterable[Mapping[str, Any]],
    firsts: Iterable[Mapping[str, Any]],
) -> list[StepNode]:
    """The prefixes of one problem.

    Args:
        labelled: steps with values: columns of steps and step_values, and of their rollout.
        continuations: correct rollouts that continue whole steps of a parent; `prefix_chars` is the length of the
            text that their prefix tokens spell.
        firsts: correct first rollouts, with `prefix_chars` 0.

    All in the order of their ids, so that the smallest represents those with one text.
    """
    nodes: dict[NodeKey, StepNode] = {}
    for row in labelled:
        prefix = row["completion"][: row["char_start"]]
        key = _key(row, prefix_id(row, row["token_ids"][: row["token_start"]]), prefix)
        node = nodes.setdefault(key, StepNode(key[3], prefix))
        text = row["completion"][row["char_start"] : row["char_end"]]
        if row["value"] is not None and len(node.children) < MAX_SIDE:
            side = Side(
                row["rollout_id"],
                text,
                row["token_end"] - row["token_start"],
                row["value"],
                row["value_low"],
                row["value_high"],
                row["step_id"],
                _visits(row),
            )
            node.children.setdefault(text, (side, row))
    by_prefix: dict[tuple[str, str, int, str], list[StepNode]] = {}
    for key, node in nodes.items():
        by_prefix.setdefault(key[:4], []).append(node)
    for row in [*continuations, *firsts]:
        for node in by_prefix.get(_key(row, row["prefix_id"], "")[:4], []):
            # Where the lengths differ, a token straddles this node's boundary.
            if len(node.prefix) == row["prefix_chars"] and len(node.correct) < MAX_SIDE:
                node.correct.append(CorrectEnd(row["rollout_id"], row["completion"]))
    return list(nodes.values())


def _key(row: Mapping[str, Any], prefix: str, text: str) -> NodeKey:
    return ids.problem_id(row["prompt"]), row["policy_id"], row["round"], prefix, ids.text_hash(text)


def siblings(node: StepNode, gap: float, which: Literal["all", "extremes"] = "all") -> Iterable[Candidate]:
    """Pairs of labelled steps whose values differ by `gap` or more.

    `extremes` pairs the best child with the worst alone, as MCTS-DPO's training scripts do (`choose_worst`); ties go to
    more visits, then to the smaller id (our default).
    """
    found = list(node.children.values())
    if which == "extremes" and len(found) > 2:
        best = min(found, key=lambda c: (-c[0].value, -c[0].visits, c[0].step_id))
        worst = min(found, key=lambda c: (c[0].value, -c[0].visits, c[0].step_id))
        found = [best, worst]
    for one, other in combinations(found, 2):
        better, worse = (one, other) if one[0].value > other[0].value else (other, one)
        if better[0].value - worse[0].value >= gap - ROUNDING:
            errors = value_error(better[1]), value_error(worse[1])
            error = None if None in errors else float(difference_error(*errors))  # type: ignore[arg-type]
            above, below = better[0].low, worse[0].high
            significant = above is not None and below is not None and above > below
            sure = visit_confidence(better[0].visits, worse[0].visits)
            yield Candidate(
                "sibling", node.prefix_id, node.prefix, better[0], worse[0], error, significant, visit_confidence=sure
            )


def visit_confidence(better: int, worse: int) -> float | None:
    """1 / (1 + N_worse / max(1, N_better)) from visits, as MCTS-DPO's released code has it; None where nobody counted.

    It smooths a pair's label by min(1 - confidence, 0.5).
    """
    return 1 / (1 + worse / max(1, better)) if better and worse else None


def _visits(row: Mapping[str, Any]) -> int:
    """Samples behind a value, judged or not; one for a verdict, which is the rollout's own."""
    is_verdict = row["value_low"] is not None and row["value_low"] == row["value_high"]
    return int(row["n"] + row["n_unknown"]) or int(is_verdict)


def against_continuations(node: StepNode, gap: float) -> Iterable[Candidate]:
    """Pairs of a labelled step that loses `gap` or more with the first steps of correct samples from its prefix."""
    firsts: dict[str, dict[str, Side]] = {}
    for rejected, row in node.children.values():
        if row["advantage"] is None or -row["advantage"] < gap - ROUNDING:
            continue
        label = row["segmenter"]
        if label not in firsts:
            firsts[label] = _first_steps(node, label)
        value, error = row["value_before"], row["advantage_se"]
        significant = error is not None and -row["advantage"] > Z95 * error
        for text, side in firsts[label].items():
            if text not in node.children:
                chosen = Side(side.rollout_id, text, 0, value, value, value)
                # One side has no tokens of its own, so lengths are compared in characters.
                yield Candidate("continuation", node.prefix_id, node.prefix, chosen, rejected, error, significant)


def _first_steps(node: StepNode, label: str) -> dict[str, Side]:
    """First steps of the correct samples, cut as `label` says, by text; without those that are cut elsewhere."""
    found: dict[str, Side] = {}
    start = len(node.prefix)
    if needs_tokens(label):  # nobody has read these samples for their entropies
        return found
    for sample in node.correct:
        span = next((s for s in segment_like(node.prefix + sample.text, label).spans if s.start == start), None)
        if span is not None:
            text = sample.text[: span.end - start]
            found.setdefault(text, Side(sample.rollout_id, text, 0, 1.0, 1.0, 1.0))
    return found


def value_error(row: Mapping[str, Any]) -> float | None:
    """Standard error of a step's value: 0 for a verdict, whose interval is a point; None without an interval."""
    if row["value_low"] is None or row["value_high"] is None:
        return None
    if row["value_low"] == row["value_high"]:
        return 0.0
    if row["n"] > 0:
        return float(standard_error(row["successes"], row["n"]))
    return float((row["value_high"] - row["value_low"]) / (2 * Z95))


def candidates(
    nodes: Sequence[StepNode], rules: Sequence[str], gap: float, which: Literal["all", "extremes"] = "all"
) -> list[Candidate]:
    """All candidates of one problem under the wanted rules, with margins of at least `gap`."""
    found: list[Candidate] = []
    for node in nodes:
        if "sibling" in rules:
            found.extend(siblings(node, gap, which))
        if "continuation" in rules:
            found.extend(against_continuations(node, gap))
    return found
