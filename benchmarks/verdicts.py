"""A hundred thousand math verdicts, with and without one poisoned row in a thousand: recorded, cost, memory, processes.

Poisoned rows hang in algebra, grow until the memory limit, are refused from their text, or are no text at all. Each is
different, so that none is answered from memory. The cost is the wall time beside the same run with a plain row in
each one's place, and is held against the time limits of the poisoned rows, a worker.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from pathlib import Path

import psutil
from measuring import cpu_seconds, descendants, machine, peak_rss, print_json, say

from synthflow.contracts import Question
from synthflow.verifiers.math import MathConfig, MathVerifier

EVERY, BATCH, MIB = 1_000, 10_000, 2**20


def poison(n: int) -> str:
    return (
        f"\\cos({n}x+4)^{{300}}\\sin(x)^{{299}}+y",
        f"({n}x+y+z+w)^{{900}}",
        f"{n}^{{9^{{9^9}}}}",
        "\ud800{" * n,
    )[n % 4]


def row(at: int, poisoned: bool) -> Question:
    if poisoned and at % EVERY == EVERY // 2:
        return Question(str(at), "p", f"So \\boxed{{{poison(at // EVERY + 1)}}}.", "5")
    if at % 100 == 7:  # needs algebra
        return Question(str(at), "p", f"So \\boxed{{2\\ln {at}}}.", f"\\ln {at * at}")
    return Question(str(at), "p", f"So \\boxed{{{at}}}.", str(at - at % 2))


def resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024


def run(rows: int, workers: int, poisoned: bool) -> dict[str, object]:
    config = MathConfig(workers=workers)
    verifier = MathVerifier(config)
    verifier.judge([Question("warm", "p", "\\boxed{1}", "\\sin^2 q+\\cos^2 q")])
    me = psutil.Process()
    verdicts: Counter[str] = Counter()
    sizes, processes, poisoned_s, worst_s, peak = [], 0, 0.0, 0.0, 0
    started, cpu = time.perf_counter(), time.process_time() + cpu_seconds(descendants(os.getpid()))
    for start in range(0, rows, BATCH):
        for at, judgement in enumerate(
            verifier.judge([row(at, poisoned) for at in range(start, start + BATCH)]), start
        ):
            verdicts[f"{judgement.verdict} {judgement.reason or ''}".strip()] += 1
            if at % EVERY == EVERY // 2:
                poisoned_s += judgement.elapsed_s
                worst_s = max(worst_s, judgement.elapsed_s)
        sizes.append(resident(me.pid))
        children = me.children(recursive=True)
        processes = max(processes, len(children))
        peak = max([peak, *(peak_rss(child.pid) or 0 for child in children)])
    wall = time.perf_counter() - started
    verifier.close()
    return {
        "recorded": sum(verdicts.values()),
        "verdicts": dict(verdicts),
        "wall_s": wall,
        "cpu_s_of_this_process": time.process_time() - cpu,
        "limits_s": config.timeout_s * rows / EVERY,
        "poisoned_rows_s": poisoned_s,
        "worst_poisoned_row_s": worst_s,
        "resident_mib": [size / MIB for size in (sizes[0], sizes[len(sizes) // 2], sizes[-1])],
        "worker_peak_mib": peak / MIB,
        "most_processes": processes,
        "left_processes": len(me.children(recursive=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    rows = -(-options.rows // BATCH) * BATCH
    plain = run(rows, options.workers, poisoned=False)
    say(f"without poison: {plain['wall_s']:.1f} s")
    poisoned = run(rows, options.workers, poisoned=True)
    say(f"with poison: {poisoned['wall_s']:.1f} s")
    cost = float(str(poisoned["wall_s"])) - float(str(plain["wall_s"]))
    print_json(
        {
            "cost_over_limits_per_worker": cost / (float(str(poisoned["limits_s"])) / options.workers),
            "poison_cost_wall_s": cost,
            "rows": rows,
            "workers": options.workers,
            "poisoned": poisoned,
            "plain": plain,
            "machine": machine(),
        }
    )


if __name__ == "__main__":
    main()
