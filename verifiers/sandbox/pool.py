"""The sandbox: runs programs in warm, isolated workers and says what they did, never whether they were right.

Invariants: nothing of one program reaches the next; a program that breaks its limits costs its own time only; a failure
of the sandbox is told apart from anything a program can do. May be used from any thread and from daemonic processes.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, count
from pathlib import Path
from typing import Any

from synthflow.errors import InfrastructureError, UserError
from synthflow.verifiers.sandbox import launch
from synthflow.verifiers.sandbox.layers import STACKS, Isolation, Stack, expected, uncovered
from synthflow.verifiers.sandbox.limits import Limits
from synthflow.verifiers.workers.pool import Outcome, WorkerPool
from synthflow.verifiers.workers.worker import Worker

_GRACE_S = 20.0  # what the supervisor, which has clocks of its own, may be late by before its worker is killed
_ASKED_KB = 1024  # what tests may tell of calls at once
_PATIENCE = 10  # a program on a crowded machine may take so many times its limit, which counts its own time only
_ENV = {"PYTHONHASHSEED": "0", "LD_BIND_NOW": "1"}  # what a fork would bind anew for itself is bound before
_started = count()


@dataclass(frozen=True, slots=True)
class Program:
    """Code to run. With `stdin` alone it is a script; with `calls` it is loaded, and then called: name, args, kwargs.

    Arguments are plain JSON; what JSON lacks is written as `_values.Encoder` does. `code` may be several texts: the
    first that compiles is run. With `keep` answers tell what became of the arguments. With `asking` the code is not a
    program but tests of one: see `_asking`.
    """

    code: str | Sequence[str]
    stdin: str = ""
    calls: Sequence[tuple[str, Sequence[Any], Mapping[str, Any]]] | None = None
    keep: bool = False
    asking: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program did.

    `ended`: exited, timeout, program_timeout, memory, disk or output (a limit), full (the answers of its calls took all
    room; those left may be asked for anew), killed (by the machine), setup or sandbox_error (the sandbox failed;
    `stderr` says how). `exit` is its status, negative for a signal. `answers` are lines of JSON as the program wrote
    them: a claim, to be parsed with care. `compiled` says which text was run, -1 for none: that is no claim, it is
    written before. Seconds and MiB as measured outside; `waited_s` is what it was ready and had no core.
    """

    ended: str
    exit: int = 0
    stdout: str = ""
    stderr: str = ""
    answers: Sequence[str] = ()
    cpu_s: float = 0.0
    wall_s: float = 0.0
    waited_s: float = 0.0
    peak_mb: float = 0.0
    compiled: int | None = None

    @property
    def failed(self) -> bool:
        """Whether the sandbox, not the program, is to blame."""
        return self.ended in ("killed", "setup", "sandbox_error")


class _SandboxWorker(Worker):
    """A zygote. Requests carry their length, so that each is read by the process that runs it and by no other."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        super().__init__(plan, _ENV)

    def _command(self, config: Mapping[str, Any], env: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
        return launch.command(self._plan), dict(env)

    @staticmethod
    def _frame(index: int, line: bytes) -> bytes:
        body = b"[%d,%b]" % (index, line)
        return b"%08x %b" % (len(body), body)

    def kill(self) -> None:
        """Let an idle zygote end by itself, which leaves no zombies behind it; kill it otherwise."""
        if self.alive and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            if not self.in_flight:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(2)
            elif self._plan["setup"] != "bubblewrap":
                self._process.terminate()  # its handler ends the program and removes the directory
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(2)
        super().kill()


class _Workers(WorkerPool):
    def __init__(self, plan: dict[str, Any], workers: int, timeout_s: float) -> None:
        super().__init__("", workers=workers, timeout_s=timeout_s, recycle_after=20_000, start_timeout_s=60)
        self._plan = plan

    def start_worker(self) -> Worker:
        uids = launch.program_uids()
        own = {
            "parent": self._plan["parent"] and os.getpid(),
            "uid": self._plan["uid"] and uids[next(_started) % len(uids)],
        }
        return _SandboxWorker({**self._plan, **own})

    def keep_spare(self) -> None:
        """None: programs are ended one by one inside of a zygote, which itself is seldom killed."""


class Sandbox:
    """Runs programs under one stack of layers.

    Args:
        stack: which namespaces: `bubblewrap`, `unshare`, `landlock` (none), or `auto` for the first that works here.
        isolation: `strict` refuses unless every threat is covered; `weak` takes the layers there are; `none` takes
            no layers but resource limits.
        packages: what programs may import besides the standard library; imported once, before the forks.
        without: layers to leave out, for tests of the others.

    Raises:
        UserError: if the layers at hand are too few.
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        limits: Limits | None = None,
        stack: Stack | str = "auto",
        isolation: Isolation = "strict",
        packages: Sequence[str] = (),
        without: Sequence[str] = (),
    ) -> None:
        self.limits = limits or Limits()
        self.stack, self.layers = _choose(stack, isolation, frozenset(without))
        plan = launch.plan(self.stack, self.layers, packages, self.limits.processes > 1)
        _sweep()
        self._pool = _Workers(plan, workers, _PATIENCE * self.limits.program_s + _GRACE_S)

    @property
    def name(self) -> str:
        """The isolation in a few words, such as `bubblewrap+landlock+seccomp`."""
        if self.layers <= {"rlimits"}:
            return "none"
        return "+".join([self.stack, *sorted(self.layers & {"landlock", "seccomp"} - {self.stack})])

    @property
    def pids(self) -> list[int]:
        return self._pool.pids

    def run(self, programs: Sequence[Program]) -> list[Ran]:
        """What each program did, in order.

        Raises:
            InfrastructureError: if no worker can start.
        """
        limits = self.limits.as_json()
        items = [_request(program, limits) for program in programs]
        return [_ran(outcome) for outcome in self._pool.map(items)]

    def close(self) -> None:
        """End the workers. Idempotent."""
        self._pool.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _request(program: Program, limits: dict[str, Any]) -> dict[str, Any]:
    code = [program.code] if isinstance(program.code, str) else list(program.code)
    request: dict[str, Any] = {"code": code, "stdin": program.stdin, "limits": limits}
    if program.calls is not None:
        request["calls"] = [[name, list(args), dict(kwargs)] for name, args, kwargs in program.calls]
        request["keep"] = program.keep
    if program.asking is not None:
        request |= {"asking": program.asking, "limits": {**limits, "output_kb": _ASKED_KB}}
    return request


