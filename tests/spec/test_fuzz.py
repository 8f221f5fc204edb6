"""Whatever is done to a good spec, the outcome is a pipeline or a user's mistake, and no other traceback."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from synthflow.errors import UserError
from synthflow.spec import Pipeline
from synthflow.spec.document import Document
from synthflow.spec.overrides import apply
from synthflow.spec.yaml_text import parse

pytestmark = pytest.mark.usefixtures("fakes")
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

GOOD = """\
name: fuzz
seed: 1
policy: {backend: transformers, model: demo, dtype: auto}
stages:
  problems: {use: source.fake, limit: 5}
  rollouts: {use: sample, of: problems, n: 4, stop: {half_width: 0.1}, bins: [0.1, 0.5]}
  verdicts: {use: verify.fake, of: rollouts, timeout_s: 3}
  kept: {use: filter.long, of: rollouts}
  steps: {use: label.fake, of: [verdicts, kept]}
  dpo: {use: export.fake, of: steps}
execution: {partition_size: 8}
"""
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["sample", "steps", "dpo"]),
)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=6), v, max_size=3), max_leaves=6
)


def outcome(document: Document, overrides: list[str]) -> Pipeline | UserError:
    try:
        apply(document, overrides)
        return Pipeline.from_document(document, Path.cwd())
    except UserError as error:
        return error


def every_path(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, sub in inner for found in every_path(sub, (*path, key)))]


@quick
@given(st.data())
def test_replaced_values(data: st.DataObject) -> None:
    document = parse(GOOD, "fuzz.yaml")
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([p for p in every_path(document.data) if p]))
        holder = document.data
        for key in path[:-1]:
            holder = holder[key]
        action = data.draw(st.sampled_from(["replace", "drop", "add"]))
        if action == "replace":
            holder[path[-1]] = data.draw(VALUES)
        elif action == "drop":
            del holder[path[-1]]
        elif isinstance(holder, dict):
            holder[data.draw(st.text(max_size=6))] = data.draw(VALUES)
    outcome(document, [])


@quick
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_mutated_text(seed: int, count: int) -> None:
    rng, text = random.Random(seed), GOOD
    for _ in range(count):
        at = rng.randrange(len(text))
        piece = rng.choice(
            ["", "{", "]", ":", "\n", "&a ", "*a", "!!map ", "\t", "- ", "'", '"', "\u0085", "\ufeff", "<<", "é", "?"]
        )
        text = text[:at] + piece + text[at + rng.randrange(4) :]
    try:
        document = parse(text, "fuzz.yaml")
    except UserError:
        return
    made = outcome(document, [])
    if isinstance(made, Pipeline):
        again = Pipeline.from_document(parse(made.to_yaml(), "again.yaml"), Path.cwd())
        assert again == made


@quick
@given(st.text(max_size=200))
@example("a: =")
@example("a: 0x")
@example("a: 1_e5")
@example("a: _")
def test_any_text(text: str) -> None:
    with contextlib.suppress(UserError):
        outcome(parse(text, "fuzz.yaml"), [])


@quick
@given(st.lists(st.builds("{}={}".format, st.text(max_size=12) | st.sampled_from(
    ["stages.rollouts.n", "stages.dpo.of", "policy.model", "name", "stages", "execution.retries", "stages.x.use"]
), st.text(max_size=8) | st.sampled_from(["8", "[a]", "{}", "null", "steps"])), max_size=3))  # fmt: skip
def test_any_override(overrides: list[str]) -> None:
    outcome(parse(GOOD, "fuzz.yaml"), overrides)
