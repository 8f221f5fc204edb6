"""What a worker prints has a largest size, whoever of its processes prints it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from synthflow.execute.log_limit import LogLimit, cut, older

PRINTS = "import os, sys\nfor n in range(int(sys.argv[1])): os.write(1, b'%07d\\n' % n)"


def test_a_log_that_is_full_is_moved_aside_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "cpu-0.log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(fd, b"first\n")
    cut(path, 10)
    assert path.read_bytes() == b"first\n" and not older(path).exists(), "not full"
    os.write(fd, b"second\n")
    cut(path, 10)
    os.write(fd, b"third\n")
    assert (older(path).read_bytes(), path.read_bytes()) == (b"first\nsecond\n", b"third\n")
    os.write(fd, b"fourth\n")
    cut(path, 10)
    assert (older(path).read_bytes(), path.read_bytes()) == (b"third\nfourth\n", b"")
    os.close(fd)
    cut(tmp_path / "none.log", 10)


def test_processes_that_print_without_end_leave_a_bounded_log(tmp_path: Path) -> None:
    path = tmp_path / "engine-0.log"
    limit = LogLimit(path, largest=4000, look_every_s=0.01)
    with path.open("ab") as log:
        printing = [subprocess.Popen([sys.executable, "-c", PRINTS, "200000"], stdout=log) for _ in range(2)]
        assert [process.wait(timeout=60) for process in printing] == [0, 0]
    deadline = time.monotonic() + 20
    while path.stat().st_size > 4000 and time.monotonic() < deadline:
        time.sleep(0.02)
    limit.close()
    assert path.stat().st_size <= 4000 and older(path).stat().st_size < 2 * 200000 * 8
    lines = older(path).read_bytes().splitlines()[1:-1]
    assert lines and all(len(line) == 7 and line.isdigit() for line in lines), "no line is torn or filled with zeros"
