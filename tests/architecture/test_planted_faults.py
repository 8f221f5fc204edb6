"""The list of planted faults does not rot: what it changes and whom it asks is there. And the script plants them."""

from __future__ import annotations

import ast
import shutil
from collections import Counter
from pathlib import Path

import pytest
from core_faults import FAULTS, Fault
from planted_faults import CORE, failing, fresh_copy, plant

ROOT = Path(__file__).parents[2]
CORE_PARTS = ["ids", "journal", "resume", "verdicts", "pass rate", "masks", "spans", "advantages", "pairs", "exports"]

each_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)


def _with_its_file(fault: Fault, folder: Path) -> Path:
    copied = folder / fault.file
    copied.parent.mkdir(parents=True)
    return Path(shutil.copy(ROOT / fault.file, copied))


@each_fault
def test_a_fault_changes_one_place_and_leaves_python(fault: Fault, tmp_path: Path) -> None:
    file = _with_its_file(fault, tmp_path)
    plant(fault, tmp_path)
    assert ast.dump(ast.parse(file.read_text())) != ast.dump(ast.parse((ROOT / fault.file).read_text()))


@each_fault
def test_the_tests_of_a_fault_are_there(fault: Fault) -> None:
    for test in fault.tests:
        file, _, name = test.partition("::")
        functions = {
            node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)
        }
        assert name in functions if name else any(function.startswith("test_") for function in functions), test


@pytest.mark.parametrize(("text", "times"), [("a = 1", 0), ("x = '{f}'\ny = '{f}'", 2)])
def test_a_text_that_is_not_there_once_is_not_changed(text: str, times: int, tmp_path: Path) -> None:
    fault = FAULTS[0]
    file = _with_its_file(fault, tmp_path)
    file.write_text(text.replace("{f}", fault.text))
    with pytest.raises(SystemExit, match=f"{fault.name}: its text stands {times} times in {fault.file}; expected once"):
        plant(fault, tmp_path)


def test_every_part_of_the_core_has_faults() -> None:
    parts = Counter(fault.of for fault in FAULTS)
    assert set(CORE_PARTS) <= set(parts) and sum(parts.values()) >= 20
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_the_tests_are_those_of_make_test() -> None:
    target = (ROOT / "Makefile").read_text().partition("\ntest: ")[2].partition("\n\n")[0]
    assert target.count("$(BIN)/pytest") == target.count(f'$(BIN)/pytest -m "{CORE}"') > 0


@pytest.mark.slow
@pytest.mark.extended
def test_a_planted_fault_is_noticed_in_the_copy() -> None:
    fault = next(fault for fault in FAULTS if fault.name == "truncated_is_wrong")
    with fresh_copy() as copy:
        assert failing(copy, fault.tests) == []
        plant(fault, copy)
        assert failing(copy, fault.tests, "-x")[0].startswith("tests/rollouts/test_eligibility.py::")
