"""What benchmarks/eta.py says of a forecast."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_a_forecast_is_held_against_what_came(tmp_path: Path) -> None:
    logs = tmp_path / "mine" / "logs" / "attempt-2"
    logs.mkdir(parents=True)
    (logs.parent / "attempt-1").mkdir()
    (logs.parent / "attempt-1" / "metrics.jsonl").write_text("{}\n")
    # 90 seconds: none is told at a third, twice the truth at half, the truth at two thirds.
    etas = {0: None, 30: None, 45: 90.0, 60: 30.0, 90: None}
    lines = [json.dumps({"elapsed_s": at, "total": {"eta_s": eta}}) for at, eta in etas.items()]
    (logs / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    command = [sys.executable, str(BENCHMARKS / "eta.py"), str(tmp_path / "mine")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == "| mine | 90 | – | 2.00 | 1.00 |"
