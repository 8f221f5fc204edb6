"""docs/add-a-metric.md does what it says: its code in one file makes metrics that are computed, merged and shown."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from synthflow.statistics.metrics import complexity

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
TUPLE = "COMPLEXITY: tuple[Metric, ...] = (\n"

SCRIPT = """
import importlib.util, io, json, sys
from importlib.abc import MetaPathFinder
from pathlib import Path

edited, run = Path(sys.argv[1]), Path(sys.argv[2])

class Edited(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "synthflow.statistics.metrics.complexity":
            return importlib.util.spec_from_file_location(name, edited)

sys.meta_path.insert(0, Edited())

from rich.console import Console
from support.made_up_run import made_up_world
from support.written_run import written
from synthflow.report.summary import render, run_summary
from synthflow.stores.catalog.build import open_catalog
import make

world = made_up_world()
texts = {"r_a1": "2 + 2? wait, hmm... 4", "r_a3": "Wait. 4", "r_b1": "await"}
for row in world.rows["rollouts"]["rollouts"]:
    row["completion"] = texts.get(row["rollout_id"], row["completion"])
console = Console(file=io.StringIO(), width=300)
with open_catalog(written(run, world)) as con:
    render(console, run_summary(con, run))
    def of_verdicts(columns, table):
        return con.execute(f"SELECT {columns} FROM {table} WHERE stage = 'verdicts' ORDER BY ALL").fetchall()

    print(json.dumps({
        "rows": of_verdicts("metric, problem_id, count, total", "stats"),
        "merged": of_verdicts("metric, groups, n, mean", "qdc"),
        "spread": of_verdicts("metric, low, n", "qdc_histograms"),
        "shown": console.file.getvalue(),
        "documented": make.metrics() + make.histograms(),
    }))
"""


def _of(rows: list[list[Any]], metric: str) -> list[list[Any]]:
    return [rest for name, *rest in rows if name == metric]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What comes of a checkout in which the page's code stands in the file that the page names."""
    folder = tmp_path_factory.mktemp("metric")
    code = BLOCK.findall((ROOT / "docs" / "add-a-metric.md").read_text())
    functions = "".join(f"{block}\n\n" for block in code if block.startswith("def "))
    entries = "".join(f"{block.rstrip()},\n" for block in code if not block.startswith("def "))
    before, after = Path(complexity.__file__).read_text().split(TUPLE)
    (folder / "complexity.py").write_text(f"{before}{functions}{TUPLE}{entries}{after}")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder / "complexity.py"), str(folder / "run")],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT / 'docs'}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_they_are_computed(made: dict[str, Any]) -> None:
    assert _of(made["rows"], "doubts") == [["p_a", 4.0, 3.0], ["p_b", 2.0, 0.0]], "await is no wait"
    assert _of(made["rows"], "longest") == [["p_a", 1.0, 7.0], ["p_b", 1.0, 5.0]]


def test_they_are_merged_over_groups(made: dict[str, Any]) -> None:
    assert _of(made["merged"], "doubts") == [[2, 6.0, 0.5]]
    assert _of(made["merged"], "longest") == [[2, 2.0, 6.0]]
    assert _of(made["spread"], "doubts") == [[0.0, 4], [1.0, 1], [2.0, 1]], "the bins are those of SIZES"


def test_they_are_shown_and_documented(made: dict[str, Any]) -> None:
    (header,) = (line for line in made["shown"].splitlines() if "pass rate" in line and "tokens" in line)
    assert "doubts" in header and "longest" in header
    assert "| complexity | `doubts` | rollout | times that the text says wait or hmm |" in made["documented"]
    assert "| complexity | `longest` | group |" in made["documented"]
    assert "| `doubts` | 41 |" in made["documented"]
