"""Two runs exclude each other; a dead owner keeps nobody out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synthflow.errors import ExitCode, RunLocked
from synthflow.stores import lock as lock_module
from synthflow.stores.lock import RunLock, is_stale, read_lock

HOLD = """
import sys, time
from pathlib import Path
from synthflow.stores.lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_told_who_holds_the_first(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        with pytest.raises(RunLocked, match=f"process {os.getpid()}"), RunLock(tmp_path):
            pass
    assert read_lock(tmp_path) is None
    with RunLock(tmp_path):
        pass


def test_a_killed_owner_keeps_nobody_out(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None and owner.stdout.readline() == "held\n"
    with pytest.raises(RunLocked), RunLock(tmp_path):
        pass
    owner.kill()
    owner.wait()
    owner.stdout.close()
    with RunLock(tmp_path):
        holder = read_lock(tmp_path)
        assert holder is not None and holder["pid"] == os.getpid()


def test_another_host_is_judged_by_its_heartbeat(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        content = json.loads((tmp_path / "lock").read_text())
    there = {**content, "host": "elsewhere"}
    assert not is_stale(there, tmp_path)
    assert is_stale({**there, "heartbeat": time.time() - lock_module.STALE_AFTER_S - 1}, tmp_path)
    assert is_stale({**content, "boot": "another"}, tmp_path)


@pytest.mark.parametrize("host", [None, "elsewhere"])
def test_the_lock_of_a_copy_holds_nothing(tmp_path: Path, host: str | None) -> None:
    root = tmp_path / "run"
    root.mkdir()
    with RunLock(root):
        if host is not None:
            content = json.loads((root / "lock").read_text())
            (root / "lock").write_text(json.dumps({**content, "host": host}))
        shutil.copytree(root, tmp_path / "copy")
        with RunLock(tmp_path / "copy"), pytest.raises(RunLocked), RunLock(root):
            pass
        moved = root.rename(tmp_path / "moved")
        with pytest.raises(RunLocked), RunLock(moved):
            pass
        moved.rename(root)


def test_a_lock_that_says_no_folder_is_of_the_one_it_lies_in(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        older = {k: v for k, v in json.loads((tmp_path / "lock").read_text()).items() if k != "folder"}
        assert not is_stale(older, tmp_path)


def test_a_torn_lock_file_is_judged_by_its_age(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("{to")
    with pytest.raises(RunLocked), RunLock(tmp_path):
        pass
    old = time.time() - lock_module.STALE_AFTER_S - 1
    os.utime(path, (old, old))
    with RunLock(tmp_path):
        pass


def test_who_lost_the_lock_stops_at_once(tmp_path: Path) -> None:
    """A driver that was stopped for minutes wakes up beside the one that took over: it must not write any more."""
    hold = HOLD.replace("with RunLock", "from synthflow.stores import lock\nlock.HEARTBEAT_S = 0.05\nwith RunLock")
    owner = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None and owner.stdout.readline() == "held\n"
    taken = {**json.loads((tmp_path / "lock").read_text()), "nonce": "another", "host": "elsewhere", "pid": 7}
    (tmp_path / "lock").write_text(json.dumps(taken))
    _, said = owner.communicate(timeout=20)
    assert owner.returncode == ExitCode.LOCKED
    assert "now held by process 7 on elsewhere" in said and "Traceback" not in said
    assert read_lock(tmp_path) == taken, "the other's lock is left alone"
