"""How far a run's own forecast was off: the ETA it gave at a third, half and two thirds of the way, over the truth.

    python benchmarks/eta.py RUN...

Reads `metrics.jsonl` of the last attempt of finished runs. Prints a table in Markdown: 1 is right, 2 is twice too long.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

SHARES = (1 / 3, 1 / 2, 2 / 3)


def ratios(snapshots: Sequence[dict]) -> list[float | None]:
    """ETA over the truth at each of `SHARES`, from the snapshot next to it; None where there was no ETA."""
    end = snapshots[-1]["elapsed_s"]
    found: list[float | None] = []
    for share in SHARES:
        nearest = min(snapshots, key=lambda s: abs(s["elapsed_s"] - share * end))
        eta, truth = nearest["total"]["eta_s"], end - nearest["elapsed_s"]
        found.append(None if eta is None or truth <= 0 else eta / truth)
    return found


def snapshots_of(run: Path) -> list[dict]:
    attempts = sorted((run / "logs").glob("attempt-*/metrics.jsonl"), key=lambda p: int(p.parent.name.split("-")[1]))
    return [json.loads(line) for line in attempts[-1].read_text(encoding="utf-8").splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    print("| run | seconds | at a third | at half | at two thirds |\n| --- | --- | --- | --- | --- |")
    for run in parser.parse_args().runs:
        snapshots = snapshots_of(run)
        told = ("–" if ratio is None else f"{ratio:.2f}" for ratio in ratios(snapshots))
        print(f"| {run.name} | {snapshots[-1]['elapsed_s']:.0f} | {' | '.join(told)} |")


if __name__ == "__main__":
    main()
