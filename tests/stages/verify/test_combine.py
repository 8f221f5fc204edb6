"""`verify.combine` reads what verify stages said, by rollout, and asks nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import pytest

from support.stages import stage_info
from synthflow.contracts import MemoryInputs
from synthflow.schema import ROLLOUTS, SCORES
from synthflow.stages.adapters import stage_class

VERDICT = {"c": ("correct", 1.0, None), "w": ("wrong", 0.0, None), "u": ("unknown", None, "no_idea")}
PAIRS = ["".join(pair) for pair in product("cwu", repeat=2)]


class FakeServices:
    stage_id, run_seed, attempt = "st_1", 0, 1

    def __init__(self) -> None:
        self.counts: dict[str, float] = {}

    def count(self, **counts: float) -> None:
        self.counts.update(counts)


def rollout(name: str, condition: str = "none") -> dict[str, Any]:
    zeros = dict.fromkeys(("round", "index", "seed", "turn", "n_tokens"), 0)
    texts = dict.fromkeys(("policy_id", "sampling_id", "prefix_id", "stage_id", "completion_hash", "completion"), "x")
    more = {"finish_reason": "stop", "condition": condition, "prompt": [], "on_policy": True}
    return zeros | texts | more | {"rollout_id": name, "problem_id": "p"}


def score(name: str, letter: str, kind: str = "verdict") -> dict[str, Any]:
    verdict, value, reason = VERDICT[letter]
    return {
        "problem_id": "p", "target_kind": "rollout", "target_id": name, "kind": kind, "scorer": "s", "stage_id": "x",
        "scorer_version": "1", "config_hash": "c", "verdict": verdict, "value": value, "reason": reason, "detail": "",
    }  # fmt: skip


def combine(said: Mapping[str, Sequence[dict[str, Any]]], rows: Sequence[dict[str, Any]], **config: Any) -> Any:
    ancestors = [stage_info("roll", "sample", ("rollouts",))]
    ancestors += [stage_info(name, "verify.x", ("scores",), ("roll",)) for name in said]
    tables = {name: {"scores": SCORES.from_rows(scores)} for name, scores in said.items()}
    inputs = MemoryInputs(ancestors, list(said), {"roll": {"rollouts": ROLLOUTS.from_rows(rows)}, **tables})
    cls = stage_class("verify.combine")
    stage = cls(
        "v", cls.Config.model_validate({"use": "verify.combine", "of": list(said), "verdicts": list(said), **config})
    )
    services = FakeServices()
    return stage.run(inputs, services), services  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("config", "expected"),
    # The nine pairs in the order cc cw cu wc ww wu uc uw uu.
    [
        ({"rule": "cascade"}, "c c c w w w c w u"),
        ({"rule": "consensus"}, "c u u u w u u u u"),
        ({"rule": "veto"}, "c w u w w w u w u"),
        ({"rule": "veto", "unknown_veto": "ignore"}, "c w c w w w u w u"),
        ({"rule": "blend", "weights": [3, 1], "correct_from": 0.7, "wrong_below": 0.3}, "c c u w w u u u u"),
        ({"rule": "blend", "weights": [3, 1], "unknown_blend": "skip"}, "c c c w w w c w u"),
    ],
)
def test_rules_on_all_pairs(config: dict[str, Any], expected: str) -> None:
    said = {side: [score(pair, pair[i]) for pair in PAIRS] for i, side in enumerate(("one", "two"))}
    tables, services = combine(said, [rollout(pair) for pair in PAIRS], **config)
    found = {row["target_id"]: row for row in tables["scores"].to_pylist()}
    assert [found[pair]["verdict"][0] for pair in PAIRS] == expected.split()
    assert services.counts["rows"] == 9 and {row["scorer"] for row in found.values()} == {"combine"}
    assert all(row["reason"] for row in found.values() if row["verdict"] == "unknown")


def test_the_order_of_the_verdicts_is_that_of_the_rule() -> None:
    said = {"one": [score("r", "c")], "two": [score("r", "w")]}
    by_order = {}
    for order in (["one", "two"], ["two", "one"]):
        tables, _ = combine(said, [rollout("r")], rule="cascade", verdicts=order)
        (row,) = tables["scores"].to_pylist()
        by_order[order[0]] = row["verdict"], row["config_hash"]
    assert (by_order["one"][0], by_order["two"][0]) == ("correct", "wrong")
    assert by_order["one"][1] != by_order["two"][1]


def test_what_is_missing_is_unknown_and_what_is_no_verdict_is_not_read() -> None:
    said = {"one": [score("r", "c"), score("s", "c", "component")], "two": [score("r", "c")]}
    tables, _ = combine(said, [rollout("r"), rollout("s"), rollout("t", "prefix")], rule="consensus")
    assert [(r["target_id"], r["verdict"], r["reason"]) for r in tables["scores"].to_pylist()] == [
        ("r", "correct", None), ("s", "unknown", "no_verdict"),
    ]  # fmt: skip
    assert [(r["target_id"], r["reason"]) for r in tables["rejects"].to_pylist()] == [("t", "continuation")]
    empty, _ = combine({"one": [], "two": []}, [], rule="consensus")
    assert empty["scores"].num_rows == empty["rejects"].num_rows == 0


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"rule": "consensus", "verdicts": ["one"]}, "at least 2"),
        ({"rule": "consensus", "verdicts": ["one", "one"]}, "each stage once"),
        ({"rule": "consensus", "weights": [1, 1]}, "weights belong to rule: blend"),
        ({"rule": "blend", "weights": [1]}, "1 numbers for 2 verdicts"),
        ({"rule": "blend", "weights": [1, -1]}, "positive"),
        ({"rule": "blend", "weights": [1, 1], "wrong_below": 0.9}, "is above correct_from"),
    ],
)
def test_configurations_that_say_nothing(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        combine({"one": [], "two": []}, [], **config)
