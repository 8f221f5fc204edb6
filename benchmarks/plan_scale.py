"""What `synthflow plan` takes on a finished run of many problems, and after a change of it.

    python benchmarks/plan_scale.py [--problems 100000] [--n 4]

The run is real as far as a plan reads it: the source is cut, every first rollout is journaled, and every unit of work
of the quickstart's stages is committed. Measured are time and peak memory of the command as a user calls it: on the
finished run, with one problem added to the file, and with n raised by one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import machine, peak_rss, print_json, say

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from support.paper_runs import PaperRun
from support.runs import CLI, SMALL, with_changes, write_spec
from synthflow.plan.planned import policy_identities
from synthflow.spec import Pipeline


def measured(spec: Path, out: Path) -> dict[str, Any]:
    """Seconds and peak memory of one plan, and what it says will be asked."""
    started, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile() as answer:
        done = subprocess.Popen([str(CLI), "plan", str(spec), "--out", str(out), "--json"], stdout=answer)
        # Not of `wait4`: what it tells of memory begins with the memory of the process that forked.
        while (ended := os.wait4(done.pid, os.WNOHANG))[0] == 0:
            peak = max(peak, peak_rss(done.pid) or 0)
            time.sleep(0.01)
        _, status, usage = ended
        assert status == 0
        answer.seek(0)
        said = json.loads(answer.read())
    stages = said["change"]["stages"]
    return {
        "wall_s": time.perf_counter() - started,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": peak / 2**20,
        "owed": said["change"]["total"]["owed"],
        "requests": sum(s["requests"] for s in stages if not s["at_most"]),
    }


def made(folder: Path, problems: int, n: int) -> tuple[Path, Path]:
    """The spec and the run directory of a finished run."""
    with (folder / "problems.jsonl").open("w") as file:
        for i in range(problems):
            text = f"Problem {i}: a farmer has {i} apples, buys {i % 97} more and sells a third. How many are left?"
            file.write(json.dumps({"prompt": text, "answer": str(i)}) + "\n")
    stages = {**SMALL["stages"], "problems": {"use": "source.jsonl", "path": str(folder / "problems.jsonl")}}
    spec = with_changes(SMALL, stages={"rollouts": {"n": n}}, execution={"partition_size": 32})
    spec["stages"]["problems"] = stages["problems"]
    path = write_spec(folder / "spec.yaml", spec)
    pipeline = Pipeline.build("small", spec["stages"], spec["policy"], seed=spec["seed"])
    run = PaperRun(folder / "run", 32, policy_identities(pipeline), spec["seed"])
    flush = os.fsync
    os.fsync = lambda fd: None  # nothing here has to survive a crash
    try:
        run.finish(spec["stages"])
    finally:
        os.fsync = flush
    return path, folder / "run"


def figures(folder: Path, problems: int, n: int) -> dict[str, dict[str, Any]]:
    """All three plans of a run that is made in a folder."""
    spec, run = made(folder, problems, n)
    found = {"finished": measured(spec, run)}
    text = spec.read_text()
    spec.write_text(text.replace(f"n: {n}\n", f"n: {n + 1}\n", 1))
    found["n_raised"] = measured(spec, run)
    spec.write_text(text)
    with (folder / "problems.jsonl").open("a") as file:
        file.write('{"prompt": "One more: 1 + 1?", "answer": "2"}\n')
    found["problem_added"] = measured(spec, run)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--problems", type=int, default=100_000)
    parser.add_argument("--n", type=int, default=4)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        say(f"making a run of {asked.problems} problems, and planning it three times")
        found = figures(Path(folder), asked.problems, asked.n)
    print_json({**found, "problems": asked.problems, "n": asked.n, "machine": machine()})


if __name__ == "__main__":
    main()
