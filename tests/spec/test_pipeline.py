"""One pipeline, three spellings: YAML, its resolved form, and Python."""

from __future__ import annotations

import pickle
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow.contracts import PolicyConfig
from synthflow.errors import Mistakes
from synthflow.spec import Pipeline, graph, load_pipeline
from synthflow.spec.jsonschema import pipeline_schema
from synthflow.spec.models import stage_name_problem
from synthflow.stages.adapters import stage_class

STAGES = {
    "problems": {"use": "source.fake", "limit": 5},
    "rollouts": {"use": "sample", "of": "problems", "n": 4, "stop": {"half_width": 0.2}},
    "verdicts": {"use": "verify.fake", "of": ("rollouts",), "truncated": "wrong"},
    "kept": {"use": "filter.long", "of": "rollouts", "most": 3},
    "steps": {"use": "label.fake", "of": ["verdicts", "kept"]},
}
YAML = """\
name: same
seed: 3
policies:
  default: {backend: transformers, model: demo, max_batch: 2}
stages:
  problems: {use: source.fake, limit: 5}
  rollouts: {use: sample, of: problems, n: 4, stop: {half_width: 0.2}}
  verdicts: {use: verify.fake, of: rollouts, truncated: wrong}
  kept: {use: filter.long, of: rollouts, most: 3}
  steps: {use: label.fake, of: [verdicts, kept]}
execution: {partition_size: 4}
"""


@pytest.fixture
def loaded(fakes: None, tmp_path: Path) -> Pipeline:
    (tmp_path / "same.yaml").write_text(YAML)
    return load_pipeline(tmp_path / "same.yaml")


def test_python_and_yaml_build_equal_pipelines(loaded: Pipeline) -> None:
    policy = PolicyConfig(backend="transformers", model="demo", options={"max_batch": 2})
    built = Pipeline.build("same", STAGES, policy, seed=3, execution={"partition_size": 4})
    assert built.resolved() == loaded.resolved()
    assert built == loaded
    assert built != Pipeline.build("same", STAGES, policy, seed=4, execution={"partition_size": 4})


def test_configs_build_the_same_as_dicts(fakes: None) -> None:
    flat = Pipeline.build("same", STAGES, {"backend": "transformers", "model": "demo"})
    configs = {name: stage_class(str(s["use"])).Config.model_validate(s) for name, s in STAGES.items()}
    assert Pipeline.build("same", configs, {"backend": "transformers", "model": "demo"}) == flat


def test_the_resolved_form_is_explicit_and_reads_back_equal(loaded: Pipeline, tmp_path: Path) -> None:
    resolved = loaded.resolved()
    assert resolved["policies"]["default"] == {
        "backend": "transformers", "model": "demo", "dtype": "auto", "max_batch": 2,
    }  # fmt: skip
    assert resolved["stages"]["rollouts"]["temperature"] == 1.0
    assert resolved["stages"]["rollouts"]["stop"] == {"half_width": 0.2, "most": None}
    assert resolved["execution"]["engines"] is None
    (tmp_path / "resolved.yaml").write_text(loaded.to_yaml())
    again = load_pipeline(tmp_path / "resolved.yaml")
    assert again == loaded
    assert again.to_yaml() == loaded.to_yaml()


def test_the_json_schema_accepts_resolved_specs_and_refuses_wrong_ones(loaded: Pipeline) -> None:
    schema = pipeline_schema()
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    validator.validate(loaded.resolved())
    short = {"name": "x", "policy": {"backend": "transformers", "model": "m", "max_batch": 3}, "stages": STAGES}
    validator.validate(
        {
            **short,
            "stages": {
                k: {**v, "of": list(v["of"])} if isinstance(v.get("of"), tuple) else v for k, v in STAGES.items()
            },
        }
    )
    for wrong in ({"use": "sample", "n": 0}, {"use": "sampel"}, {"use": "sample", "m": 1}, {}):
        assert not validator.is_valid({"name": "x", "stages": {"a": wrong}})
    assert not validator.is_valid({"name": "x", "stages": {}})


