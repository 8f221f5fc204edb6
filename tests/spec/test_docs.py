"""The example in docs/spec.md is a pipeline, and its Python twin is equal to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from synthflow.errors import Mistakes
from synthflow.spec import Pipeline, load_pipeline
from synthflow.spec.models import ExecutionSpec

DOC = (Path(__file__).parents[2] / "docs" / "spec.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", DOC, re.S)
    assert found
    return found[1]


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "step-pairs.yaml"
    path.write_text(block("yaml"))
    return path


def test_the_example_and_its_python_twin_are_equal(spec: Path) -> None:
    pipeline = load_pipeline(spec)
    assert [node.use for node in pipeline.nodes][:2] == ["source.demo", "sample"]
    scope: dict[str, Pipeline] = {}
    exec(block("python"), scope)
    assert scope["pipeline"] == pipeline


def test_the_mistakes_shown_are_the_mistakes_made(spec: Path) -> None:
    text = spec.read_text()
    for right, wrong in [
        ("temperature", "temprature"),
        ("of: rollouts}\n  short", "of: rolouts}\n  short"),
        ("size: 16", "size: 0"),
    ]:
        assert right in text
        text = text.replace(right, wrong, 1)
    spec.write_text(text)
    with pytest.raises(Mistakes) as caught:
        load_pipeline(spec)
    assert str(caught.value) in DOC


def test_the_table_of_execution_fields_is_complete() -> None:
    table = DOC.partition("**`execution`**")[2].partition("## ")[0]
    shown = dict(re.findall(r"^\| `(\w+)` \| `(.+?)` \|", table, re.M))
    defaults = ExecutionSpec.model_validate({}).model_dump()
    assert shown == {name: "null" if value is None else str(value) for name, value in defaults.items()}