def _ran(outcome: Outcome) -> Ran:
    if outcome.reason is not None:
        return Ran("sandbox_error", stderr=f"{outcome.reason}: {outcome.detail or ''}", wall_s=outcome.elapsed_s)
    stdout, answers = (_text(outcome.value[name]) for name in ("stdout", "answers"))
    return Ran(**{**outcome.value, "stdout": stdout, "answers": answers.split("\n")[:-1]})


def _text(data: str) -> str:
    return base64.b64decode(data).decode("utf-8", "replace")


def _choose(stack: str, isolation: Isolation, without: frozenset[str]) -> tuple[Stack, frozenset[str]]:
    known = [*STACKS, "auto"]
    if stack not in known:
        raise UserError(f"no stack is called {stack!r}; known: {', '.join(known)}")
    if isolation == "none":
        return "landlock", frozenset({"rlimits"}) - without
    reasons = []
    for name in STACKS if stack == "auto" else (stack,):
        layers = expected(name) - without  # type: ignore[arg-type]
        if (lacking := uncovered(layers)) and isolation == "strict":
            reasons.append(f"{name}: nothing covers {'; '.join(lacking)}")
            continue
        found, problem = _most_that_work(name, layers, isolation)  # type: ignore[arg-type]
        if found is not None:
            return name, found  # type: ignore[return-value]
        reasons.append(f"{name}: {problem}")
    raise UserError(
        "too few layers of isolation to run programs of a model here:\n  "
        + "\n  ".join(reasons)
        + "\n  install bubblewrap, or use a kernel with seccomp and Landlock; `isolation: weak` in the spec takes what"
        " there is"
    )


@dataclass(frozen=True, slots=True)
class Found:
    """What a stack has here: its layers, or why programs cannot run under it."""

    layers: Sequence[str] = ()
    problem: str = ""


def describe() -> dict[str, Found]:
    """Every stack, tried with one program each, the preferred one first."""
    found: dict[str, Found] = {}
    for name in STACKS:
        try:
            _, layers = _choose(name, "strict", frozenset())
            found[name] = Found(sorted(layers))
        except UserError as error:
            found[name] = Found(problem=" ".join(str(error).splitlines()[1].split()).removeprefix(f"{name}: "))
    return found


def _most_that_work(stack: Stack, layers: frozenset[str], isolation: Isolation) -> tuple[frozenset[str] | None, str]:
    """The layers without the fewest that this kernel refuses; or None, and why the whole was refused."""
    optional = sorted(layers & {"landlock", "seccomp", "uid"})
    for size in range(len(optional) + 1):
        for less in combinations(optional, size):
            left = layers - set(less)
            if isolation == "strict" and uncovered(left):
                continue
            if not trial(stack, left):
                return left, ""
    return None, trial(stack, layers)


@cache
def trial(stack: Stack, layers: frozenset[str]) -> str:
    """Why a program cannot run under these layers here; empty if one just did. Remembered for the process."""
    try:
        pool = _Workers(launch.plan(stack, layers, (), False), 1, 60)
    except UserError as error:
        return str(error)
    try:
        (outcome,) = pool.map([_request(Program("print(6 * 7)"), Limits().as_json())])
        ran = _ran(outcome)
    except (InfrastructureError, UserError) as error:
        return str(error)
    finally:
        pool.close()
    if ran.ended == "exited" and ran.stdout == "42\n":
        return ""
    return f"{ran.ended}: {(ran.answers[0] if ran.answers else ran.stderr)[:300]}"


def _sweep() -> None:
    """Remove directories that programs had, of owners that were killed with everything below them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{launch.PREFIX}*"):
        owner = folder.name.removeprefix(launch.PREFIX).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(folder, ignore_errors=True)
