"""The process that becomes the untrusted program: takes its layers on, runs the code, answers on a private descriptor.

Invariants: every layer is in force before the first line of the program runs, and one that cannot be taken on ends the
process before that; the process holds no descriptor but its standard streams and the one it answers on; what it answers
is a claim about values, as plain JSON, and says nothing about right or wrong. It never returns.
"""

from __future__ import annotations

import base64
import builtins
import contextlib
import fcntl
import gc
import io
import json
import linecache
import marshal
import os
import random
import resource
import signal
import sys
import types
from typing import Any, NoReturn

from synthflow.verifiers.sandbox import _asking, _kernel, _nodes, _site, _values

ANSWERS = 3
"""The descriptor that a program answers on. Before it runs two lines are written there, which it cannot forge:
CONFINED, once the layers are in force, or why they are not; then which of its texts compiled, -1 for none."""

CONFINED = b"confined\n"


class Cell:
    """What every program of a worker gets alike, made once, before the first is forked.

    A fork is dear because of the pages that the program then writes to, be it a reference count: the less of Python
    happens in it before the program runs, the better.
    """

    def __init__(self, plan: dict[str, Any], ruleset: int) -> None:
        self._plan, self._ruleset = plan, ruleset
        self._layers = frozenset(plan["layers"])
        self._uid = plan["uid"]
        self._keep = _kernel.CAP_DAC_READ_SEARCH if self._uid and plan["search"] else 0
        self._filter = _kernel.Filter(base64.b64decode(plan["filter"]))
        self.site = _site.provided()
        self._builtins = {**vars(builtins), **self.site}
        self._left: dict[str, Any] = {}
        self._encode = json.JSONEncoder(ensure_ascii=True).encode
        for at, name in enumerate(("stdin", "stdout", "stderr")):
            stream = _stream(at)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        sys.argv = ["program.py"]

    def become(self, fds: list[int]) -> NoReturn:
        """Run a request to its end; `fds` are the request, standard input, output and error, and answers."""
        answers = fds[4]
        try:
            box, request = marshal.loads(os.pread(fds[0], os.lseek(fds[0], 0, os.SEEK_END), 0))
            # Descriptors 0 to 3 are the program's; out of each other's way first.
            for at, fd in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD, 32) for fd in fds[1:]]):
                os.dup2(fd, at)
            answers = ANSWERS
            self._confine(request["limits"], box)
        except BaseException as error:
            os.write(answers, f"{type(error).__name__}: {error}".encode()[:1000].replace(b"\n", b" ") + b"\n")
            os._exit(1)
        status = 1
        try:
            os.write(ANSWERS, CONFINED)
            status = self._run(request, box)
        finally:
            os._exit(status)

    def _confine(self, limits: dict[str, Any], box: str) -> None:
        layers, uid, keep = self._layers, self._uid, self._keep
        if "ipc" in layers:
            _kernel.unshare(_kernel.CLONE_NEWIPC)
        os.chdir(box)
        if "rlimits" in layers:
            _rlimits(limits, self._plan["count_processes"])
        if uid:
            _kernel.prctl(_kernel.PR_SET_KEEPCAPS, 1)
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        # The filters below ask for no_new_privs, or for a capability.
        privileged = "no_new_privs" not in layers and _kernel.capable_of_mounting()
        _kernel.keep_capabilities(keep | _kernel.CAP_SYS_ADMIN if privileged else keep)
        _kernel.prctl(_kernel.PR_SET_DUMPABLE, 0)
        _kernel.prctl(_kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of user has cleared it
        if "no_new_privs" in layers:
            _kernel.prctl(_kernel.PR_SET_NO_NEW_PRIVS, 1)
        if "landlock" in layers:
            _kernel.restrict(self._ruleset if self._ruleset >= 0 else _kernel.landlock(self._plan, box))
        os.closerange(ANSWERS + 1, 65536)
        if "seccomp" in layers:
            self._filter.install()
        if privileged:
            _kernel.keep_capabilities(keep)

    def _run(self, request: dict[str, Any], box: str) -> int:
        random.seed(0)  # the same program says the same twice
        gc.enable()
        status = 0
        try:
            if "asking" in request:
                self._answer(_asking.run(request["asking"], request["code"][0], self.site))
            else:
                self._program(request, box)
        except SystemExit as end:
            status = _exit_status(end.code)
        except BaseException as error:
            status = 1
            _complain(error)
        return _finish(status, self._left)

    def _program(self, request: dict[str, Any], box: str) -> None:
        """Run a script; or load a program, which is then not the main one, and call its functions."""
        calls = request.get("calls")
        name = "__main__" if calls is None else "solution"
        main = sys.modules[name] = types.ModuleType(name)
        names = main.__dict__
        names["__builtins__"] = builtins if calls is None else self._builtins
        names["__file__"] = f"{box}/program.py"
        exec(_compiled(request["code"]), names)
        self._left = names
        if calls is not None:
            self._answer({"loaded": True})
            for called, args, kwargs in calls:
                self._answer(_call(names, called, args, kwargs, request["keep"]))

    def _answer(self, value: dict[str, Any]) -> None:
        try:
            data = self._encode(value).encode("ascii")
        except BaseException:
            data = b'{"error": "TypeError: the result cannot be written as JSON"}'
        view = memoryview(data + b"\n")
        while view:
            view = view[os.write(ANSWERS, view) :]

    def rehearse(self) -> None:
        """Go through what every program goes through, as far as it can be done here, so that caches are warm."""
        names: dict[str, Any] = {"__builtins__": self._builtins}
        for _ in range(10):
            exec(compile("import math\ndef f(x):\n    return [i * i for i in range(x)]\n", "rehearsal", "exec"), names)
            self._encode(_call(names, "f", [3], {}, False))
            random.seed(0)


def _rlimits(limits: dict[str, Any], count_processes: bool) -> None:
    mb = 1 << 20
    cpu = int(limits["program_s"]) + 1  # of all calls: the supervisor's clock is for each of them
    wanted = {
        resource.RLIMIT_AS: limits["memory_mb"] * mb,
        resource.RLIMIT_CPU: cpu,
        resource.RLIMIT_FSIZE: limits["disk_mb"] * mb,
        resource.RLIMIT_NOFILE: limits["files"],
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if count_processes:
        # Where it is of our user, the supervisor and the zygote count too.
        wanted[resource.RLIMIT_NPROC] = limits["processes"] + limits["threads"] + 2
    for which, value in wanted.items():
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))
    deepest = resource.getrlimit(resource.RLIMIT_STACK)[1]  # programs may raise it: their memory has a limit anyway
    resource.setrlimit(resource.RLIMIT_STACK, (min(64 * mb, deepest) if deepest >= 0 else 64 * mb, deepest))


