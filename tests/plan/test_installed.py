"""A package that is missing is found before anything runs, and only if it will be needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthflow.errors import Mistakes
from synthflow.plan import installed
from synthflow.plan.installed import check_installed
from synthflow.plan.plan import make_plan
from synthflow.spec import Pipeline

STAGES = {
    "problems": {"use": "source.demo", "limit": 4},
    "rollouts": {"use": "sample", "of": "problems", "n": 2},
    "loops": {"use": "filter.repetition", "of": "rollouts"},
}


def missing(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda name: None if name in packages else object())


@pytest.mark.parametrize(
    ("policy", "package", "words"),
    [
        ({"backend": "openai", "model": "m", "base_url": "http://h/v1"}, "aiohttp", "install synthflow[openai]"),
        ({"backend": "openai", "model": "demo", "serve": {}}, "vllm", "install synthflow[vllm]"),
        ({"backend": "transformers", "model": "demo"}, "torch", "install synthflow[transformers]"),
        ({"backend": "vllm", "model": "demo"}, "vllm", "install synthflow[vllm]"),
    ],
)
def test_a_backend_names_what_it_lacks(
    policy: dict[str, object], package: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Pipeline.build("p", STAGES, policy)
    missing(monkeypatch, package)
    with pytest.raises(Mistakes) as found:
        check_installed(pipeline, STAGES)
    [mistake] = found.value.found
    assert mistake.where == "policies.default.backend" and f"{package!r}, which is not installed" in mistake.what
    assert words in mistake.fix
    check_installed(pipeline, ["problems", "loops"])


def test_a_stage_names_what_it_lacks_beside_its_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Pipeline.build("p", STAGES, {"backend": "transformers", "model": "demo"})
    missing(monkeypatch, "datatrove", "torch")
    with pytest.raises(Mistakes) as found:
        make_plan(pipeline, tmp_path)
    assert [m.where for m in found.value.found] == ["policies.default.backend", "stages.loops.use"]
    missing(monkeypatch)
    assert make_plan(pipeline, tmp_path).problems == 4
