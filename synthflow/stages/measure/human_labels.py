"""Human labels: rollouts that a person has judged, in a file of JSON Lines.

Invariant: a label is correct, wrong or unknown, and belongs to one rollout; two labels that contradict each other, and
lines that are no labels, are mistakes with their places.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthflow.errors import MOST_MISTAKES, Mistake, Mistakes, UserError
from synthflow.io.json_lines import json_rows
from synthflow.io.paths import expand, label
from synthflow.io.rows import RowError
from synthflow.stores.files import sha256_of

_SAID: dict[Any, str] = {
    "correct": "correct", "wrong": "wrong", "unknown": "unknown", "right": "correct", "incorrect": "wrong",
    "true": "correct", "false": "wrong", "1": "correct", "0": "wrong",
}  # fmt: skip


def read_labels(path: str, sha256: str | None = None) -> dict[str, str]:
    """Verdict by rollout_id.

    Raises:
        UserError: if the file cannot be read, holds no label, or is not the one whose hash is given.
        Mistakes: up to 20 lines that are no labels.
    """
    name = label(path)
    if "://" in path or expand([path]) != [path]:
        raise UserError(f"{name}: name one local file of labels")
    if sha256 is not None and sha256_of(Path(path)) != sha256:
        raise UserError(f"{name}: its sha256 is not {sha256}; give the labels that the spec names, or mend the spec")
    labels: dict[str, str] = {}
    wrong: list[Mistake] = []
    for row in json_rows(path):
        try:
            if isinstance(row.values, RowError):
                raise row.values
            rollout, verdict = _label(row.values)
            if labels.setdefault(rollout, verdict) != verdict:
                raise RowError(f"{rollout} is {labels[rollout]} in a line before, and {verdict} here", "keep one")
        except RowError as error:
            wrong.append(Mistake(row.where, error.what, error.fix))
            if len(wrong) == MOST_MISTAKES:
                break
    if wrong:
        raise Mistakes(wrong, name)
    if not labels:
        raise UserError(f"{name}: it holds no label")
    return labels


def _label(values: Mapping[str, Any]) -> tuple[str, str]:
    rollout = values.get("rollout_id")
    if not isinstance(rollout, str):
        raise RowError("no rollout_id", 'a label is {"rollout_id": "r_...", "verdict": "correct"}')
    said = next((values[key] for key in ("verdict", "label") if values.get(key) is not None), None)
    verdict = _SAID.get(str(said).strip().casefold())
    if verdict is None:
        raise RowError(f"{str(said)[:40]!r} is no verdict", "expected correct, wrong or unknown in the field verdict")
    return rollout, verdict
