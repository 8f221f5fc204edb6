"""Do the tests of `make test` notice a slip in the core? One fault after the other is planted, and the tests run.

    python benchmarks/planted_faults.py [--only NAME ...] [--list]

The faults are those of `core_faults.py`. Each is planted in a fresh copy of the checkout (what git tracks, as it is in
the work tree), and there the tests named beside it run with the pytest of this environment, without those that
`make test` leaves out. What they do not notice is tried against all of `make test`, the end-to-end tests last. Before
the first fault all named tests must pass in a copy without one. Prints a table in Markdown, a row a fault, and exits
with 1 if a fault survives.

Invariant: the copy's own code is what its tests import, through the tree of links of `make .typecheck`; an installation
that leads back to the checkout stops the script.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from core_faults import FAULTS, Fault
from measuring import say

ROOT = Path(__file__).parents[1]
CORE = "not long and not extended"
"""The tests of `make test`, as its calls of pytest say it."""

EVERYTHING = (("--ignore=tests/e2e", "--ignore=tests/architecture", "tests"), ("tests/e2e",))
"""`make test` in its two parts, but for what reads the code itself, which sees that a fault was planted."""

_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_WHERE = "import synthflow.ids, synthflow.stores as s; print(synthflow.ids.__file__, s.__file__, sep='\\n')"


@contextmanager
def fresh_copy() -> Iterator[Path]:
    """The tracked files of the checkout, and links that show them under their import names.

    Raises:
        SystemExit: if another code than the copy's would be imported.
    """
    with tempfile.TemporaryDirectory(prefix="synthflow-planted-") as folder:
        copy = Path(folder).resolve() / "checkout"
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, copy / name)
        (copy / ".venv").symlink_to(sys.prefix)
        subprocess.run(["make", "--silent", ".typecheck"], cwd=copy, check=True)
        told = subprocess.run(
            [sys.executable, "-c", _WHERE], cwd=copy / "tests", env=_environment(copy), capture_output=True, text=True
        )
        imported = told.stdout.split("\n")[:-1]
        if len(imported) != 2 or not all(Path(file).resolve().is_relative_to(copy) for file in imported):
            raise SystemExit(f"the copy's code is not what is imported: {told.stdout}{told.stderr}")
        yield copy


def _environment(copy: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(copy / ".typecheck"),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def plant(fault: Fault, root: Path) -> None:
    """Make the fault's one change.

    Raises:
        SystemExit: if its text is not there exactly once.
    """
    path = root / fault.file
    text = path.read_text()
    if text.count(fault.text) != 1:
        raise SystemExit(f"{fault.name}: its text stands {text.count(fault.text)} times in {fault.file}; expected once")
    path.write_text(text.replace(fault.text, fault.planted))


def failing(copy: Path, tests: Sequence[str], *options: str) -> list[str]:
    """The tests that fail of some of `make test`; empty where all pass.

    Raises:
        SystemExit: if pytest could not run them.
    """
    pytest = Path(sys.executable).with_name("pytest")
    command = [pytest, "-m", CORE, "-q", "--tb=short", "-p", "no:cacheprovider", *options, *tests]
    done = subprocess.run(command, cwd=copy, env=_environment(copy), capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        said = f"{done.stdout[-4000:]}{done.stderr[-2000:]}"
        raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{said}")
    named = _FAILED.findall(done.stdout)
    return named or ["a test that ended pytest"] * done.returncode


def noticed_by(fault: Fault) -> str | None:
    """The first test that fails with the fault planted; None if it survives all of `make test`."""
    with fresh_copy() as copy:
        plant(fault, copy)
        for tests in (fault.tests, *EVERYTHING):
            found = failing(copy, tests, "-x")
            if found:
                return found[0]
            say(f"{fault.name}: not noticed by {' '.join(tests)}")
    return None


def check_unspoiled(faults: Sequence[Fault]) -> None:
    """All named tests pass where nothing is planted.

    Raises:
        SystemExit: naming those that do not.
    """
    tests = sorted({test for fault in faults for test in fault.tests})
    say(f"{len(tests)} tests and files of tests without a fault")
    with fresh_copy() as copy:
        wrong = failing(copy, tests)
    if wrong:
        raise SystemExit(f"they fail without a fault: {', '.join(wrong)}")


def main(arguments: Sequence[str] | None = None) -> int:
    names = [fault.name for fault in FAULTS]
    parser = argparse.ArgumentParser(description="Which test of `make test` notices each planted fault of the core.")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", default=names, help="these faults alone")
    parser.add_argument("--list", action="store_true", help="name the faults, and plant none")
    given = parser.parse_args(arguments)
    faults = [fault for fault in FAULTS if fault.name in given.only]
    if given.list:
        for fault in faults:
            print(f"{fault.of:<10} {fault.name:<40} {fault.file}")
        return 0
    check_unspoiled(faults)
    survivors = 0
    print("| of | fault | caught by | seconds |\n|---|---|---|---|", flush=True)
    for fault in faults:
        started = time.monotonic()
        test = noticed_by(fault)
        survivors += test is None
        caught = "**nothing**" if test is None else f"`{test}`"
        print(f"| {fault.of} | `{fault.name}` | {caught} | {time.monotonic() - started:.0f} |", flush=True)
    say(f"{len(faults) - survivors} of {len(faults)} faults were caught")
    return int(survivors > 0)


if __name__ == "__main__":
    raise SystemExit(main())
