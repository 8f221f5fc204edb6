"""A plug-in that is not finished is a mistake with a name, and hides nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from synthflow import contracts, registry
from synthflow.cli.listing import entries
from synthflow.errors import UserError

BASES: dict[registry.Kind, type] = {
    "stages": contracts.Stage,
    "verifiers": contracts.Verifier,
    "filters": contracts.Filter,
    "backends": contracts.Backend,
    "step_checkers": contracts.StepChecker,
}
MODULE = """\
from synthflow.contracts import Stage, StageConfig, Verifier


class Idle(Stage):
    use, version, Config = "my.idle", "1", StageConfig


class Nameless(Verifier):
    def judge(self, questions):
        return []


class Other:
    pass


class Renamed(Idle):
    use = "my.old_name"

    def run(self, inputs, services):
        return {}
"""
STAGES = {
    "my.misspelt": ("half_done:Idel", "cannot be found: its module has no 'Idel'"),
    "my.elsewhere": ("half_dnoe:Idle", "cannot be found: there is no module 'half_dnoe'"),
    "my.idle": ("half_done:Idle", "lacks run, which every stage has"),
    "my.other": ("half_done:Other", "lacks use, version, which every stage has"),
    "my.renamed": ("half_done:Renamed", "has use = 'my.old_name'; the two must be the same"),
    "my.newer": ("half_newer:Idle", "cannot be imported: cannot import name 'Yonder' from 'synthflow.contracts'"),
}


@pytest.fixture
def _half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package whose entry points are wrong in every way."""
    (tmp_path / "half_done.py").write_text(MODULE)
    (tmp_path / "half_newer.py").write_text("from synthflow.contracts import Yonder\n")
    told = tmp_path / "half_done-1.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: half-done\nVersion: 1\n")
    stages = "".join(f"{name} = {value}\n" for name, (value, _) in STAGES.items())
    verifiers = "nameless = half_done:Nameless\n"
    (told / "entry_points.txt").write_text(f"[synthflow.stages]\n{stages}[synthflow.verifiers]\n{verifiers}")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._entries.cache_clear()
    yield
    registry._entries.cache_clear()


@pytest.mark.usefixtures("_half_done")
@pytest.mark.parametrize("name", STAGES)
def test_what_is_wrong_with_a_registered_stage_is_said(name: str) -> None:
    value, wrong = STAGES[name]
    with pytest.raises(UserError) as told:
        registry.load("stages", name)
    assert str(told.value).startswith(f"the stage {name!r} of half-done ({value}) {wrong}")


@pytest.mark.usefixtures("_half_done")
def test_a_list_holds_the_others() -> None:
    listed = {row["name"]: row["summary"] for row in entries("stages")}
    assert listed["sample"] == "Sample n rollouts of every problem."
    for name in (*STAGES, "verify.nameless"):
        assert listed[name].startswith("not usable: the ")
    assert listed["verify.nameless"].endswith("lacks name, version, which every verifier has")


@pytest.mark.parametrize("kind", BASES)
def test_what_is_needed_is_what_the_contract_leaves_open(kind: registry.Kind) -> None:
    base = BASES[kind]
    open_ = [name for name in base.__annotations__ if not hasattr(base, name)]
    assert registry.NEEDED[kind] == tuple(open_)


@pytest.mark.parametrize("kind", BASES)
def test_what_ships_is_finished(kind: registry.Kind) -> None:
    for name in registry.names(kind):
        assert issubclass(registry.load(kind, name), BASES[kind])
