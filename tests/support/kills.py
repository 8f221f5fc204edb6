"""Kills at random moments, and what is known of the requests that were in flight at each.

A victim's processes are stopped before they are killed, so that what the run had written until then can be read: the
requests in flight at the kill are those that were handed to an engine and have neither a result nor a failure.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from support.runs import journal_lines, start
from synthflow.stores.journal import decode

NOTED = ("-o", "execution.keep_notes=true")
"""Options of a run whose notes are to be counted when it has ended."""

Victims = Callable[[psutil.Process], Sequence[psutil.Process]]


def opened(run: Path) -> Counter[str]:
    """How often each request was handed to an engine, those that failed by themselves apart."""
    found: Counter[str] = Counter()
    for path in (run / "journal").glob("*.open"):
        whole, _, _ = path.read_text().rpartition("\n")
        for note in whole.split("\n"):
            if note[:1] in "+*-" and note[1:]:
                found[note[1:]] += -1 if note[0] == "-" else 1
    return found


def journaled(run: Path) -> Counter[str]:
    """Records of each rollout."""
    found = (decode(line) for line in journal_lines(run)) if (run / "journal").exists() else ()
    return Counter(record[1].rollout_id for record in found if record is not None)


def in_flight(run: Path) -> int:
    """Requests that are handed in and have no result."""
    done = journaled(run)
    return sum(n > 0 and rollout not in done for rollout, n in opened(run).items())


def sampled_again(run: Path) -> int:
    """Requests that were handed to an engine after they had been before."""
    return sum(n - 1 for n in opened(run).values() if n > 1)


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all below it."""
    return [process, *process.children(recursive=True)]


def whole_run(driver: psutil.Process) -> list[psutil.Process]:
    """All processes of a run: what a scheduler's `kill -9` of a job hits."""
    return family(driver)


def engine_worker(driver: psutil.Process) -> list[psutil.Process]:
    """A Dask worker that holds an engine, and the engine's own processes with it."""
    workers = [p for p in driver.children() if _prints_to(p).startswith("engine-")]
    return family(workers[0]) if workers else []


def engine_core(driver: psutil.Process) -> list[psutil.Process]:
    """The processes of an engine that runs apart from its worker: vLLM's core and what is below it."""
    [_, *below] = engine_worker(driver) or [driver]
    return [p for p in below if "EngineCore" in " ".join(p.cmdline()) or "EngineCore" in p.name()]


def _prints_to(process: psutil.Process) -> str:
    try:
        return Path(f"/proc/{process.pid}/fd/1").readlink().name
    except OSError:
        return ""


@dataclass
class Killed:
    """What a series of kills has seen. `lost` are requests in flight, one number a kill that hit."""

    run: Path
    rng: random.Random
    lost: list[int] = field(default_factory=list)
    kept: set[bytes] = field(default_factory=set)

    def strike(self, driver: psutil.Process, victims: Victims) -> bool:
        """Stop, look, kill -9. False if nobody was there to be killed."""
        try:
            chosen = victims(driver)
            for process in chosen:
                process.suspend()
            if not chosen:
                return False
            self.lost.append(in_flight(self.run) if (self.run / "journal").exists() else 0)
            for process in chosen:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        except psutil.NoSuchProcess:  # the run ended meanwhile
            return False
        return True

    def look(self) -> None:
        """Nothing that was journaled is ever changed or gone."""
        now = journal_lines(self.run) if (self.run / "journal").exists() else set()
        assert self.kept <= now, "a journaled line is gone or was changed"
        self.kept = now

    def kill_run(self, spec: Path, shortest: float, longest: float) -> None:
        """Start a run and kill all of it at a random moment after it began to sample, if it lives so long."""
        process = start(spec, self.run, *NOTED)
        driver = psutil.Process(process.pid)
        before = sum(opened(self.run).values()) if (self.run / "journal").exists() else 0
        for _ in _waiting(60, process):
            if sum(opened(self.run).values()) > before:
                break
        deadline = time.monotonic() + self.rng.uniform(shortest, longest)
        for _ in _waiting(longest, process):
            if time.monotonic() > deadline:
                break
        if process.poll() is None:
            self.strike(driver, whole_run)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.look()

    def kill_within(self, process: subprocess.Popen[bytes], victims: Victims, times: int, pause: float) -> int:
        """Kill a part of a run that goes on, at random moments; returns how many hit."""
        driver, hits = psutil.Process(process.pid), 0
        for _ in range(times):
            before = sum(journaled(self.run).values())
            for _ in _waiting(120, process):  # something new has finished, so the victim is back at work
                if sum(journaled(self.run).values()) > before:
                    break
            time.sleep(self.rng.uniform(0, pause))
            if process.poll() is not None:
                break
            hits += self.strike(driver, victims)
            self.look()
        return hits


def _waiting(longest: float, process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ticks until a process ends or time is up."""
    deadline = time.monotonic() + longest
    while time.monotonic() < deadline and process.poll() is None:
        yield
        time.sleep(0.05)
