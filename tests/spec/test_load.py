"""Mistakes are found together, each at its line; what is right becomes a graph in topological order."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from synthflow.errors import Mistakes, UserError
from synthflow.spec import load_pipeline

pytestmark = pytest.mark.usefixtures("fakes")

GOOD = """\
name: good
policy: {backend: transformers, model: demo}
stages:
  problems: {use: source.fake, limit: 5}
  rollouts: {use: sample, of: problems, n: 4}
  verdicts: {use: verify.fake, of: rollouts, timeout_s: 3}
  steps: {use: label.fake, of: [verdicts]}
  dpo: {use: export.fake, of: steps}
"""


def write(folder: Path, text: str, name: str = "spec.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def places(error: Mistakes) -> list[tuple[str, str]]:
    return [tuple(m.where.split(" ", 1)) for m in error.found]  # type: ignore[misc]


def mistakes(folder: Path, text: str, *overrides: str) -> Mistakes:
    with pytest.raises(Mistakes) as caught:
        load_pipeline(write(folder, text), overrides)
    return caught.value


def test_a_good_spec_becomes_a_graph(tmp_path: Path) -> None:
    pipeline = load_pipeline(write(tmp_path, GOOD))
    assert [n.name for n in pipeline.nodes] == ["problems", "rollouts", "verdicts", "steps", "dpo"]
    assert pipeline["verdicts"].config.timeout_s == 3
    assert pipeline["verdicts"].config.truncated == "unknown"
    assert pipeline.policies["default"].model == "demo"
    assert [i.name for i in pipeline.infos("steps")] == ["problems", "rollouts", "verdicts"]
    assert pipeline.infos("steps")[1].config["n"] == 4
    assert [n.name for n in pipeline.children("verdicts")] == ["steps"]
    assert pipeline.spec_text == GOOD


def test_five_mistakes_are_reported_together_at_their_lines(tmp_path: Path) -> None:
    text = """\
name: five
policy: {backend: transformers, model: demo}
stages:
  problems:
    use: source.fake
    limit: 0
  rollouts:
    use: sample
    of: problem
    temprature: 0.7
  verdicts: {use: verify.fakee, of: rollouts}
  pairs:
    use: label.fake
    of:
      - problems
