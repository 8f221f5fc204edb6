"""A verdict on a program is the same on an idle machine and on one whose cores eight other processes keep busy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from synthflow.contracts import Question
from synthflow.verifiers.code import CodeConfig, CodeVerifier

SPIN = "import time\ndef spin(s):\n    end = time.process_time() + s\n    while time.process_time() < end: pass\n"
CALLS = {"fn_name": "f", "inputs": [[1], [2], [3]], "outputs": [1, 2, 3]}
# Each stays clear of a limit, or is well past it: 1 s of CPU time a call, 3 s of waiting, 4 s for all calls.
ROWS: list[tuple[Any, str, str]] = [
    (CALLS, "def f(x): return x", "correct"),
    (CALLS, "def f(x): return 2", "wrong"),
    (CALLS, f"{SPIN}def f(x):\n    spin(0.6)\n    return x", "correct"),
    (CALLS, f"{SPIN}def f(x):\n    spin(1.6 if x == 2 else 0)\n    return x", "wrong"),
    (CALLS, "import time\ndef f(x):\n    time.sleep(0.9)\n    return x", "correct"),
    (CALLS, "import time\ndef f(x):\n    time.sleep(9)\n    return x", "wrong"),
    (CALLS, "import time\ndef f(x):\n    time.sleep(2)\n    return x", "wrong"),  # all together
    ({"inputs": [""], "outputs": ["8"]}, f"{SPIN}spin(0.6)\nprint(8)", "correct"),
    ({"inputs": [""], "outputs": ["8"]}, f"{SPIN}spin(3)\nprint(8)", "wrong"),
    ({"tests": "for x in range(4):\n    assert f(x) == x"}, f"{SPIN}def f(x):\n    spin(0.3)\n    return x", "correct"),
    (
        {"inputs": [""], "outputs": ["8"]},
        f"{SPIN}import threading\nts = [threading.Thread(target=spin, args=(0.1,)) for _ in range(4)]\n"
        "for t in ts: t.start()\nfor t in ts: t.join()\nprint(8)",
        "correct",
    ),
]


@contextmanager
def busy(processes: int) -> Iterator[None]:
    spinning = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def verdicts() -> list[tuple[str, float | None]]:
    made = CodeVerifier(CodeConfig(timeout_s=1, wall_s=3, program_s=4, credit="share", workers=2))
    asked = [
        Question(str(at), "p", f"```python\n{code}\n```", None, json.dumps(t)) for at, (t, code, _) in enumerate(ROWS)
    ]
    found = [(judgement.verdict, judgement.value) for judgement in made.judge(asked)]
    made.close()
    return found


@pytest.mark.extended
def test_the_same_idle_and_busy() -> None:
    idle = verdicts()
    assert [verdict for verdict, _ in idle] == [expected for _, _, expected in ROWS]
    with busy(4 * (os.cpu_count() or 2)):
        time.sleep(0.2)
        assert verdicts() == idle
