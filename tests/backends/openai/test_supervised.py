"""A supervised server: a real child process that dies, hangs, does not come up, and is never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from support import fake_server
from synthflow.backends.openai import launcher, supervised
from synthflow.backends.openai.serve import _reserve
from synthflow.backends.openai.supervised import Program, Supervised
from synthflow.errors import EngineFailed, InfrastructureError, UserError

FAKE = Path(fake_server.__file__)
KEY = "very-secret-1234"


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised, "BACKOFF_S", 0.05)
    monkeypatch.setattr(supervised, "STOP_S", 1.0)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    made: list[Supervised] = []
    held = _reserve("127.0.0.1", None)

    def make(*, ready_s: float = 60, restarts: int = 3, **env: str) -> Supervised:
        port = held.getsockname()[1]
        program = Program(
            "server-0", [sys.executable, str(FAKE), "--port", str(port)], {**os.environ, "MY_API_KEY": KEY, **env},
            f"http://127.0.0.1:{port}", ready_s, restarts,
        )  # fmt: skip
        made.append(Supervised(program, tmp_path / "logs"))
        made[-1].begin()
        return made[-1]

    yield make
    for server in made:
        server.close()
    held.close()


def processes(marker: str = str(FAKE)) -> list[psutil.Process]:
    """The fake servers, and those that launch them."""
    return [p for p in psutil.process_iter(["cmdline"]) if marker in (p.info["cmdline"] or ())]


def fake(server: Supervised) -> psutil.Process:
    """The server's own process."""
    port = server.program.command[-1]
    [found] = [p for p in processes() if p.cmdline()[-1] == port and launcher.__file__ not in p.cmdline()]
    return found


def gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_ready_then_killed_then_ready_again(serve: Callable[..., Supervised], tmp_path: Path) -> None:
    server = serve(FAKE_READY_S="0.3", FAKE_CHILD=str(tmp_path / "child"))
    server.wait()
    assert server.up and asyncio.run(server.ready()) == 1
    asyncio.run(server.verify(1))
    grandchild = int((tmp_path / "child").read_text())
    fake(server).kill()
    with pytest.raises(EngineFailed, match="server-0 was killed by SIGKILL"):
        asyncio.run(server.verify(1))
    assert asyncio.run(server.ready()) == 2, "who asks while it is down waits"
    assert gone(grandchild), "what a dead server left behind is gone"
    logs = sorted(p.name for p in (tmp_path / "logs").iterdir())
    assert logs == ["server-0.1.log", "server-0.2.log"]
    pid = fake(server).pid
    server.close()
    server.close()
    assert gone(pid) and not server.up


def test_secrets_are_masked(serve: Callable[..., Supervised], tmp_path: Path) -> None:
    server = serve(FAKE_DIES=str(tmp_path / "lives"), FAKE_LIVES="1")
    with pytest.raises(InfrastructureError) as raised:
        server.wait()
    written = (tmp_path / "logs" / "server-0.1.log").read_text()
    assert "the key is ***" in written and KEY not in written + str(raised.value)


def test_a_server_that_does_not_come_up_says_its_last_lines(serve: Callable[..., Supervised], tmp_path: Path) -> None:
    server = serve(FAKE_DIES=str(tmp_path / "lives"), FAKE_LIVES="1")
    with pytest.raises(InfrastructureError) as raised:
        server.wait()
    first, *lines = str(raised.value).splitlines()
    assert first.startswith("server-0 ended with exit code 7 before it was ready") and "server-0.1.log" in first
    assert [line.strip() for line in lines] == [f"line {i}" for i in range(25, 40)]
    assert len((tmp_path / "lives").read_text().split()) == 1, "the first start is not tried again"


def test_a_server_that_is_not_ready_in_time(serve: Callable[..., Supervised]) -> None:
    server = serve(ready_s=1.0, FAKE_READY_S="never", FAKE_STUBBORN="1")
    with pytest.raises(InfrastructureError, match=r"(?s)was not ready within 1 s; .*hello from life"):
        server.wait()
    # Killed is not yet gone: the group's processes end a moment after the signal.
    assert all(gone(p.pid) for p in processes() if p.cmdline()[-1:] == server.program.command[-1:])