"""
    error = mistakes(tmp_path, text)
    assert places(error) == [
        ("spec.yaml:6", "stages.problems.limit"),
        ("spec.yaml:9", "stages.rollouts.of"),
        ("spec.yaml:10", "stages.rollouts.temprature"),
        ("spec.yaml:11", "stages.verdicts.use"),
        ("spec.yaml:14", "stages.pairs.of"),
        ("spec.yaml:14", "stages.pairs.of"),
    ]
    said = str(error)
    assert "6 mistakes in spec.yaml" in said
    assert "0 is not right (expected 1 or more)" in said
    assert "did you mean 'problems'?" in said
    assert "did you mean 'temperature'?" in said
    assert "did you mean 'verify.fake'?" in said
    assert "needs the table 'rollouts'" in said and "rollouts writes it" in said
    assert "needs the table 'scores'" in said and "filter.long, tag.fake, verify.fake" in said


@pytest.mark.parametrize(
    ("change", "line", "field", "words"),
    [
        (("n: 4", "n: many"), 5, "stages.rollouts.n", "'many' is not right (expected a whole number)"),
        (("n: 4", "n: [1, 2]"), 5, "stages.rollouts.n", "a list of 2 is not right (expected a whole number)"),
        (("n: 4", "n: .inf"), 5, "stages.rollouts.n", "no finite number"),
        (("n: 4", "n: 99999999999999999999"), 5, "stages.rollouts.n", "beyond 64 bits"),
        (("n: 4", "n: true"), 5, "stages.rollouts.n", "true is not right (expected a number)"),
        (("name: good", "name: good\nseed: false"), 2, "seed", "false is not right"),
        (("n: 4", "order: hard"), 5, "stages.rollouts.order", "expected as_given or easy_first"),
        (("n: 4", "stop: {half: 1}"), 5, "stages.rollouts.stop.half", "did you mean 'half_width'?"),
        (("n: 4", "stop: {half_width: 2}"), 5, "stages.rollouts.stop.half_width", "less than 1"),
        (("n: 4", "stop: yes"), 5, "stages.rollouts.stop", "expected fields and values"),
        (("n: 4", "policy: judge"), 5, "stages.rollouts.policy", "no policy is called 'judge' (known: default)"),
        (("n: 4", "n: 4, n: 5"), 5, "stages.rollouts.n", "stands twice, on lines 5 and 5"),
        (("timeout_s", "timeout"), 6, "stages.verdicts.timeout", "did you mean 'timeout_s'?"),
        (("of: [verdicts]", "low: 2, of: verdicts"), 7, "stages.steps", "low must not exceed high"),
        (("of: [verdicts]", "of: [verdicts, verdicts]"), 7, "stages.steps.of[1]", "stands twice"),
        (("of: [verdicts]", "of: [1]"), 7, "stages.steps.of[0]", "1 is not right (expected text)"),
        (("of: steps", "of: [steps, dpo]"), 8, "stages.dpo.of", "a circle of stages: dpo -> dpo"),
        ((", of: steps", ""), 8, "stages.dpo.of", "missing"),
        (("dpo:", "dev-set:"), 8, "stages.dev-set", "'dev'"),
        (("dpo:", "Steps:"), 8, "stages.Steps", "differ in case only"),
        (("dpo:", "a/b:"), 8, "stages.a/b", "a name is 1 to 64 letters"),
        (("use: export.fake, ", ""), 8, "stages.dpo.use", "missing"),
        (("use: export.fake", "use: 7"), 8, "stages.dpo.use", "7 is not right"),
        (("use: export.fake", "use: needs.extra"), 8, "stages.dpo.use", "rare_package"),
        (("{use: export.fake, of: steps}", "null"), 8, "stages.dpo", "null is not right (expected fields and values)"),
        (("name: good", "name: a b"), 1, "name", "'a b' is not right"),
        (("name: good", "nam: good"), 1, "nam", "did you mean 'name'?"),
        (("model: demo", "modle: demo"), 2, "policy.modle", "did you mean 'model'?"),
        (("model: demo", "model: demo, dtype: f8"), 2, "policy.dtype", "expected auto or bfloat16"),
        (("transformers", "transformer"), 2, "policy.backend", "did you mean 'transformers'?"),
        (("limit: 5", "of: rollouts"), 4, "stages.problems.of", "reads no stage"),
        (("limit: 5", "path: gone"), 4, "stages.problems.path", "no such file (did you mean 'here'?)"),
        (("limit: 5", "<<: {limit: 3}"), 4, "stages.problems", "`<<` is not supported"),
        (("limit: 5", "limit: !!python/name:os.system x"), 4, "stages.problems.limit", "tag"),
        (("limit: 5", r'path: "\ud800"'), 4, "stages.problems.path", "half a surrogate pair"),
    ],
)
def test_each_mistake_names_its_line_and_field(
    tmp_path: Path, change: tuple[str, str], line: int, field: str, words: str
) -> None:
    assert change[0] in GOOD
    error = mistakes(tmp_path, GOOD.replace(*change))
    assert (f"spec.yaml:{line}", field) in places(error)
    assert words in str(error)


def test_one_mistake_does_not_bring_forth_others(tmp_path: Path) -> None:
    for change in [("of: rollouts", "of: rolouts"), ("use: sample", "use: sampel"), ("n: 4", "n: 0")]:
        assert len(mistakes(tmp_path, GOOD.replace(*change)).found) == 1


def test_a_circle_names_its_stages_in_order(tmp_path: Path) -> None:
    text = GOOD.replace("of: rollouts", "of: steps")
    assert "a circle of stages: verdicts -> steps -> verdicts" in str(mistakes(tmp_path, text))


def test_a_spec_without_policy_or_source_says_what_to_add(tmp_path: Path) -> None:
    text = GOOD.replace("policy: {backend: transformers, model: demo}\n", "")
    assert "add policy: {backend: ..., model: ...}" in str(mistakes(tmp_path, text))
    text = "name: x\nstages:\n  verdicts: {use: verify.fake, of: verdicts}\n"
    assert "no stage brings problems in" in str(mistakes(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("- 1", "the top level holds no fields"),
        ("a: [1", "not YAML"),
        ("a: 1\n---\nb: 2", "not YAML"),
        ("a: &a [*a]", "too large when its aliases"),
        ("a: " + "[" * 3000, "nested too deeply"),
        ("\0", "not YAML"),
        ("? [1]\n: 2", "not a word"),
        ("a: &x [q,q,q,q,q,q,q,q,q]\n" + "".join(f"b{i}: &y{i} [{','.join(['*x' if not i else f'*y{i - 1}'] * 9)}]\n"
         for i in range(9)), "too large when its aliases"),
    ],
)  # fmt: skip
def test_what_is_no_spec_is_one_clear_mistake(tmp_path: Path, text: str, words: str, refuses: Any) -> None:
    assert words in refuses(lambda: load_pipeline(write(tmp_path, text)))


def test_overrides_replace_and_add_and_are_named_in_mistakes(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    changed = load_pipeline(path, ["stages.rollouts.n=9", "stages.rollouts.stop.half_width=1e-3", "seed=7"])
    assert changed["rollouts"].config.n == 9
    assert changed["rollouts"].config.stop.half_width == 0.001
    assert changed.seed == 7
    assert changed.spec_text == GOOD
    with pytest.raises(Mistakes) as caught:
        load_pipeline(path, ["stages.rollouts.n=none", "policy.dtype=x"])
    assert {m.where for m in caught.value.found} == {
        "-o stages.rollouts.n=none stages.rollouts.n",
        "-o policy.dtype=x policy.dtype",
    }
    for broken in ["stages.rollouts.n", "=3", "name.x=1", "a..b=1", "seed=[1"]:
        with pytest.raises(Mistakes, match="overrides"):
            load_pipeline(path, [broken])


def test_paths_are_relative_to_the_file_but_typed_ones_to_the_folder_they_were_typed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "here").mkdir()
    path = write(tmp_path / "specs", GOOD.replace("limit: 5", "path: data.jsonl"))
    monkeypatch.chdir(tmp_path / "here")
    pipeline = load_pipeline(path)
    assert pipeline["problems"].config.path == str(tmp_path / "specs" / "data.jsonl")
    assert pipeline.resolved()["stages"]["problems"]["path"] == "data.jsonl"
    typed = load_pipeline(path, ["stages.problems.path=mine.jsonl"])
    assert typed["problems"].config.path == str(tmp_path / "here" / "mine.jsonl")


def test_scalars_follow_yaml_1_2(tmp_path: Path) -> None:
    text = GOOD.replace("n: 4", "temperature: 1e-1, bins: no").replace("name: good", "name: '2024-01-01'")
    pipeline = load_pipeline(write(tmp_path, text))
    assert pipeline["rollouts"].config.temperature == 0.1
    assert pipeline["rollouts"].config.bins == "no"
    assert load_pipeline(write(tmp_path, pipeline.to_yaml())) == pipeline


def test_a_missing_file_or_recipe_names_the_nearest(tmp_path: Path, refuses: Any) -> None:
    write(tmp_path, GOOD, "mine.yaml")
    assert "did you mean 'mine.yaml'?" in refuses(lambda: load_pipeline(tmp_path / "mime.yaml"))
    assert "does not exist" in refuses(lambda: load_pipeline(tmp_path / "no" / "x.yaml"))
    assert "is a folder" in refuses(lambda: load_pipeline(tmp_path))
    assert "no file and no recipe" in refuses(lambda: load_pipeline("no_such_recipe"))
    assert "neither" in refuses(lambda: load_pipeline(""))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in refuses(lambda: load_pipeline(tmp_path / "binary.yaml"))


def test_an_unreadable_file_says_so() -> None:
    was = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        Path(folder).chmod(0o755)
        path = write(Path(folder), GOOD)
        path.chmod(0)
        if was == 0:
            os.seteuid(65534)  # root reads everything
        try:
            with pytest.raises(UserError, match="cannot be read"):
                load_pipeline(path)
        finally:
            os.seteuid(was)
