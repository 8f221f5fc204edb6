"""Programs a second: `verify.code` under each stack, beside another build, EvalPlus and a bare subprocess, in one run.

Every arm judges the same programs: a short function with the same three calls, `--workers` at once. With
`--against FOLDER`, a checkout with an environment in `.venv`, that build's verifier judges them too, in turn with this
one's. EvalPlus forks a guarded process a program and does not isolate it (its authors say so); the bare subprocess
appends assertions to the program and trusts the exit code. CPU seconds of the whole process tree are taken from the
kernel after an arm has ended, less those of an arm that judged one program; under bubblewrap the kernel does not hand
them on. A second table takes the layers on one after the other and tells what each costs a program, a third which of
five breaches each arm lets pass. A stack that does not work here is left out, and the result says why. EvalPlus is used
if it can be imported (`pip install --no-deps evalplus==0.3.1`), or from `--evalplus FOLDER`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import measuring

from synthflow.contracts import Question
from synthflow.verifiers.code import CodeVerifier
from synthflow.verifiers.opening import open_verifier
from synthflow.verifiers.sandbox import LAYERS, STACKS, Program, Sandbox, describe

INPUTS = [[3], [50], [1_000]]
EXPECTED = [sum(i * i for i in range(x)) + 7919 for (x,) in INPUTS]
HONEST = "def f(x):\n    return sum(i * i for i in range(x)) + 7919\n"
TESTS = json.dumps({"fn_name": "f", "inputs": INPUTS, "outputs": EXPECTED})
# Wrong programs: an arm that calls one correct, or lets it touch the file it names, has a breach.
WRONG = {
    "equal to everything": "class A:\n    __eq__ = lambda s, o: True\nf = lambda x: A()\n",
    "exit status 0": "import os\ndef f(x): os._exit(0)\n",
    "reads /etc/passwd": "def f(x):\n    open('/etc/passwd').read(); return {touch}\n",
    "writes outside": "def f(x):\n    import _io; _io.open('{mark}', 'w').write('x'); return 0\n",
    "expected values in memory": "import gc\ndef f(x):\n    for o in gc.get_objects():\n"
    "        if type(o) is list and {last} in [i for i in o if type(i) is int]: return o[{inputs}.index([x])]\n",
}


# What a program costs, from the fork alone to every layer: each step adds those named.
STEPS: dict[str, tuple[str, ...]] = {
    "a fork": (),
    "rlimits, no_new_privs": ("rlimits", "no_new_privs"),
    "uid": ("uid",),
    "pid": ("pid",),
    "mount, net": ("mount", "net"),
    "ipc": ("ipc",),
    "landlock": ("landlock",),
    "seccomp": ("seccomp",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--programs", type=int, default=400, help="programs an arm judges (default 400)")
    parser.add_argument("--repeats", type=int, default=3, help="times each arm runs; the fastest counts (default 3)")
    parser.add_argument("--workers", type=int, default=2, help="programs at once (default 2)")
    parser.add_argument("--against", type=Path, help="checkout of another build, with its environment in .venv")
    parser.add_argument("--evalplus", type=Path, help="folder that holds the package evalplus")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        _serve(options.serve, options.workers)
        return
    if options.evalplus:
        sys.path.append(str(options.evalplus))
    found = describe()
    missing = {stack: about.problem for stack, about in found.items() if about.problem}
    for stack, problem in missing.items():
        measuring.say(f"{stack} is left out: {problem}")
    stacks = [stack for stack in STACKS if stack not in missing]
    builds = {f"synthflow {stack}": Build(sys.executable, stack, options.workers) for stack in stacks}
    if options.against:
        python = str(options.against / ".venv/bin/python")
        builds |= {f"before {stack}": Build(python, stack, options.workers) for stack in stacks}
    arms: dict[str, Callable[[Sequence[str]], list[bool]]] = {name: build.judge for name, build in builds.items()}
    arms["bare subprocess"] = lambda codes: _parallel(_bare, codes, options.workers)
    evalplus = _evalplus()
    if evalplus is not None:
        arms["evalplus"] = lambda codes: _parallel(evalplus, codes, options.workers)
    rates: dict[str, list[float]] = {name: [] for name in arms}
    for judge in arms.values():
        assert judge([HONEST]) == [True]
    for _ in range(options.repeats):
        for name, judge in arms.items():  # in turn, so that a busy moment of the machine meets all
            started = time.perf_counter()
            verdicts = judge([HONEST] * options.programs)
            rates[name].append(options.programs / (time.perf_counter() - started))
            assert all(verdicts), f"{name} refused an honest program"
            measuring.say(f"{name:24} {rates[name][-1]:7.1f} programs/s")
    best = {name: max(found) for name, found in rates.items()}
    breaches = {name: _breaches(judge) for name, judge in arms.items() if not name.startswith("before")}
    for build in builds.values():
        build.close()
    cpu = {f"synthflow {stack}": _cpu_ms(stack, options) for stack in stacks if stack != "bubblewrap"}
    cpu |= {name: _cpu_ms_of(arms[name], options.programs) for name in ("bare subprocess", "evalplus") if name in arms}
    ours = best[f"synthflow {stacks[0]}"]
    measuring.print_json(
        {
            "benchmark": "sandbox",
            "ratio_to_before": {stack: _ratio(rates, stack) for stack in stacks if options.against},
            "ratio_to_bare_subprocess": ours / best["bare subprocess"],
            "ratio_to_evalplus": ours / best["evalplus"] if "evalplus" in best else None,
            "programs_per_second": best,
            "cpu_ms_per_program": cpu,
            "cpu_ms_by_layer": _cpu_by_layer(options.programs) if "unshare" in stacks else None,
            "all_repeats": rates,
            "breaches": breaches,
            "layers": {stack: list(found[stack].layers) for stack in stacks},
            "left_out": missing,
            "programs": options.programs,
            "workers": options.workers,
            "evalplus": "measured" if "evalplus" in best else "not installed",
            "machine": measuring.machine(),
        }
    )


def _ratio(rates: dict[str, list[float]], stack: str) -> dict[str, float]:
    """This build's programs a second by those of the other, of each turn: the median, and of the fastest turns."""
    ours, theirs = rates[f"synthflow {stack}"], rates[f"before {stack}"]
    turns = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {"median": statistics.median(turns), "fastest": max(ours) / max(theirs)}


