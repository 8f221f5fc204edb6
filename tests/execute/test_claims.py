"""A rollout is claimed by one task at a time: of threads, and of processes on one machine."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from synthflow.execute.claims import claimed

LONG_S = 30.0
SHORT_S = 0.5

HOLDS = """
import sys, threading
from pathlib import Path
from synthflow.execute.claims import claimed

def want(*rollouts):
    with claimed(Path(sys.argv[1]), rollouts):
        print("got", flush=True)

with claimed(Path(sys.argv[1]), sys.argv[2:]):
    print("held", flush=True)
    for line in sys.stdin:
        if not line.strip():
            break
        threading.Thread(target=want, args=line.split()).start()
"""


@contextmanager
def another_process(root: Path, *rollouts: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds these rollouts until a line is written to it."""
    command = [sys.executable, "-c", HOLDS, str(root), *rollouts]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def wants(root: Path, *rollouts: str) -> threading.Event:
    """Set once a thread of this process holds them."""
    held = threading.Event()

    def hold() -> None:
        with claimed(root, rollouts):
            held.set()

    threading.Thread(target=hold, daemon=True).start()
    return held


def released(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.parametrize("end", [released, subprocess.Popen.kill])
def test_what_another_process_holds_is_waited_for_until_it_is_done_or_dead(tmp_path, end):
    with another_process(tmp_path, "o_1", "o_2") as process:
        held = wants(tmp_path, "o_2", "o_3")
        assert not held.wait(SHORT_S)
        end(process)
        assert held.wait(LONG_S)


def test_other_rollouts_and_other_runs_wait_for_nobody(tmp_path):
    with another_process(tmp_path, "o_1", "o_2"):
        assert wants(tmp_path, "o_3").wait(LONG_S)
        assert wants(tmp_path / "other", "o_1").wait(LONG_S)


def test_two_processes_whose_threads_wait_for_each_other_are_no_circle(tmp_path):
    with another_process(tmp_path, "o_1") as process, claimed(tmp_path, ["o_2"]):
        assert process.stdin is not None
        process.stdin.write("o_2\n")
        process.stdin.flush()
        time.sleep(SHORT_S)  # it waits for us
        held = wants(tmp_path, "o_1")  # and we for it
        assert not held.wait(SHORT_S)
        released(process)
        assert held.wait(LONG_S)


def test_without_a_place_for_locks_a_task_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert wants(tmp_path, "o_1").wait(LONG_S)


def test_threads_of_a_process_wait_for_each_other(tmp_path):
    with claimed(tmp_path, ["o_1"]):
        held = wants(tmp_path, "o_1", "o_2")
        assert not held.wait(SHORT_S)
        assert wants(tmp_path, "o_3").wait(LONG_S)
    assert held.wait(LONG_S)


def test_what_a_stage_could_not_do_is_no_longer_claimed(tmp_path):
    with pytest.raises(ValueError), claimed(tmp_path, ["o_1"]):
        raise ValueError
    assert wants(tmp_path, "o_1").wait(LONG_S)
    with another_process(tmp_path, "o_1"):
        pass
