"""No code tells what kind of stage it has before it from the text after `use`: it asks for a capability."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from code_modules import read_modules
from code_uses import comparisons

ROOT = Path(__file__).parents[2]

ALLOWED = {"stores/old_records.py": "manifests of version 0.1 hold names and no capabilities"}


def _compared(root: Path) -> list[str]:
    return [
        f"{module.path.relative_to(root)}:{found.line}: {found.text}"
        for module in read_modules(root)
        if re.search(r"\buse\b", module.text)
        for found in comparisons(module.tree)
    ]


def test_no_use_is_compared() -> None:
    found = _compared(ROOT)
    assert [place for place in found if place.split(":")[0] not in ALLOWED] == []
    assert {place.split(":")[0] for place in found} == set(ALLOWED), "an exception that nothing needs"


@pytest.mark.parametrize(
    "line",
    [
        "info.use == 'sample'",
        "'sample' != info.use",
        "info.use in ('sample', 'sample.more')",
        "info.use not in RANKERS",
        "info.use == Sample.use",
        "info.use.startswith('verify.')",
        "info.use.split('.')[0] == 'label'",
        "info.use.removeprefix('verify.') in registry.names('verifiers')",
        "record.use != f'verify.{name}'",
        "graph.stages[name].use == 'mine.pairs'",
        "use == 'sample.tree'",
        "node['use'] == 'sample'",
        "{'sample': 1}.get(info.use)",
        "ACCOUNTS[info.use]",
        "orders.RANKERS.get(use)",
    ],
)
def test_a_comparison_is_seen(line: str) -> None:
    assert [found.text for found in comparisons(ast.parse(line))] == [ast.unparse(ast.parse(line))]


def test_a_match_is_seen() -> None:
    assert [found.line for found in comparisons(ast.parse("\nmatch info.use:\n    case 'sample': pass"))] == [2]


@pytest.mark.parametrize(
    "line",
    [
        "info.use == other.use",
        "use in registry.names('stages')",
        "field not in ('use', 'of')",
        "'use' in fields",
        "classes[info.use]",
        "info.has('gives_verdicts')",
        "verifier_of(info.use)",
        "f'{info.name} ({info.use})'",
    ],
)
def test_what_only_names_a_stage_is_none(line: str) -> None:
    assert comparisons(ast.parse(line)) == []


def test_a_planted_comparison_is_named(checkout: Path) -> None:
    file = checkout / "synthflow" / "stages" / "mine" / "outcomes.py"
    lines = len(file.read_text().splitlines())
    with file.open("a") as spoiled:
        spoiled.write("\n\ndef is_label(info):\n    return info.use.startswith('label.')\n")
    assert f"synthflow/stages/mine/outcomes.py:{lines + 4}: info.use.startswith('label.')" in _compared(checkout)