class Build:
    """A build's verifier, in a process of its interpreter: judges programs that it is sent, a list a line."""

    def __init__(self, python: str, stack: str, workers: int) -> None:
        command = [python, __file__, "--serve", stack, "--workers", str(workers)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def judge(self, codes: Sequence[str]) -> list[bool]:
        assert self._process.stdin and self._process.stdout
        print(json.dumps(list(codes)), file=self._process.stdin, flush=True)
        found: list[bool] = json.loads(self._process.stdout.readline())
        return found

    def close(self) -> None:
        self._process.communicate()


def _serve(stack: str, workers: int) -> None:
    verifier = open_verifier("code", {"stack": stack, "workers": workers})
    judge = _synthflow(verifier)
    for line in sys.stdin:
        print(json.dumps(judge(json.loads(line))), flush=True)
    verifier.close()


def _synthflow(verifier: Any) -> Callable[[Sequence[str]], list[bool]]:
    assert isinstance(verifier, CodeVerifier)

    def judge(codes: Sequence[str]) -> list[bool]:
        questions = [Question(str(at), "p", f"```python\n{code}```", None, TESTS) for at, code in enumerate(codes)]
        return [judgement.verdict == "correct" for judgement in verifier.judge(questions)]

    return judge


def _cpu_ms(stack: str, options: argparse.Namespace) -> float:
    """CPU milliseconds a program costs, in all processes: what a run of many costs beyond a run of one."""

    def run(codes: Sequence[str]) -> list[bool]:
        verifier = open_verifier("code", {"stack": stack, "workers": options.workers})
        try:
            return _synthflow(verifier)(codes)
        finally:
            verifier.close()

    return _cpu_ms_of(run, options.programs)


def _cpu_by_layer(programs: int) -> dict[str, float]:
    """CPU milliseconds that each step adds to a program, the median of three turns."""
    found: dict[str, list[float]] = {name: [] for name in STEPS}
    for _ in range(3):
        have: set[str] = set()
        for name, layers in STEPS.items():
            have |= set(layers)
            without = sorted(set(LAYERS) - have)

            def run(codes: Sequence[str], without: Sequence[str] = without) -> list[bool]:
                with Sandbox(stack="unshare", isolation="weak", without=without) as sandbox:
                    calls = [("f", args, {}) for args in INPUTS]
                    return [len(ran.answers) == 4 for ran in sandbox.run([Program(c, calls=calls) for c in codes])]

            found[name].append(_cpu_ms_of(run, programs))
    costs = {name: statistics.median(turns) for name, turns in found.items()}
    before = dict(zip(costs, [0.0, *costs.values()], strict=False))
    return {name: cost - before[name] for name, cost in costs.items()} | {"all": costs[list(costs)[-1]]}


def _cpu_ms_of(judge: Callable[[Sequence[str]], list[bool]], programs: int) -> float:
    used = []
    for count in (1, programs):
        before = _cpu_s()
        judge([HONEST] * count)
        used.append(_cpu_s() - before)
    return 1000 * (used[1] - used[0]) / (programs - 1)


def _cpu_s() -> float:
    """Of this process and of all below it that have ended and been waited for."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def _parallel(one: Callable[[str], bool], codes: Sequence[str], workers: int) -> list[bool]:
    with ThreadPoolExecutor(workers) as threads:
        return list(threads.map(one, codes))


def _bare(code: str) -> bool:
    asserts = "\n".join(f"assert f(*{args}) == {want}" for args, want in zip(INPUTS, EXPECTED, strict=True))
    command = [sys.executable, "-I", "-c", f"{code}\n{asserts}\n"]
    return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0


def _evalplus() -> Callable[[str], bool] | None:
    try:
        from evalplus.eval import PASS, untrusted_check  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        measuring.say(f"evalplus is left out: {error}")
        return None

    def judge(code: str) -> bool:
        status, _ = untrusted_check("humaneval", code, INPUTS, "f", EXPECTED, 0, [0.01] * len(INPUTS))
        return bool(status == PASS)

    return judge


def _breaches(judge: Callable[[Sequence[str]], list[bool]]) -> dict[str, bool]:
    found = {}
    for name, text in WRONG.items():
        folder = Path(tempfile.mkdtemp())
        folder.chmod(0o777)
        mark = folder / "mark"
        code = text.replace("{mark}", str(mark)).replace("{last}", str(EXPECTED[-1])).replace("{inputs}", str(INPUTS))
        # A program that has read what it should not have may answer rightly, so that its arm shows it.
        code = code.replace("{touch}", "sum(i * i for i in range(x)) + 7919")
        (correct,) = judge([code])
        found[name] = correct or mark.exists()
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    return found


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    main()
