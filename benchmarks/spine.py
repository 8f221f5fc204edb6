"""The whole path from problems to releases, without a model: what a rollout costs, this build beside another.

    python benchmarks/spine.py [--other PATH/TO/synthflow] [--rollouts 10000] [--keep FOLDER] [--steps run again ...]

Source, sample (the `replay` backend, 16 rollouts a problem), verify.math, pass rates, pairs, statistics, and the sft,
preference, rl and graph releases. Both builds read one recording, one after the other, each into a folder of its own.
The steps, in their order: `run` (the first), `again` (nothing owed), `plan`, `stats`, `check`, `top_up` (1% more
problems in the file). Files and bytes are counted after `run`.

`cpu_s` is what the kernel has counted for a command and all processes below it, user and system. `processes` divides
it as looks at the processes every quarter of a second saw it; `stages` are the units of work on the CPU workers, as
`spine_probe` notes them inside. `bare` holds what bare libraries need for parts of it (`spine_bare.py`).
With `--keep` the recording stays in the folder and is used again; runs are always made anew.
Prints one JSON line on standard output, ratios first, and progress on standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import yaml
from measuring import cpu_seconds, descendants, machine, peak_rss, print_json, prints_to, say
from memory import SAMPLE, N, record

CLI = Path(sys.executable).with_name("synthflow")
HERE = Path(__file__).parent
STEPS = ("run", "again", "plan", "stats", "check", "top_up")
TOP_UP = 0.01
_LOOK_S = 0.25
_ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def spec(problems: Path, recording: Path) -> dict[str, Any]:
    """The path of the issue's name: every stage that a run of first rollouts has, with its defaults."""
    return {
        "name": "spine",
        "policy": {"backend": "replay", "model": str(recording), "tokenizer": "demo"},
        "stages": {
            "problems": {"use": "source.jsonl", "path": str(problems)},
            "rollouts": SAMPLE,
            "verdicts": {"use": "verify.math", "of": "rollouts"},
            "difficulty": {"use": "curriculum.pass_rate", "of": "verdicts"},
            "pairs": {"use": "mine.pairs", "of": "difficulty", "level": "response"},
            "statistics": {"use": "measure.qdc", "of": ["verdicts", "pairs"]},
            "sft": {"use": "export.sft", "of": "verdicts"},
            "preference": {"use": "export.preference", "of": "pairs"},
            "rl": {"use": "export.rl", "of": "difficulty"},
            "graph": {"use": "export.graph", "of": "pairs"},
        },
    }


@dataclass(slots=True)
class Seen:
    """What looks at the processes of a command have seen: by process its part in the run, CPU seconds, peak memory."""

    logs: Path
    parts: dict[int, str] = field(default_factory=dict)
    cpu_s: dict[int, float] = field(default_factory=dict)
    peaks: dict[int, int] = field(default_factory=dict)

    def look(self, root: int) -> None:
        for process, part in self._processes(root):
            if self.parts.get(process.pid, "helpers") == "helpers":  # one that ends has closed its log
                self.parts[process.pid] = part
            self.cpu_s[process.pid] = max(self.cpu_s.get(process.pid, 0.0), cpu_seconds([process]))
            self.peaks[process.pid] = max(self.peaks.get(process.pid, 0), peak_rss(process.pid) or 0)

    def _processes(self, root: int) -> Iterator[tuple[psutil.Process, str]]:
        with suppress(psutil.NoSuchProcess):
            driver = psutil.Process(root)
            yield driver, "driver"
            for child in driver.children():
                log = prints_to(child.pid)
                is_worker = log is not None and self.logs in log.parents
                yield child, log.stem.partition("-")[0] if log is not None and is_worker else "helpers"
                for below in descendants(child.pid):
                    yield below, "helpers"

    def by_part(self) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = defaultdict(lambda: {"cpu_s": 0.0, "peak_mb": 0.0})
        for pid, part in self.parts.items():
            found[part]["cpu_s"] += self.cpu_s[pid]
            found[part]["peak_mb"] = max(found[part]["peak_mb"], self.peaks[pid] / 2**20)
        return dict(found)


def measured(command: Sequence[str], run: Path) -> dict[str, Any]:
    """Cost of one command, its processes and its stages.

    Raises:
        SystemExit: if it fails.
    """
    seen, started = Seen((run / "logs").resolve()), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="synthflow-spine-") as notes, tempfile.TemporaryFile() as told:
        environment = {**_ENVIRONMENT, "SPINE_NOTES": notes, "PYTHONPATH": str(HERE / "spine_probe")}
        process = subprocess.Popen(command, stdout=told, stderr=told, env=environment)
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            seen.look(process.pid)
            time.sleep(_LOOK_S)
        _, status, usage = ended
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            told.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{told.read().decode()}")
        stages = _stages(Path(notes))
    return {
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "wall_s": time.monotonic() - started,
        "largest_mb": max(seen.peaks.values(), default=0) / 2**20,
        "processes": seen.by_part(),
        "stages": stages,
    }


