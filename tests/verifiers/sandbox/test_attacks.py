"""Every attack, under every stack and with each single layer taken away: contained, judged wrong, and nothing left.

A stack that lacks a layer without which some threat would meet nothing has to be refused instead. Attacks of one
configuration run in one pool of one worker, with an honest program after each (after every fourth where a layer is
missing): it has to be the same worker at the end.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from support.attacks import ATTACKS, Attack
from support.sandbox_host import TOKEN, Host, leftovers, needs, processes
from synthflow.contracts import Judgement, Question
from synthflow.errors import UserError
from synthflow.verifiers.code import CodeVerifier
from synthflow.verifiers.sandbox import STACKS, Limits, Program, Ran, Sandbox
from synthflow.verifiers.sandbox.layers import expected, uncovered

LIMITS = Limits(cpu_s=0.25, wall_s=1.5, program_s=5, memory_mb=256, output_kb=256, disk_mb=16)
INPUTS = (1, 21, 1_000_003)
HONEST = {
    "script": "import sys, collections, heapq\nprint(2 * int(sys.stdin.readline()) + 7919)",
    "call": "import threading, re, math\nfrom typing import *\ndef f(x: int) -> int:\n    out = []\n"
    "    t = threading.Thread(target=lambda: out.append(2 * x + 7919)); t.start(); t.join()\n    return out[0]",
}
TESTS = {
    "script": {"inputs": [f"{x}\n" for x in INPUTS], "outputs": [f"{2 * x + 7919}\n" for x in INPUTS]},
    "call": {"fn_name": "f", "inputs": [[x] for x in INPUTS], "outputs": [2 * x + 7919 for x in INPUTS]},
}


class Recording(Sandbox):
    """Keeps what programs printed, to look for what they got hold of."""

    seen: list[Ran]

    def run(self, programs: Sequence[Program]) -> list[Ran]:
        rans = super().run(programs)
        self.seen = [*getattr(self, "seen", []), *rans]
        return rans


def judge(sandbox: Recording, code: str, kind: str) -> tuple[Judgement, str]:
    verifier = CodeVerifier()
    verifier._sandbox = sandbox
    sandbox.seen = []
    question = Question("r_1", "p_1", f"```python\n{code}\n```", None, json.dumps(TESTS[kind]))
    (judgement,) = verifier.judge([question])
    return judgement, "".join(ran.stdout for ran in sandbox.seen)


CASES = [
    pytest.param(stack, without, marks=[] if (stack, without) == (STACKS[0], None) else pytest.mark.extended)
    for stack in STACKS
    for without in (None, *sorted(expected(stack)))
]


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    folder = Path(os.path.realpath(tmp_path_factory.mktemp("host")))
    for parent in folder.parents[:2]:
        parent.chmod(0o755)  # only the sandbox may be what keeps programs out
    monkeypatch.setenv("SYNTHFLOW_TEST_TOKEN", TOKEN)
    made = Host(folder)
    yield made
    made.close()


def breaches(stack: str, without: str | None, attacks: Sequence[Attack], host: Host) -> dict[str, str]:
    before = processes() + 1  # the victim
    found = {}
    with Recording(stack=stack, without=[without] if without else [], limits=LIMITS) as sandbox:
        for kind, code in HONEST.items():
            judgement, _ = judge(sandbox, code, kind)
            assert judgement.verdict == "correct", judgement
        (who,) = sandbox.run([Program("import os; print(os.getuid())")])
        host.start_victim(int(who.stdout))
        pids = sandbox.pids
        count = max(processes() for _ in range(10) if time.sleep(0.02) is None)  # with the next supervisor
        for at, attack in enumerate(attacks):
            judgement, printed = judge(sandbox, host.fill(attack.code), attack.kind)
            if judgement.verdict != "wrong":
                found[attack.name] = f"{judgement.verdict}: {judgement.detail}"
            elif "BREACH" in printed or TOKEN in printed:
                found[attack.name] = printed[:300]
            elif hits := host.hits():
                found[attack.name] = str(hits)
                break
            if without is not None and at % 4:
                continue
            honest, _ = judge(sandbox, HONEST[attack.kind], attack.kind)
            if honest.verdict != "correct":
                found[attack.name] = f"the next program: {honest}"
        if sandbox.pids != pids:
            found["all"] = "the worker was lost"
        if left := settled(count):
            found["leftovers"] = str(left)
    if left := settled(before):
        found["at the end"] = str(left)
    return found


def settled(count: int) -> list[str]:
    """What is left after a while: the next supervisor, which waits for a program, takes a moment to be there."""
    deadline = time.monotonic() + 10
    while (left := leftovers(count)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


OPEN_DOORS = (
    *("reads a secret", "reads a secret through _io", "reads a secret through os.open", "reads /etc/passwd"),
    *("reads through a symbolic link", "reads through dots", "lists other programs' directories", "writes outside"),
    *("runs a program", "runs a shell", "runs python anew", "command lines of others", "the list of processes"),
    *("TCP", "TCP through _socket", "a unix socket", "an abstract unix socket", "sendto on a pair", "listens"),
)


def test_the_suite_can_fail(host: Host) -> None:
    """Without layers these attacks get through, so what contains them is the layers."""
    names = set(OPEN_DOORS)
    attacks = [attack for attack in ATTACKS if attack.name in {*names, "UDP"}]
    host.start_victim(0)
    with Recording(isolation="none", limits=LIMITS) as sandbox:
        printed = {a.name: judge(sandbox, host.fill(a.code), a.kind)[1] for a in attacks}
    assert {name for name, text in printed.items() if "BREACH" in text} == names
    assert {f"somebody called at {name}" for name in ("TCP", "UDP", "UNIX", "DATAGRAM", "ABSTRACT")} <= set(host.hits())


def test_there_are_enough_attacks_and_no_name_twice() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 60


@pytest.mark.slow
@pytest.mark.parametrize(("stack", "without"), CASES, ids=lambda v: str(v))
def test_contained(stack: str, without: str | None, host: Host) -> None:
    needs(stack)
    layers = expected(stack) - {without}  # type: ignore[arg-type]
    if uncovered(layers):
        with pytest.raises(UserError, match="too few layers"):
            Sandbox(stack=stack, without=[without or ""])
        return
    attacks = [a for a in ATTACKS if not a.slow or without is None]
    assert breaches(stack, without, attacks, host) == {}
