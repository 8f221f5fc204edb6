"""The stages that ship with Synthflow, in the pipeline that the design sketches."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from synthflow.errors import Mistakes
from synthflow.spec import Pipeline, load_pipeline
from synthflow.spec.jsonschema import pipeline_schema
from synthflow.spec.load import recipe_names, recipe_summary
from synthflow.stages.adapters import all_stage_names, stage_class

SPEC = """\
name: step-advantage
policy: {backend: transformers, model: demo}
stages:
  problems:   {use: source.demo, limit: 4}
  rollouts:   {use: sample, of: problems, n: 8, temperature: 1.0, max_tokens: 256}
  verdicts:   {use: verify.math, of: rollouts}
  difficulty: {use: curriculum.pass_rate, of: verdicts}
  steps:      {use: label.monte_carlo, of: verdicts}
  pairs:      {use: mine.pairs, of: steps, level: step}
  dpo:        {use: export.preference, of: pairs}
  report:     {use: measure.qdc, of: [verdicts, steps, pairs]}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def test_the_sketched_pipeline_is_read_and_reads_back(spec: Path, tmp_path: Path) -> None:
    pipeline = load_pipeline(spec)
    assert [n.name for n in pipeline.ancestors("dpo")] == ["problems", "rollouts", "verdicts", "steps", "pairs"]
    (tmp_path / "again.yaml").write_text(pipeline.to_yaml())
    assert load_pipeline(tmp_path / "again.yaml") == pipeline
    jsonschema.validate(pipeline.resolved(), pipeline_schema())
    for node in pipeline.nodes:
        assert pickle.loads(pickle.dumps(node.stage)).config == node.config


def test_what_is_above_decides_what_a_stage_may_read(spec: Path) -> None:
    with pytest.raises(Mistakes) as caught:
        load_pipeline(spec, ["stages.dpo.of=verdicts", "stages.difficulty.of=problems"])
    said = str(caught.value)
    assert "stages.dpo.of: export.preference needs the table 'pairs'" in said
    assert "pairs writes it" in said
    assert "stages.difficulty" in said


@pytest.mark.parametrize("use", all_stage_names())
def test_every_registered_stage_says_what_it_is(use: str) -> None:
    cls = stage_class(use)
    assert cls.use == use
    assert cls.version
    assert cls.summary, "`synthflow list stages` shows it"
    undescribed = [name for name, field in cls.Config.model_fields.items() if not field.description]
    assert not undescribed, "editors and the reference show it"


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_sound(name: str) -> None:
    assert recipe_summary(name), "`synthflow list recipes` shows it"
    try:
        assert isinstance(load_pipeline(name), Pipeline)
    except Mistakes as error:
        # A recipe for the user's own problems names a file that does not exist yet: its only mistake may be that.
        remaining = [m for m in error.found if not m.where.endswith(".path")]
        if remaining:
            raise


def test_reading_a_spec_imports_no_engine(spec: Path) -> None:
    code = (
        "import sys; from synthflow.spec import load_pipeline; load_pipeline(sys.argv[1]); "
        "print(sorted({'torch', 'transformers', 'vllm', 'datasets', 'datatrove', 'dask'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(spec)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


SERVED = {"backend": "openai", "model": "org/x", "base_url": "http://h/v1"}


@pytest.mark.parametrize("use", ["label.monte_carlo", "label.tree", "mine.splices"])
def test_a_stage_of_tokens_under_a_chat_server_is_a_mistake_that_names_weights(
    use: str, policy_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    stages = {
        "problems": {"use": "source.demo", "limit": 4},
        "rollouts": {"use": "sample", "of": "problems"},
        "verdicts": {"use": "verify.math", "of": "rollouts"},
        "tokens": {"use": use, "of": "verdicts"},
    }

    def mistakes(policy: dict[str, object]) -> list[str]:
        try:
            Pipeline.build("p", stages, policy)
        except Mistakes as error:
            return [str(found) for found in error.found if "works on tokens" in found.what]
        return []

    [said] = mistakes(SERVED)
    assert "stages.tokens.policy" in said and "weights: PATH" in said
    assert mistakes({**SERVED, "weights": str(policy_dir), "endpoint": "chat"}) == [said]
    assert mistakes({**SERVED, "weights": str(policy_dir)}) == []
    assert mistakes({"backend": "transformers", "model": "demo"}) == []


@pytest.mark.parametrize(
    ("field", "words"),
    [({"top_k": 5}, "top_k is no parameter"), ({"stop": ["a", "b", "c", "d", "e"]}, "at most four stop texts")],
)
def test_a_way_of_sampling_that_a_server_has_not_is_told_when_the_spec_is_read(
    field: dict[str, object], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    stages = {"problems": {"use": "source.demo"}, "rollouts": {"use": "sample", "of": "problems", **field}}
    with pytest.raises(Mistakes) as found:
        Pipeline.build("p", stages, SERVED)
    [mistake] = found.value.found
    assert mistake.where == "stages.rollouts" and words in mistake.what
    Pipeline.build("p", stages, {**SERVED, "server": "vllm"})


def test_one_text_that_stops_stands_for_a_list_of_one(spec: Path) -> None:
    one = load_pipeline(spec, ['stages.rollouts.stop="Problem:"'])
    assert one == load_pipeline(spec, ['stages.rollouts.stop=["Problem:"]'])
    assert one["rollouts"].config.params().stop == ("Problem:",)
    schema = pipeline_schema()
    for stop in ("Problem:", ["Problem:", "Q:"]):
        stages = {**one.resolved()["stages"]}
        jsonschema.validate(
            {**one.resolved(), "stages": {**stages, "rollouts": stages["rollouts"] | {"stop": stop}}}, schema
        )