def _stream(at: int) -> io.TextIOWrapper:
    """A standard stream as the interpreter makes it: named, with a mode, in UTF-8."""
    raw = io.FileIO(at, "wb" if at else "rb", closefd=False)
    raw.name = ("<stdin>", "<stdout>", "<stderr>")[at]
    file: Any = (io.BufferedReader, io.BufferedWriter, lambda raw: raw)[at](raw)  # standard error has no buffer
    stream = io.TextIOWrapper(file, "utf-8", "replace", line_buffering=at == 2)
    stream.mode = "w" if at else "r"  # type: ignore[misc]
    return stream


def _compiled(texts: list[str]) -> types.CodeType:
    """The first text that compiles."""
    problem: BaseException | None = None
    for at, text in enumerate(texts):
        try:
            code = compile(text, "program.py", "exec", dont_inherit=True)
        except BaseException as error:
            problem = problem or error
            continue
        os.write(ANSWERS, b"%d\n" % at)
        linecache.cache["program.py"] = (len(text), None, text.splitlines(True), "program.py")
        return code
    assert problem is not None
    os.write(ANSWERS, b"-1\n")
    raise problem


def _finish(status: int, names: dict[str, Any]) -> int:
    """What the interpreter does at its end: threads are waited for, exit functions run, files flushed and let go."""
    import atexit
    import threading

    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException as error:
        _complain(error)
        status = status or 1
    status = _flush(status)
    if names.get("__name__") == "__main__":
        with contextlib.suppress(BaseException):
            names.clear()  # a file that was never closed writes what it holds when nobody has it any more
        status = _flush(status)
    return status


def _flush(status: int) -> int:
    for stream in dict.fromkeys((sys.stdout, sys.__stdout__, sys.stderr)):
        try:
            if stream is not None:
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


def _call(names: dict[str, Any], name: str, args: list[Any], kwargs: dict[str, Any], keep: bool) -> dict[str, Any]:
    given: list[Any] = []
    try:
        found = _find(names, name)
        given = [_values.decode(a) for a in args]
        nodes = _nodes.annotated(found)
        taken = _nodes.given(nodes, found, given, names) if nodes else given
        result = found(*taken, **{k: _values.decode(v) for k, v in kwargs.items()})
        result = _nodes.plain(result, nodes["return"]) if "return" in nodes else result
        answer = {"value": _values.encode(result)}
    except BaseException as error:
        answer = {"error": _told(error), "kind": type(error).__name__[:100]}
    if keep:
        with contextlib.suppress(BaseException):
            now = [_values.encode(a) for a in given]
            answer |= {"args": now} if now != args else {}
    return answer


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
    own = [made for made in names.values() if isinstance(made, type) and made.__module__ == "solution"]
    for solution in sorted(own, key=lambda made: made.__name__ != "Solution"):
        if hasattr(solution, name):
            return getattr(solution(), name)
    raise NameError(f"the program defines no {name!r}")
