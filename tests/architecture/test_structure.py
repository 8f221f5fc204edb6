"""The figures of benchmarks/structure.py, on trees small enough to count by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from code_modules import Arrow, circles, read_modules
from structure import structure, table

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "structure.py"
PROJECT = '[tool.setuptools.package-dir]\nsynthflow = "synthflow"\n"synthflow.stores" = "stores"\n'


def tree(root: Path, files: dict[str, str]) -> Path:
    """A made-up checkout; every folder of it is a package."""
    root.mkdir(exist_ok=True)
    (root / "pyproject.toml").write_text(PROJECT)
    for name, text in {"synthflow/__init__.py": "", "stores/__init__.py": "", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        for folder in path.relative_to(root).parents[:-1]:
            if folder.name != "benchmarks":
                (root / folder / "__init__.py").touch()
    return root


def test_modules_have_the_names_by_which_they_are_imported(tmp_path: Path) -> None:
    root = tree(tmp_path, {"stores/catalog/views.py": "", "synthflow/ids.py": "", "benchmarks/clock.py": ""})
    assert [module.name for module in read_modules(root)] == [
        "synthflow",
        "synthflow.ids",
        "synthflow.stores",
        "synthflow.stores.catalog",
        "synthflow.stores.catalog.views",
    ]


def test_rooms_are_tied_once_in_each_direction(tmp_path: Path) -> None:
    files = {
        "synthflow/plan/plan.py": "from synthflow.spec.load import read\nimport synthflow.spec.load\n",
        "synthflow/plan/rows.py": "from synthflow.spec import load\nfrom synthflow.plan import plan\n",
        "synthflow/spec/load.py": "from synthflow.stores import lock\n",
        "stores/lock.py": "def late():\n    from synthflow import plan\n",
    }
    found = structure(tree(tmp_path, files))
    assert found.rooms == ["plan", "spec", "stores", "synthflow"]
    assert found.room_pairs == ["plan -> spec", "spec -> stores", "stores -> plan"]
    assert found.room_circles == [["plan", "spec", "stores"]]
    assert found.room_circle_arrows == [["plan -> spec", "spec -> stores", "stores -> plan"]]
    assert found.file_circles == [] and found.stage_folder_pairs == []


@pytest.mark.parametrize(
    ("back", "plain"),
    [
        ("from synthflow.cards.card import About", 1),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from synthflow.cards.card import About", 0),
        ("import typing\nif typing.TYPE_CHECKING:\n    from synthflow.cards import card", 0),
        ("def about():\n    from synthflow.cards.card import About", 0),
        ("class Release:\n    async def about(self):\n        import synthflow.cards.card", 0),
        ("try:\n    from synthflow.cards import card\nexcept ImportError:\n    card = None", 1),
        (
            "import typing\nif typing.TYPE_CHECKING:\n    pass\nelse:\n    from synthflow.cards import card",
            1,
        ),
    ],
)
def test_circles_of_files(tmp_path: Path, back: str, plain: int) -> None:
    files = {"synthflow/cards/card.py": "from synthflow.cards import release\n", "synthflow/cards/release.py": back}
    found = structure(tree(tmp_path, files))
    assert found.file_circles == [["synthflow.cards.card", "synthflow.cards.release"]]
    assert len(found.plain_file_circles) == plain
    assert found.room_circles == []


def test_benchmarks_may_be_a_circle(tmp_path: Path) -> None:
    files = {
        "benchmarks/pool.py": "import said\n",
        "benchmarks/said.py": "def f():\n    from pool import Case\n",
        "synthflow/a.py": "x = 1\n",
    }
    found = structure(tree(tmp_path, files))
    assert found.file_circles == [["pool", "said"]] and found.plain_file_circles == []
    assert (found.modules, found.lines) == (3, 1)


def test_stage_folders_are_tied(tmp_path: Path) -> None:
    files = {
        "synthflow/stages/mine/pairs.py": "from synthflow.stages.label.values import V\n",
        "synthflow/stages/label/values.py": "V = 1\n",
        "synthflow/stages/adapters.py": "from synthflow.stages.mine import pairs\n",
    }
    found = structure(tree(tmp_path, files))
    assert found.stage_folders == ["label", "mine"]
    assert found.stage_folder_pairs == ["mine -> label"]


def test_functions_and_classes(tmp_path: Path) -> None:
    body = "        x = 1\n"
    files = {
        "synthflow/a.py": f"@cache\ndef short():\n{body}class Row: ...\nclass Only: ...\n",
        "synthflow/b.py": f"class Row:\n    def long(self):\n{body * 60}    class Only: ...\n",
    }
    found = structure(tree(tmp_path, files))
    assert found.largest_function == (61, "synthflow/b.py:2 long")
    assert found.long_functions == [(61, "synthflow/b.py:2 long")]
    assert found.largest_module == (63, "synthflow/b.py")
    assert found.repeated_classes == {"Row": ["synthflow.a", "synthflow.b"]}


def test_two_circles_that_meet_are_one() -> None:
    links = [Arrow(a, b) for a, b in ("ab", "ba", "bc", "cb", "cd", "de", "ed", "fa")]
    assert circles(links) == [["a", "b", "c"], ["d", "e"]]


def test_two_checkouts_stand_side_by_side(tmp_path: Path) -> None:
    loop = {"synthflow/a.py": "def f(x):\n    return x.use == 'sample'\n"}
    before, after = tree(tmp_path / "before", loop), tree(tmp_path / "after", {"synthflow/a.py": "def f(): ...\n"})
    shown = table({"before": structure(before), "after": structure(after)}).splitlines()
    assert shown[:3] == ["| | before | after |", "|---|---|---|", "| modules | 3 | 3 |"]
    assert "| comparisons of a stage's `use` | 1 in 1 modules | 0 in 0 modules |" in shown
    done = subprocess.run([sys.executable, SCRIPT, before, after], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("\n".join(shown))
    assert "comparison: synthflow/a.py:2: x.use == 'sample'" in done.stdout


def test_one_json_line(tmp_path: Path) -> None:
    root = tree(tmp_path, {"synthflow/a.py": "def f(): ...\n"})
    done = subprocess.run([sys.executable, SCRIPT, root, "--json"], capture_output=True, text=True, check=True)
    [found] = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert found["modules"] == 3 and found["largest_function"] == [1, "synthflow/a.py:1 f"]


def test_a_folder_that_is_no_checkout(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{tmp_path} is no checkout: it has no pyproject.toml" in done.stderr