def test_a_command_that_is_none(tmp_path: Path) -> None:
    server = Supervised(Program("server-0", ["/no/such"], dict(os.environ), "http://127.0.0.1:9", 9, 1), tmp_path)
    server.begin()
    with pytest.raises(InfrastructureError, match=r"(?s)exit code 127.*No such file"):
        server.wait()
    server.close()


def test_deaths_in_a_row_give_up_and_a_finished_request_forgives(
    serve: Callable[..., Supervised], tmp_path: Path
) -> None:
    server = serve(restarts=2, FAKE_DIES=str(tmp_path / "lives"), FAKE_LIVES="5,6")
    for life in (1, 2, 3):
        assert asyncio.run(server.ready()) == life
        server.finished()
        fake(server).kill()
        while life not in server._ends:
            time.sleep(0.01)
    assert asyncio.run(server.ready()) == 4
    server.finished()
    fake(server).kill()
    while 4 not in server._ends:
        time.sleep(0.01)
    with pytest.raises(InfrastructureError, match=r"(?s)died 3 times without finishing a request; .*line 39"):
        asyncio.run(server.ready())
    assert not server.up


def test_a_stubborn_server_is_ended_by_force(serve: Callable[..., Supervised]) -> None:
    server = serve(FAKE_STUBBORN="1")
    server.wait()
    pid = fake(server).pid
    server.close()
    assert gone(pid)


OWNER = """
import os, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.SIG_IGN)
from synthflow.backends.openai.supervised import Program, Supervised
port = sys.argv[2]
command = [sys.executable, sys.argv[1], "--port", port]
program = Program("server-0", command, dict(os.environ), f"http://127.0.0.1:{port}", 60, 3)
server = Supervised(program, Path(sys.argv[3]))
server.begin()
server.wait()
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("victim", ["owner", "group", "launcher and owner"])
def test_no_server_outlives_its_owner(victim: str, tmp_path: Path) -> None:
    """kill -9 of the owner, of its whole group, of owner and launcher together: server and grandchild end."""
    held = _reserve("127.0.0.1", None)
    port, child = str(held.getsockname()[1]), tmp_path / "child"
    env = {**os.environ, "FAKE_STUBBORN": "1", "FAKE_CHILD": str(child)}
    arguments = [sys.executable, "-c", OWNER, str(FAKE), port, str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=env, start_new_session=True) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == "ready\n"
        family = psutil.Process(owner.pid).children(recursive=True)
        [launching] = [p for p in family if launcher.__file__ in p.cmdline()]
        server = next(p for p in launching.children() if port in p.cmdline())
        if victim == "group":
            os.killpg(owner.pid, signal.SIGINT)  # Ctrl-C, which the owner ignores while the run drains
            assert not gone(server.pid, 0.3)
            os.killpg(owner.pid, signal.SIGKILL)
        elif victim == "owner":
            owner.kill()
        else:
            for process in (launching, psutil.Process(owner.pid)):
                process.suspend()
            owner.kill()
            launching.kill()
        owner.wait()
        assert gone(server.pid) and gone(launching.pid)
        if victim != "launcher and owner":  # then the kernel tells the server only
            assert gone(int(child.read_text()))
        else:
            os.kill(int(child.read_text()), signal.SIGKILL)
    held.close()


def test_a_port_is_nobody_elses_while_it_is_held() -> None:
    held = _reserve("127.0.0.1", None)
    held.listen()
    with pytest.raises(UserError, match=r"serve\.port: \d+ is taken"):
        _reserve("127.0.0.1", held.getsockname()[1])
    held.close()


def test_a_log_has_a_largest_size_and_its_last_lines_are_told(tmp_path: Path) -> None:
    path = tmp_path / "server-0.1.log"
    log = launcher.Log(str(path), largest=1000)
    for number in range(300):
        log.write(f"line {number}\n".encode())
        assert path.stat().st_size <= 1000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["server-0.1.log", "server-0.1.log.1"]
    both = (tmp_path / "server-0.1.log.1").read_text() + path.read_text()
    assert both.splitlines() == [f"line {n}" for n in range(300)][-len(both.splitlines()) :] and len(both) > 1000
    for number in range(300, 300 + len("line 300\n")):  # whatever has just begun anew
        log.write(f"line {number}\n".encode())
        assert f"line {number - 1}\n" in supervised._last_lines(path) and f"line {number}" in supervised._last_lines(
            path
        )
    huge = b"x" * 5000 + b"\n"
    log.write(huge)
    assert path.read_bytes() == huge, "a line is never torn"
