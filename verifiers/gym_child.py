"""What runs in the workers of reasoning-gym: its scorers on model text, and its generators.

Invariant: a scorer never evaluates model text. Several of reasoning-gym's scorers call `eval` or SymPy's `parse_expr`
on the answer; before the first answer is scored, both are replaced, in its modules and in SymPy, by `safe_expr`, which
builds the same values from a syntax tree. The library is imported before the first item, whose clock it would stop.
"""

from __future__ import annotations

import json
import math
import sys
from functools import cache, lru_cache
from typing import Any

import reasoning_gym
import sympy
from sympy.parsing import sympy_parser

from synthflow.verifiers import safe_expr

_BOARDS = ("arc_agi", "rearc")  # their scorers compare with tuples, which JSON does not have


@cache
def disarm() -> None:
    """Close every way from an answer to code in reasoning-gym, in this process and for good."""
    armed = sympy_parser.parse_expr
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "reasoning_gym" and module is not None:
            module.__dict__["eval"] = safe_expr.value
            for key, held in list(module.__dict__.items()):
                if held is armed:
                    module.__dict__[key] = safe_expr.expression
    sympy.parse_expr = sympy_parser.parse_expr = safe_expr.expression


@lru_cache(maxsize=32)
def _dataset(name: str, parameters: str) -> Any:
    return reasoning_gym.create_dataset(name, **json.loads(parameters))


def score(item: dict[str, Any]) -> dict[str, Any]:
    """`value` of an answer, as the data set's own `score_answer` has it; or `reason` and `detail`.

    Args:
        item: dataset, parameters, answer, and the entry (question, answer, metadata).
    """
    disarm()
    try:
        dataset = _dataset(item["dataset"], json.dumps(item["parameters"], sort_keys=True))
    except (ValueError, TypeError, AssertionError) as error:
        return {"reason": "gold_unparsable", "detail": f"{item['dataset']}: {error}"[:200]}
    asked = item["entry"]
    if item["dataset"] in _BOARDS:
        asked = asked | {"metadata": {key: _tuples(held) for key, held in asked["metadata"].items()}}
    value = float(dataset.score_answer(item["answer"], asked))
    if not math.isfinite(value):
        return {"reason": "verifier_error", "detail": f"the scorer of {item['dataset']} gave {value}"}
    return {"value": min(max(value, 0.0), 1.0)}


def generate(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Entries start to stop of a data set: question, answer and metadata, which is what JSON keeps of it.

    Args:
        item: dataset, parameters (its size and seed among them), start, stop.
    """
    dataset = _dataset(item["dataset"], json.dumps(item["parameters"], sort_keys=True))
    return [entry(dataset[i]) for i in range(item["start"], item["stop"])]


def entry(made: dict[str, Any]) -> dict[str, Any]:
    """An entry with metadata that JSON can hold; what it cannot is kept as text."""
    metadata = json.loads(json.dumps(made["metadata"], default=_plain))
    return {"question": str(made["question"]), "answer": made["answer"], "metadata": metadata}


def _tuples(held: Any) -> Any:
    return tuple(map(_tuples, held)) if isinstance(held, list) else held


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    return value.item() if hasattr(value, "item") else str(value)
