"""The process that becomes the untrusted program: takes its layers on, runs the code, answers on a private descriptor.

Invariants: every layer is in force before the first line of the program runs, and one that cannot be taken on ends the
process before that; the process holds no descriptor but its standard streams and the one it answers on; what it answers
is a claim about values, as plain JSON, and says nothing about right or wrong. It never returns.
"""

from __future__ import annotations

import base64
import fcntl
import gc
import io
import json
import os
import random
import resource
import signal
import sys
import types
from typing import Any

from synthflow.verifiers.sandbox import _kernel, _values

SETUP_FAILED = 113
"""Exit status of a process whose layers could not be taken on; the reason is on the answer descriptor."""

ANSWERS = 3


def become(request: dict[str, Any], plan: dict[str, Any], fds: dict[str, int], box: str) -> None:
    """Run a request to its end. `plan` says which layers; `fds` holds `out`, `err`, `answers`; `box` the directory."""
    try:
        _streams(request, fds)
        _confine(request["limits"], plan, box)
    except BaseException as error:
        os.write(ANSWERS, json.dumps({"setup": f"{type(error).__name__}: {error}"}).encode() + b"\n")
        os._exit(SETUP_FAILED)
    status = 1
    try:
        status = _run(request)
    finally:
        os._exit(status)


def _streams(request: dict[str, Any], fds: dict[str, int]) -> None:
    """Descriptors 0 to 3 are the program's; all others are closed."""
    source = os.memfd_create("stdin", 0)
    text = memoryview(request.get("stdin", "").encode("utf-8", "surrogatepass"))
    while text:
        text = text[os.write(source, text) :]
    os.lseek(source, 0, os.SEEK_SET)
    given = (source, fds["out"], fds["err"], fds["answers"])
    for at, fd in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD, 32) for fd in given]):  # out of each other's way first
        os.dup2(fd, at)
    os.closerange(ANSWERS + 1, 65536)


def _confine(limits: dict[str, Any], plan: dict[str, Any], box: str) -> None:
    layers = plan["layers"]
    if "mount" in layers:
        data = f"size={limits['disk_mb']}m,nr_inodes={limits['inodes']},mode=0700"
        owner = f",uid={plan['uid']},gid={plan['uid']}" if plan["uid"] else ""
        quiet = _kernel.MS_NOSUID | _kernel.MS_NODEV
        _kernel.mount("tmpfs", box, "tmpfs", quiet | _kernel.MS_NOEXEC, data + owner)
        _kernel.mount("tmpfs", "/proc", "tmpfs", quiet | _kernel.MS_RDONLY, "size=4k,mode=0555")
    os.chdir(box)
    for number in range(1, 65):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    if "rlimits" in layers:
        _rlimits(limits, plan)
    keep = 0
    if plan["uid"]:
        keep = _kernel.CAP_DAC_READ_SEARCH if plan["search"] else 0
        _kernel.prctl(_kernel.PR_SET_KEEPCAPS, 1)
        os.setgroups([])
        os.setresgid(plan["uid"], plan["uid"], plan["uid"])
        os.setresuid(plan["uid"], plan["uid"], plan["uid"])
    _kernel.bound_capabilities()
    # The filters below ask for no_new_privs, or for a capability.
    privileged = "no_new_privs" not in layers and _kernel.capable_of_mounting()
    _kernel.keep_capabilities(keep | _kernel.CAP_SYS_ADMIN if privileged else keep)
    _kernel.prctl(_kernel.PR_SET_DUMPABLE, 0)
    _kernel.prctl(_kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of user has cleared it
    if "no_new_privs" in layers:
        _kernel.prctl(_kernel.PR_SET_NO_NEW_PRIVS, 1)
    if "landlock" in layers:
        _kernel.landlock([*plan["readable"], "/dev/null", "/dev/zero", "/dev/urandom"], [box, "/dev/null"], plan["abi"])
    if "seccomp" in layers:
        _kernel.seccomp(base64.b64decode(plan["filter"]))
    if privileged:
        _kernel.keep_capabilities(keep)


def _rlimits(limits: dict[str, Any], plan: dict[str, Any]) -> None:
    mb = 1 << 20
    cpu = int(limits["cpu_s"]) + 1
    wanted = {
        resource.RLIMIT_AS: limits["memory_mb"] * mb,
        resource.RLIMIT_CPU: cpu,
        resource.RLIMIT_FSIZE: limits["disk_mb"] * mb,
        resource.RLIMIT_NOFILE: limits["files"],
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_STACK: 64 * mb,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if plan["count_processes"]:
        wanted[resource.RLIMIT_NPROC] = limits["processes"] + limits["threads"]
    for which, value in wanted.items():
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))


def _run(request: dict[str, Any]) -> int:
    out = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "wb", closefd=False), 1 << 16), "utf-8", "replace")
    err = io.TextIOWrapper(io.FileIO(2, "wb", closefd=False), "utf-8", "replace", line_buffering=True)
    source = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "rb", closefd=False)), "utf-8", "replace")
    sys.stdin = sys.__stdin__ = source  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = out  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = err  # type: ignore[misc]
    sys.argv = ["program.py"]
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    random.seed(0)  # the same program says the same twice
    gc.enable()
    status = 0
    try:
        exec(compile(request["code"], "program.py", "exec", dont_inherit=True), main.__dict__)
        if "calls" in request:
            _answer({"loaded": True})
            for name, args, kwargs in request["calls"]:
                _answer(_call(main.__dict__, name, args, kwargs))
    except SystemExit as end:
        status = _exit_status(end.code)
    except BaseException as error:
        status = 1
        _complain(error)
    return _finish(status)


def _finish(status: int) -> int:
    """What the interpreter does at its end: threads are waited for, exit functions run, streams are flushed."""
    import atexit
    import threading

    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException as error:
        _complain(error)
        status = status or 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            status = status or 120
    return status


def _exit_status(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def _complain(error: BaseException) -> None:
    import traceback

    try:
        lines = traceback.format_exception(type(error), error, error.__traceback__, limit=-3)
        sys.stderr.write("".join(lines)[-4000:])
    except BaseException:
        os.write(2, b"error that cannot be shown\n")


def _answer(value: dict[str, Any]) -> None:
    try:
        data = json.dumps(value, ensure_ascii=True).encode("ascii")
    except BaseException:
        data = b'{"error": "TypeError: the result cannot be written as JSON"}'
    view = memoryview(data + b"\n")
    while view:
        view = view[os.write(ANSWERS, view) :]


def _call(names: dict[str, Any], name: str, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    try:
        found = _find(names, name)
        given = [_values.decode(a) for a in args]
        result = found(*given, **{k: _values.decode(v) for k, v in kwargs.items()})
        return {"value": _values.encode(result)}
    except BaseException as error:
        return {"error": _told(error), "kind": type(error).__name__[:100]}


def _told(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:300]
    except BaseException:
        return type(error).__name__[:100]


def _find(names: dict[str, Any], name: str) -> Any:
    """A function, or a method of a class without arguments, as LeetCode's `Solution` has it."""
    owner, _, attribute = name.rpartition(".")
    if owner:
        found = names[owner]
        return getattr(found() if isinstance(found, type) else found, attribute)
    if name in names:
        return names[name]
    solution = names.get("Solution")
    if isinstance(solution, type) and hasattr(solution, name):
        return getattr(solution(), name)
    raise NameError(f"the program defines no {name!r}")