def test_stages_made_from_verifiers_and_filters_can_be_pickled(loaded: Pipeline) -> None:
    for node in loaded.nodes:
        if node.name in ("verdicts", "kept"):
            again = pickle.loads(pickle.dumps(node.stage))
            assert (type(again), again.name, again.config) == (type(node.stage), node.name, node.config)


def test_build_reports_mistakes_by_field(fakes: None) -> None:
    with pytest.raises(Mistakes, match=r"stages\.rollouts\.n: 0 is not right"):
        Pipeline.build(
            "x",
            {**STAGES, "rollouts": {"use": "sample", "of": "problems", "n": 0}},
            {"backend": "transformers", "model": "m"},
        )
    with pytest.raises(Mistakes, match="name: 7"):
        Pipeline.build(7, STAGES, {"backend": "transformers", "model": "m"})  # type: ignore[arg-type]
    with pytest.raises(Mistakes, match="expected fields and values"):
        Pipeline.build("x", {1: 2}, "demo")  # type: ignore[arg-type, dict-item]
    both = {"backend": "transformers", "model": "m"}
    with pytest.raises(Mistakes, match="keep one of them"):
        Pipeline.build("x", STAGES, both, {"default": both})


@pytest.mark.parametrize("word", ["train", "test", "self-eval", "dev_run", "Validation", "train2", "2val"])
def test_no_stage_may_be_taken_for_a_split(word: str) -> None:
    assert stage_name_problem(word)


@pytest.mark.parametrize("word", ["trainer", "contest", "devices", "latest", "evaluate"])
def test_words_that_only_hold_a_splits_word_are_fine(word: str) -> None:
    assert stage_name_problem(word) is None


@st.composite
def dags(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    size = draw(st.integers(1, 7))
    names = [f"s{i}" for i in range(size)]
    parents = {
        name: tuple(draw(st.lists(st.sampled_from(names[:i]), unique=True)) if i else ())
        for i, name in enumerate(names)
    }
    return {name: parents[name] for name in draw(st.permutations(names))}


@given(dags())
def test_orders_are_topological_and_end_with_a_parent(parents: dict[str, tuple[str, ...]]) -> None:
    order = graph.topological(parents)
    assert sorted(order) == sorted(parents)
    assert not graph.cycles(parents)
    for name in parents:
        above = graph.ancestors(name, parents)
        assert all(above.index(p) < above.index(c) for c in above for p in parents[c])
        assert set(above) >= set(parents[name])
        if above:
            assert above[-1] in parents[name]


@given(dags(), st.data())
def test_an_edge_backwards_is_a_circle(parents: dict[str, tuple[str, ...]], data: st.DataObject) -> None:
    low = data.draw(st.sampled_from(sorted(parents)))
    high = data.draw(st.sampled_from([low, *(n for n in parents if low in graph.ancestors(n, parents))]))
    found = graph.cycles({**parents, low: (*parents[low], high)})
    assert found
    closed = {**parents, low: (*parents[low], high)}
    for cycle in found:
        assert all(after in closed[name] for name, after in zip(cycle, [*cycle[1:], cycle[0]], strict=True))


def test_the_lower_cap_counts_and_a_cost_needs_a_price() -> None:
    stages = {"problems": {"use": "source.demo", "limit": 4}}

    def cap(**execution: float) -> int | None:
        return Pipeline.build("capped", stages, execution=execution).execution.token_cap

    assert cap() is None and cap(max_tokens=10) == 10
    assert cap(max_cost=3, price_per_million_tokens=2) == 1_500_000
    assert cap(max_cost=3, price_per_million_tokens=2, max_tokens=7) == 7
    with pytest.raises(Mistakes, match="max_cost needs price_per_million_tokens"):
        cap(max_cost=3)
