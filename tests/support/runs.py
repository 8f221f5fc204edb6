"""What the end-to-end tests share: the command line as a user calls it, and the rows of a run as sets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from synthflow.schema import TABLES
from synthflow.stores.manifest import Manifest, shards_by_table
from synthflow.stores.shards import read_shards

CLI = Path(sys.executable).with_name("synthflow")
NOT_COMPARED = {"telemetry"}

SMALL: dict[str, Any] = {
    "name": "small",
    "seed": 3,
    "policy": {"backend": "transformers", "model": "demo"},
    "stages": {
        "problems": {"use": "source.demo", "limit": 24},
        "rollouts": {"use": "sample", "of": "problems", "n": 6, "max_tokens": 200},
        "verdicts": {"use": "verify.math", "of": "rollouts"},
        "length": {"use": "filter.length", "of": "verdicts", "min_tokens": 4},
        "copies": {"use": "filter.duplicates", "of": "length"},
        "difficulty": {"use": "curriculum.pass_rate", "of": "copies"},
        "steps": {
            "use": "label.monte_carlo", "of": "difficulty", "n": 3, "rollouts_per_problem": 2, "max_tokens": 200,
        },
        "pairs": {"use": "mine.pairs", "of": "steps", "level": "response"},
        "step_pairs": {"use": "mine.pairs", "of": "steps", "level": "step", "min_gap": 0.3},
        "report": {"use": "measure.qdc", "of": ["copies", "steps", "pairs"]},
        "sft": {"use": "export.sft", "of": "copies"},
        "dpo": {"use": "export.preference", "of": ["pairs", "step_pairs"]},
        "rl": {"use": "export.rl", "of": "difficulty"},
        "stepwise": {"use": "export.stepwise", "of": "steps"},
        "graph": {"use": "export.graph", "of": ["pairs", "step_pairs", "report"]},
    },
    "execution": {"partition_size": 6},
}  # fmt: skip
"""The quickstart in small: every stage of it, a few seconds of sampling."""


def write_spec(path: Path, spec: Mapping[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(dict(spec), sort_keys=False))
    return path


def with_changes(spec: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy of a spec with top-level fields replaced; `stages` and `execution` are merged field by field."""
    copied: dict[str, Any] = json.loads(json.dumps(spec))
    for name, value in changes.items():
        if name == "stages":
            for stage, fields in value.items():
                copied["stages"][stage] = {**copied["stages"].get(stage, {}), **fields}
        elif name == "execution":
            copied["execution"] = {**copied.get("execution", {}), **value}
        else:
            copied[name] = value
    return copied


def synthflow(*args: object, cwd: Path | None = None, timeout: float = 280) -> subprocess.CompletedProcess[str]:
    """Call the command line as a user does."""
    return subprocess.run(
        [str(CLI), *map(str, args)], capture_output=True, text=True, cwd=cwd, timeout=timeout, check=False
    )


def run_ok(spec: Path, out: Path, *args: object, timeout: float = 280) -> subprocess.CompletedProcess[str]:
    done = synthflow("run", spec, "--out", out, *args, timeout=timeout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done


def start(spec: Path, out: Path, *args: object) -> subprocess.Popen[bytes]:
    """Start a run in a process group of its own, so that a test can kill all of it."""
    return subprocess.Popen(
        [str(CLI), "run", str(spec), "--out", str(out), "--quiet", *map(str, args)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of the whole process group, as a scheduler or an out-of-memory killer would."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _quiet(command: Sequence[str], cwd: Path) -> subprocess.Popen[bytes]:
    nothing = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=cwd, start_new_session=True, stdout=nothing, stderr=nothing)


@contextmanager
def stopped_after(*commands: Sequence[str], cwd: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes in groups of their own, killed with their children at the end."""
    started: list[subprocess.Popen[bytes]] = []
    with ExitStack() as stopping:
        for command in commands:
            process = _quiet(command, cwd)
            stopping.callback(kill_group, process)
            started.append(process)
        yield started


def tables(run: Path) -> dict[str, pl.DataFrame]:
    """Active rows of a run by table, sorted by key and stage (two may tell of one thing), telemetry apart."""
    found = {}
    for name, shards in shards_by_table(Manifest(run).active()).items():
        if name in NOT_COMPARED:
            continue
        rows = pl.from_arrow(read_shards(run, shards))
        found[name] = rows.sort([*TABLES[name].key, *({"stage_id"} & set(rows.columns))])
    return found


def assert_same_rows(one: Path, other: Path, columns: Mapping[str, Sequence[str]] | None = None) -> None:
    """Both runs have the same rows (of `columns`, where given for a table)."""
    left, right = tables(one), tables(other)
    assert set(left) == set(right)
    for name, rows in left.items():
        chosen = list(columns[name]) if columns and name in columns else rows.columns
        assert rows.select(chosen).equals(right[name].select(chosen), null_equal=True), f"{name} differs"


def journal_lines(run: Path) -> set[bytes]:
    """Every whole line of every journal segment."""
    lines: set[bytes] = set()
    for path in (run / "journal").glob("*.jsonl"):
        whole, _, _ = path.read_bytes().rpartition(b"\n")
        lines.update(line for line in whole.split(b"\n") if line)
    return lines
