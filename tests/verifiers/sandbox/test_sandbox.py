"""The sandbox itself: what it reports, what it refuses, and that it leaves nothing behind, however it ends."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import multiprocessing
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from support.sandbox_host import needs
from synthflow.errors import UserError
from synthflow.verifiers.sandbox import STACKS, Limits, Program, Ran, Sandbox, launch, layers, pool, seccomp

QUICK = Limits(cpu_s=1, wall_s=3, memory_mb=256)


@pytest.fixture(scope="module", params=STACKS)
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    needs(request.param)
    with Sandbox(stack=request.param, limits=QUICK) as made:
        yield made


def run(sandbox: Sandbox, code: str, stdin: str = "") -> Ran:
    (ran,) = sandbox.run([Program(textwrap.dedent(code), stdin)])
    return ran


def test_a_script_and_a_call(sandbox: Sandbox) -> None:
    script, call = sandbox.run(
        [
            Program("import sys\nprint(sys.stdin.read().upper(), end='')\nprint('é', file=sys.stderr)", "größe\n\x00"),
            Program("def f(a, b=2): return (a, [b], {'k': {1}})", calls=[("f", [1], {"b": 3}), ("g", [], {})]),
        ]
    )
    assert (script.ended, script.exit, script.stdout, script.stderr) == ("exited", 0, "GRÖSSE\n\x00", "é\n")
    assert call.answers[0] == '{"loaded": true}'
    assert call.answers[1] == '{"value": {"$tuple": [1, [3], {"$dict": [["k", {"$set": [1]}]]}]}}'
    assert "NameError" in call.answers[2]


def test_honest_programs_work(sandbox: Sandbox) -> None:
    code = """
    import asyncio, sqlite3, tempfile, threading, sys, zoneinfo
    from concurrent.futures import ThreadPoolExecutor
    sys.setrecursionlimit(200_000)
    def deep(n): return 0 if n == 0 else 1 + deep(n - 1)
    async def later():
        await asyncio.sleep(0.001)
        return 5
    threading.stack_size(16 << 20)
    with open("notes.txt", "w") as file: file.write("kept")
    with ThreadPoolExecutor(4) as threads: total = sum(threads.map(abs, range(-9, 0)))
    print(asyncio.run(later()), deep(50_000), total, open("notes.txt").read())
    print(sqlite3.connect(":memory:").execute("select 6 * 7").fetchone(), zoneinfo.ZoneInfo("Europe/Rome"))
    """
    ran = run(sandbox, code)
    assert ran.stdout == "5 50000 45 kept\n(42,) Europe/Rome\n", ran


def test_limits_are_told_apart(sandbox: Sandbox) -> None:
    ends = [
        run(sandbox, code).ended
        for code in ("while True: pass", "import time; time.sleep(9)", "while True: print('x' * 999)")
    ]
    assert ends == ["timeout", "timeout", "output"]
    memory = run(sandbox, "bytearray(1 << 30)")
    assert memory.exit == 1 and "MemoryError" in memory.stderr
    assert memory.cpu_s < 1 and memory.peak_mb < 256


def test_output_that_grows_in_json_is_no_failure_of_the_sandbox(sandbox: Sandbox) -> None:
    code = "import os\nos.write(1, bytes(500_000))\nos.write(3, b'\\xff' * 500_000)"
    ran = run(sandbox, code)
    assert ran.ended == "exited" and len(ran.stdout) == 500_000, ran.ended


def test_the_same_program_says_the_same_twice(sandbox: Sandbox) -> None:
    code = "import random; print(random.random(), hash('a'), list({'x', 'y', 'z'}))"
    assert run(sandbox, code).stdout == run(sandbox, code).stdout


def test_a_program_killed_from_outside_is_the_machines_fault(sandbox: Sandbox) -> None:
    found: list[Ran] = []
    thread = threading.Thread(target=lambda: found.append(run(sandbox, "import time; time.sleep(2.5)")))
    thread.start()
    deadline = time.monotonic() + 10
    while not (victims := _programs(sandbox)) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    victims = _programs(sandbox)
    victims[-1].kill()
    thread.join()
    assert found[0].ended == "killed" and found[0].failed
    assert run(sandbox, "print(1)").stdout == "1\n"


def _programs(sandbox: Sandbox) -> list[psutil.Process]:
    """Processes of a worker below its waiting supervisor, the deepest last."""
    tree = psutil.Process(sandbox.pids[0]).children(recursive=True) if sandbox.pids else []
    parents = {p.ppid() for p in tree}
    return [p for p in tree if p.pid not in parents and p.ppid() in {q.pid for q in tree}]


def test_a_killed_worker_costs_one_program(sandbox: Sandbox) -> None:
    (pid,) = sandbox.pids
    for process in [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    assert run(sandbox, "print(1)").stdout in ("1\n", "")
    assert run(sandbox, "print(1)").stdout == "1\n"
    assert sandbox.pids != [pid]


def test_numbers_of_system_calls_are_those_of_libseccomp() -> None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        assert not os.environ.get("CI"), "libseccomp is not installed"
        pytest.skip("libseccomp is not installed")
    for column, arch in enumerate((0xC000003E, 0xC00000B7)):
        for name, numbers in {**seccomp.CALLS, **seccomp.PATH_CALLS, **seccomp.CONDITIONAL}.items():
            known = library.seccomp_syscall_resolve_name_arch(ctypes.c_uint32(arch), name.encode())
            assert numbers[column] == (known if known >= 0 else None), name


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("paths", [True, False])
@pytest.mark.parametrize("processes", [True, False])
def test_no_jump_of_the_filter_leaves_it(machine: str, paths: bool, processes: bool) -> None:
    program = seccomp.assemble(paths=paths, processes=processes, machine=machine)
    ops = [program[at : at + 8] for at in range(0, len(program), 8)]
    assert len(ops) < 4096
    for at, op in enumerate(ops):
        code = int.from_bytes(op[:2], "little")
        if code in (0x15, 0x35, 0x45):
            assert at + 1 + max(op[2], op[3]) < len(ops)
    assert int.from_bytes(ops[-1][:2], "little") == 0x06


def test_too_few_layers_are_refused() -> None:
    with pytest.raises(UserError, match=r"network \(needs net or seccomp\)"):
        Sandbox(stack="landlock", without=["seccomp"])
    with pytest.raises(UserError, match="no stack is called"):
        Sandbox(stack="docker")
    with pytest.raises(UserError, match="not installed here"):
        Sandbox(packages=["no_such_package"])
    with Sandbox(stack="landlock", without=["seccomp"], isolation="weak") as weak:
        assert "seccomp" not in weak.layers
    with Sandbox(isolation="none") as none:
        assert none.layers == {"rlimits"} and none.name == "none"
        assert run(none, "print(1)").stdout == "1\n"


def test_every_threat_names_layers_that_exist() -> None:
    for covering in layers.COVERS.values():
        assert set(covering) <= set(layers.LAYERS)
    assert layers.uncovered(layers.LAYERS) == []
    assert len(layers.uncovered([])) == len(layers.COVERS)


def test_packages_can_be_allowed() -> None:
    with Sandbox(packages=["numpy"], limits=Limits(memory_mb=1024)) as made:
        ran = run(made, "import numpy as np\nprint(np.arange(10).sum())")
        assert ran.stdout == "45\n", ran


@pytest.mark.parametrize("stack", STACKS)
def test_processes_can_be_allowed(stack: str) -> None:
    needs(stack)
    code = (
        "import os\npid = os.fork()\nif pid == 0: os._exit(7)\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    with Sandbox(stack=stack, limits=Limits(processes=4)) as made:
        assert run(made, code).stdout == "7\n"
        daemon = "import os, time\nif os.fork() == 0:\n    if os.fork() == 0: time.sleep(60)\n    os._exit(0)"
        assert run(made, daemon).exit == 0
        deadline = time.monotonic() + 5
        while len(psutil.Process(made.pids[0]).children(recursive=True)) > 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(psutil.Process(made.pids[0]).children(recursive=True)) <= 3


def test_it_may_be_used_from_threads() -> None:
    with Sandbox(workers=2, limits=QUICK) as made:
        found: dict[int, str] = {}

        def ask(n: int) -> None:
            for ran in made.run([Program(f"print({n})")] * 5):
                found[n] = ran.stdout

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {n: f"{n}\n" for n in range(6)}


def _in_a_daemon(queue: multiprocessing.Queue[str]) -> None:
    with Sandbox(limits=QUICK) as made:
        queue.put(run(made, "print(5)").stdout)


def test_it_may_be_used_from_a_daemonic_process() -> None:
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[str] = context.Queue()
    process = context.Process(target=_in_a_daemon, args=(queue,), daemon=True)
    process.start()
    assert queue.get(timeout=30) == "5\n"
    process.join(10)


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_outlives_a_parent_that_is_killed(stack: str) -> None:
    needs(stack)
    code = f"""
    from synthflow.verifiers.sandbox import Program, Sandbox
    made = Sandbox(stack={stack!r})
    made.run([Program("print(1)")])
    print(*made.pids, flush=True)
    made.run([Program("import time; time.sleep(60)")])
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    (pid,) = map(int, parent.stdout.readline().split())
    deadline = time.monotonic() + 10
    while len(family := [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
    assert list(Path(tempfile.gettempdir()).glob(f"{launch.PREFIX}{parent.pid}-*")) == []


def test_directories_of_the_dead_are_removed() -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    stale = Path(tempfile.mkdtemp(prefix=f"{launch.PREFIX}{dead.pid}-"))
    pool._sweep()
    assert not stale.exists()


def decision(program: bytes, number: int, arguments: Sequence[int] = (), arch: int = 0xC000003E) -> int:
    """What a filter returns for a call: the kernel's machine, as far as filters of ours use it."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *(*arguments, *[0] * (6 - len(arguments))))
    at = loaded = 0
    while True:
        code, yes, no, value = struct.unpack_from("<HBBI", program, 8 * at)
        at += 1
        if code == 0x06:
            return int(value)
        if code == 0x20:
            (loaded,) = struct.unpack_from("<I", data, value)
        else:
            took = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[code]
            at += yes if took else no


@pytest.mark.parametrize("paths", [True, False])
@pytest.mark.parametrize("processes", [True, False])
@pytest.mark.parametrize(("column", "machine", "arch"), [(0, "x86_64", 0xC000003E), (1, "aarch64", 0xC00000B7)])
def test_the_filter_allows_what_is_listed_and_nothing_else(
    column: int, machine: str, arch: int, paths: bool, processes: bool
) -> None:
    program = seccomp.assemble(paths=paths, processes=processes, machine=machine)
    allow, nothing, no_path = 0x7FFF0000, 0x50000 | errno.ENOSYS, 0x50000 | errno.EACCES
    listed = {numbers[column] for numbers in seccomp.CALLS.values()}
    with_path = {numbers[column] for numbers in seccomp.PATH_CALLS.values()}
    conditional = {numbers[column] for numbers in seccomp.CONDITIONAL.values()}
    for number in [*range(1024), 0x40000000, 0x40000001, 0x7FFFFFFF, 0xFFFFFFFF]:
        wanted = allow if number in listed else nothing
        wanted = (allow if paths else no_path) if number in with_path else wanted
        if number not in conditional:
            assert decision(program, number, arch=arch) == wanted, number
    assert decision(program, 0, arch=0x40000003) == nothing  # a call of another architecture


def test_a_program_may_raise_its_stack_and_set_no_other_limit() -> None:
    program, prlimit, allow = seccomp.assemble(machine="x86_64"), 302, 0x7FFF0000
    somewhere = 0x7F00_0000_1000
    assert decision(program, prlimit, [0, resource.RLIMIT_STACK, somewhere, 0]) == allow
    assert decision(program, prlimit, [0, resource.RLIMIT_CPU, 0, somewhere]) == allow
    for which in (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_NOFILE):
        for new in (somewhere, 1 << 32, 1):
            assert decision(program, prlimit, [0, which, new, 0]) == 0x50000 | errno.EPERM
    assert decision(program, prlimit, [7, resource.RLIMIT_STACK, 0, somewhere]) == 0x50000 | errno.EPERM


ENDS = {
    "import os; os.kill(os.getpid(), 9)": "exited",
    "import resource as r; r.setrlimit(r.RLIMIT_CPU, (0, 0))\nwhile True: pass": "timeout",
    "import signal; signal.raise_signal(24)": "exited",
    "import os; os.write(3, b'OSError: landlock\\n'); os._exit(113)": "exited",
}


@pytest.mark.parametrize("code", ENDS)
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("without", [(), ("seccomp",), ("pid", "seccomp"), ("landlock", "rlimits")], ids=str)
def test_what_a_program_does_to_itself_is_its_own_doing(stack: str, without: tuple[str, ...], code: str) -> None:
    """Even where the filter does not keep it from it. With a process namespace a program cannot kill itself at all."""
    needs(stack)
    with Sandbox(stack=stack, isolation="weak", without=without, limits=QUICK) as made:
        ran = run(made, code)
        assert not ran.failed, ran
        if "setrlimit" in code and "rlimits" not in without and "seccomp" in without:
            assert ran.ended == ENDS[code], ran


def test_texts_are_tried_in_turn_and_none_that_compiled_can_say_otherwise(sandbox: Sandbox) -> None:
    texts = ["def f(", "x = (", "import os\nos.write(3, b'-1\\n')\nprint(7)"]
    (ran,) = sandbox.run([Program(texts)])
    assert (ran.compiled, ran.stdout) == (2, "7\n")
    (ran,) = sandbox.run([Program(texts[:2])])
    assert ran.compiled == -1 and ran.exit == 1 and "SyntaxError" in ran.stderr
    (ran,) = sandbox.run([Program("x = '\\ud800'\nx = '\ud800'")])
    assert ran.compiled == -1 and not ran.failed


def test_what_was_made_once_is_as_new_for_every_program(sandbox: Sandbox) -> None:
    first = """
    import builtins, json, linecache, sys
    builtins.x = sys.y = json.z = sys.stdout.mark = linecache.cache["y"] = 1
    sys.stdin.read()
    sys.path.append("/x")
    print("out")
    def f(): return 1
    """
    second = """
    import builtins, json, linecache, sys
    print([n for o, n in ((builtins, "x"), (sys, "y"), (json, "z"), (sys.stdout, "mark")) if hasattr(o, n)])
    print("y" in linecache.cache, "/x" in sys.path, sys.stdin.read(), hasattr(builtins, "deque"))
    """
    for calls in (None, [("f", [], {})]):
        sandbox.run([Program(textwrap.dedent(first), "in", calls)])
    assert run(sandbox, second, "again").stdout == "[]\nFalse False again False\n"