def _stages(notes: Path) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for path in notes.iterdir():
        for line in path.read_text().splitlines():
            stage, _, cpu_s = line.partition(" ")
            found[stage] += float(cpu_s)
    return dict(found)


def sizes(run: Path) -> dict[str, Any]:
    """Files and bytes of a run's folders."""
    tables = {folder.name: sum(1 for _ in folder.rglob("*.parquet")) for folder in (run / "tables").iterdir()}
    folders = {name: _bytes(run / name) for name in ("tables", "journal", "exports")}
    return {"shards": sum(tables.values()), "shards_by_table": tables, "bytes": folders | {"all": _bytes(run)}}


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def figures(cli: Path, folder: Path, lines: Sequence[str], first: int, steps: Sequence[str]) -> dict[str, Any]:
    """All steps of one build, in a folder of its own; the file of problems begins with the first of `lines`."""
    folder.mkdir()
    problems, document, run = folder / "problems.jsonl", folder / "spec.yaml", folder / "run"
    problems.write_text("".join(lines[:first]))
    document.write_text(yaml.safe_dump(spec(problems, folder.parent / "recording"), sort_keys=False))
    whole = [str(cli), "run", str(document), "--out", str(run), "--quiet"]
    commands = {
        "run": whole,
        "again": whole,
        "plan": [str(cli), "plan", str(document), "--out", str(run)],
        "stats": [str(cli), "stats", str(run)],
        "check": [str(cli), "check", str(run)],
        "top_up": whole,
    }
    found: dict[str, Any] = {}
    for step in steps:
        if step == "top_up":
            problems.write_text("".join(lines))
        found[step] = measured(commands[step], run)
        if step == "run":
            found |= sizes(run)
        say(f"{folder.name} {step}: {found[step]['cpu_s']:.1f} s of CPU, {found[step]['wall_s']:.1f} s of time")
    return found


def recorded(folder: Path, problems: int) -> list[str]:
    """The lines of a recording's file of problems; it is made where the folder has none of that size."""
    lines = folder / "problems.jsonl"
    done = folder / f"recorded-{problems}"
    if not done.exists():
        shutil.rmtree(folder / "recording", ignore_errors=True)
        say(f"recording {problems * N} rollouts")
        record(folder, problems)
        done.touch()
    return lines.read_text().splitlines(keepends=True)


def ratios(this: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, float]:
    """The other build's CPU seconds over this one's: how many times less."""
    return {step: other[step]["cpu_s"] / this[step]["cpu_s"] for step in STEPS if step in this and step in other}


def compare(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    first = -(-given.rollouts // N)
    more = max(1, round(first * TOP_UP))
    lines = recorded(folder, first + more)
    builds = {"this": CLI, **({"other": given.other} if given.other else {})}
    found: dict[str, Any] = {}
    for name, cli in builds.items():
        shutil.rmtree(folder / name, ignore_errors=True)
        found[name] = figures(cli, folder / name, lines, first, given.steps)
    bare = subprocess.run(
        [sys.executable, str(HERE / "spine_bare.py"), str(folder / "recording")],
        check=True, capture_output=True, text=True, env=_ENVIRONMENT,
    ) if given.bare else None  # fmt: skip
    return {
        "benchmark": "spine",
        "times_less_cpu": ratios(found["this"], found["other"]) if given.other else None,
        "us_a_rollout": {name: of["run"]["cpu_s"] * 1e6 / (first * N) for name, of in found.items() if "run" in of},
        "rollouts": first * N,
        "builds": found,
        "bare_cpu_s": json.loads(bare.stdout) if bare else None,
        "machine": machine(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="CPU seconds, memory and files of the path around sampling.")
    parser.add_argument("--other", type=Path, help="the synthflow command of another build")
    parser.add_argument("--rollouts", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="keep the recording and the last runs in this folder")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--no-bare", dest="bare", action="store_false", help="without the bare libraries")
    given = parser.parse_args(arguments)
    if given.other is not None:
        if not os.access(given.other, os.X_OK):
            parser.error(f"{given.other}: no such command")
        given.other = given.other.absolute()
    pa.set_cpu_count(1)
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
        print_json(compare(given, given.keep.resolve()))
        return 0
    with tempfile.TemporaryDirectory(prefix="synthflow-spine-") as folder:
        print_json(compare(given, Path(folder)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
