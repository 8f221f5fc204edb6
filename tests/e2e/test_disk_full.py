"""A disk that fills up: a clean stop with a clear message, and a resume that completes once there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.runs import assert_same_rows, journal_lines, run_ok, synthflow, write_spec
from synthflow.errors import ExitCode

pytestmark = [pytest.mark.slow, pytest.mark.extended]

SIZE = 20 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 MB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        assert not os.environ.get("CI"), mounted.stderr
        pytest.skip(f"no right to mount a tmpfs: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("room", [40_000, 300_000], ids=["while sampling", "while writing tables"])
def test_it_stops_cleanly_and_resumes(
    room: int, replay_spec: dict[str, object], small_disk: Path, tmp_path: Path
) -> None:
    spec = write_spec(tmp_path / "spec.yaml", replay_spec)
    run = small_disk / "run"
    run.mkdir()
    with (small_disk / "ballast").open("wb") as ballast:
        ballast.write(bytes(SIZE - room))
    done = synthflow("run", spec, "--out", run)
    assert done.returncode == ExitCode.NO_SPACE, done.stdout + done.stderr
    assert "no space left" in done.stderr and "make room" in done.stderr and "Traceback" not in done.stderr
    assert not (run / "lock").exists()
    kept = journal_lines(run) if (run / "journal").exists() else set()
    (small_disk / "ballast").unlink()
    run_ok(spec, run)
    assert kept <= journal_lines(run)
    run_ok(spec, tmp_path / "elsewhere")
    assert_same_rows(tmp_path / "elsewhere", run)
    assert synthflow("check", run).returncode == 0
