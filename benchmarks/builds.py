"""What does this build cost beside another one? CPU seconds and peak memory of the same runs, in turns.

    python benchmarks/builds.py --other PATH/TO/synthflow [--repeats 5] [--problems 240] [--rollouts 10000]

Two jobs, each into a fresh folder every time:

- `quickstart`: the recipe as this build ships it, sampled from the demo policy.
- `replay`: verify, filter, mine and export recorded rollouts (those of `memory.py`), where no model hides the cost.

Both builds run the same spec over the same files, in turns, and the one that goes first changes from turn to turn.
`cpu_s` is what the kernel has counted for the run and all processes below it that were waited for, user and system;
`missed_cpu_s` is what a look at the processes every tenth of a second has seen beyond that (near 0, unless a process
was left behind). `largest_mb` is the largest high-water mark of any of these processes, `together_mb` the most that all
of them held at one look. Prints one JSON line on stdout, the ratios of medians (this build to the other) first, and
progress on stderr.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import yaml
from measuring import cpu_seconds, descendants, machine, peak_rss, print_json, say
from memory import N, record
from memory import spec as replayed

from synthflow.spec import load_pipeline

CLI = Path(sys.executable).with_name("synthflow")
JOBS = ("quickstart", "replay")
_POLL_S = 0.1
_ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True, slots=True)
class Cost:
    cpu_s: float
    largest_mb: float
    together_mb: float
    missed_cpu_s: float
    wall_s: float


@dataclass(slots=True)
class Watched:
    """What looks at the processes of a run have seen, by process."""

    cpu_s: dict[int, float] = field(default_factory=dict)
    peaks: dict[int, int] = field(default_factory=dict)
    together: int = 0

    def look(self, root: int) -> None:
        """See the run's process and all below it."""
        held = 0
        for process in (psutil.Process(root), *descendants(root)):
            self.cpu_s[process.pid] = max(self.cpu_s.get(process.pid, 0.0), cpu_seconds([process]))
            self.peaks[process.pid] = max(self.peaks.get(process.pid, 0), peak_rss(process.pid) or 0)
            held += _resident(process)
        self.together = max(self.together, held)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def measure(cli: Path, spec: Path, folder: Path) -> Cost:
    """Run a spec into a fresh folder.

    Raises:
        SystemExit: if the run fails.
    """
    started = time.monotonic()
    command = [str(cli), "run", str(spec), "--out", str(folder / "run"), "--quiet"]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=_ENVIRONMENT)
    watched = Watched()
    while True:
        watched.look(process.pid)
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        time.sleep(_POLL_S)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{(folder / 'said').read_text()}")
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(
        cpu_s=cpu,
        largest_mb=max(watched.peaks.values()) / 2**20,
        together_mb=watched.together / 2**20,
        missed_cpu_s=max(0.0, sum(watched.cpu_s.values()) - cpu),
        wall_s=time.monotonic() - started,
    )


def quickstart(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """The shipped recipe, of fewer problems where asked."""
    pipeline: dict[str, Any] = yaml.safe_load(load_pipeline("quickstart").spec_text)
    pipeline["stages"]["problems"]["limit"] = given.problems
    return pipeline


def replay(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Records rollouts, and tells the spec that replays them."""
    record(folder, -(-given.rollouts // N))
    return replayed(folder)


_SPECS: Mapping[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {
    "quickstart": quickstart,
    "replay": replay,
}


def in_turns(job: str, builds: Mapping[str, Path], spec: Path, repeats: int) -> dict[str, list[Cost]]:
    """Costs by build, in the order measured."""
    costs: dict[str, list[Cost]] = {name: [] for name in builds}
    for turn in range(repeats):
        for name in sorted(builds, reverse=turn % 2 == 0):
            with tempfile.TemporaryDirectory(prefix="synthflow-builds-") as folder:
                cost = measure(builds[name], spec, Path(folder))
            costs[name].append(cost)
            say(f"{job} {turn + 1}/{repeats} {name}: {cost.cpu_s:.1f} s of CPU, {cost.largest_mb:.0f} MB at most")
    return costs


def medians(costs: Sequence[Cost]) -> dict[str, float]:
    return {name: statistics.median(asdict(cost)[name] for cost in costs) for name in Cost.__slots__}


def compare(given: argparse.Namespace, root: Path) -> dict[str, Any]:
    builds = {"this": CLI, "other": given.other}
    costs: dict[str, dict[str, list[Cost]]] = {}
    for job in given.only:
        folder = root / job
        folder.mkdir()
        spec = folder / "spec.yaml"
        spec.write_text(yaml.safe_dump(_SPECS[job](folder, given), sort_keys=False))
        costs[job] = in_turns(job, builds, spec, given.repeats)
    middle = {job: {name: medians(found) for name, found in of.items()} for job, of in costs.items()}
    return {
        "benchmark": "builds",
        "ratios": {
            job: {what: of["this"][what] / of["other"][what] for what in ("cpu_s", "largest_mb", "together_mb")}
            for job, of in middle.items()
        },
        "medians": middle,
        "runs": {job: {name: [asdict(c) for c in found] for name, found in of.items()} for job, of in costs.items()},
        "problems": given.problems,
        "rollouts": given.rollouts,
        "machine": machine(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="CPU seconds and peak memory of this build beside another.")
    parser.add_argument("--other", type=Path, required=True, help="the synthflow command of the other build")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--problems", type=int, default=240, help="problems of the quickstart")
    parser.add_argument("--rollouts", type=int, default=10_000, help="rollouts that are replayed")
    parser.add_argument("--only", nargs="+", choices=JOBS, default=JOBS)
    given = parser.parse_args(arguments)
    if not os.access(given.other, os.X_OK):
        parser.error(f"{given.other}: no such command")
    given.other = given.other.absolute()
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory(prefix="synthflow-builds-") as folder:
        print_json(compare(given, Path(folder)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
