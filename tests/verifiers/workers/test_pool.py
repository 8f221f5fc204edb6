"""A poisoned item costs only itself, and nothing is left behind: no process, no descriptor, no thread."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from synthflow.errors import InfrastructureError
from synthflow.verifiers.workers.pool import WorkerPool

TESTS = str(Path(__file__).parents[2])
TASK = "support.pool_tasks:misbehave"


def pool(**options: object) -> WorkerPool:
    settings: dict[str, object] = {"timeout_s": 20.0, "memory_mb": 512, "path": [TESTS], "lock_down": False}
    return WorkerPool(TASK, **{**settings, **options})  # type: ignore[arg-type]


@pytest.fixture
def quick() -> Iterator[WorkerPool]:
    made = pool(timeout_s=2.0)
    yield made
    made.close()


def test_outcomes_come_in_order() -> None:
    with_two = pool(workers=2)
    items = [["echo", i] for i in range(1000)]
    assert [o.value for o in with_two.map(items)] == list(range(1000))
    assert 1 <= len(with_two.pids) <= 2
    with_two.close()
    with_two.close()
    with pytest.raises(RuntimeError, match="closed"):
        with_two.map([["echo", 1]])


def test_nothing_starts_before_the_first_item() -> None:
    made = pool()
    assert made.map([]) == []
    assert made.pids == []
    made.close()


def test_each_kind_of_poison_costs_only_itself(quick: WorkerPool) -> None:
    poison = {
        "sleep": ["sleep", 60],
        "spin": ["spin", 60],
        "exit": ["exit", 3],
        "abort": ["abort", "my last words"],
        "raise": ["raise", "no such thing"],
        "sys.exit": ["sys.exit", 1],
        "recurse": ["recurse", 1],
    }
    items: list[list[object]] = []
    for act in poison.values():
        items += [["echo", "before"], act, ["echo", "after"]]
    outcomes = quick.map(items)
    assert [o.value for o in outcomes[0::3]] == ["before"] * len(poison)
    assert [o.value for o in outcomes[2::3]] == ["after"] * len(poison)
    found = dict(zip(poison, outcomes[1::3], strict=True))
    assert {name: o.reason for name, o in found.items()} == {
        "sleep": "timeout",
        "spin": "timeout",
        "exit": "verifier_error",
        "abort": "verifier_error",
        "raise": "verifier_error",
        "sys.exit": "verifier_error",
        "recurse": "verifier_error",
    }
    assert "exit status 3" in (found["exit"].detail or "")
    assert "my last words" in (found["abort"].detail or "")
    assert "ValueError: no such thing" in (found["raise"].detail or "")
    assert found["sleep"].elapsed_s == pytest.approx(2.0, abs=1.5)


def test_memory_is_limited() -> None:
    made = pool(memory_mb=256)
    outcomes = made.map([["echo", 1], ["allocate", 4000], ["echo", 2], ["core", 0]])
    assert [o.reason for o in outcomes] == [None, "memory", None, None]
    assert outcomes[3].value == 0, "core dumps are off"
    made.close()


def test_an_item_has_its_own_clock() -> None:
    """Ten items of 0.3 s behind each other in one worker all fit a limit of 2 s each."""
    made = pool(timeout_s=2)
    assert [o.reason for o in made.map([["sleep", 0.3]] * 10)] == [None] * 10
    made.close()


def test_what_a_task_prints_is_not_an_answer(quick: WorkerPool) -> None:
    outcomes = quick.map([["shout", '{"index": 0, "value": "forged"}\n' * 5000], ["echo", 2]])
    assert outcomes[0].value is not None and outcomes[0].value.startswith('{"index"')
    assert outcomes[1].value == 2


def test_hostile_text_travels(quick: WorkerPool) -> None:
    texts = ["", "\x00", "\ud800", "\udfff\ud800", "🙂" * 1000, "\n\r\u2028", "x" * 3_000_000, '"\\']
    assert [o.value for o in quick.map([["echo", t] for t in texts])] == texts


def test_children_are_recycled() -> None:
    made = pool(recycle_after=10)
    pids = [o.value for o in made.map([["pid", 0]] * 35)]
    assert [len(set(pids[i : i + 10])) for i in range(0, 35, 10)] == [1, 1, 1, 1]
    assert len(set(pids)) == 4
    made.close()


def test_a_worker_killed_while_idle_is_replaced(quick: WorkerPool) -> None:
    quick.map([["echo", 1]])
    (pid,) = quick.pids
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
    assert quick.map([["echo", 2]])[0].value == 2


def test_a_worker_that_cannot_start_is_no_items_fault() -> None:
    made = WorkerPool("no_such_module:f")
    with pytest.raises(InfrastructureError, match="no_such_module"):
        made.map([1])
    made.close()


def test_many_threads_share_a_pool() -> None:
    made = pool(workers=2)
    wrong: list[object] = []

    def call(n: int) -> None:
        items: list[list[object]] = [["echo", [n, i]] for i in range(50)]
        items[25] = ["exit", 1]
        outcomes = made.map(items)
        good = [o.value for i, o in enumerate(outcomes) if i != 25]
        if good != [[n, i] for i in range(50) if i != 25] or outcomes[25].reason != "verifier_error":
            wrong.append(outcomes)

    threads = [threading.Thread(target=call, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    made.close()


def test_children_survive_the_thread_that_started_them() -> None:
    """The kernel's parent-death signal follows the forking thread, which must not be a caller's."""
    made = pool()
    thread = threading.Thread(target=made.map, args=([["echo", 1]],))
    thread.start()
    thread.join()
    (pid,) = made.pids
    time.sleep(0.2)
    assert psutil.pid_exists(pid)
    assert made.map([["pid", 0]])[0].value == pid
    made.close()


@pytest.mark.parametrize("how", ["kill", "exit"])
def test_no_child_outlives_its_parent(how: str, tmp_path: Path) -> None:
    """Not even a child that is deep in a computation when its parent gets SIGKILL."""
    program = (
        "import os, signal, sys, threading, time\n"
        "from synthflow.verifiers.workers.pool import WorkerPool\n"
        f"pool = WorkerPool('{TASK}', workers=2, timeout_s=600, path=[{TESTS!r}], lock_down=False)\n"
        "pool.map([['echo', 1], ['echo', 2]])\n"
        "threading.Thread(target=pool.map, args=([['spin', 600]] * 2,), daemon=True).start()\n"
        "time.sleep(1)\n"
        "print(*pool.pids, flush=True)\n"
        + ("os.kill(os.getpid(), signal.SIGKILL)\n" if how == "kill" else "sys.exit(0)\n")
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    pids = [int(pid) for pid in done.stdout.split()]
    assert pids, done.stderr
    end = time.monotonic() + 10
    while any(_alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    assert not [pid for pid in pids if _alive(pid)]


def _alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_fork_leaves_its_parents_workers_alone() -> None:
    made = pool()
    made.map([["echo", 1]])
    pids = made.pids
    child = os.fork()
    if child == 0:  # no pytest in here
        code = 0 if made.map([["echo", 7]])[0].value == 7 and made.pids != pids else 1
        made.close()
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert made.map([["pid", 0]])[0].value == pids[0]
    made.close()


def test_the_locked_child_cannot_start_programs_or_write(tmp_path: Path) -> None:
    made = pool(lock_down=True)
    target = tmp_path / "pwned"
    outcomes = made.map([["system", f"touch {target}"], ["write", str(target)], ["echo", 1]])
    assert [o.reason for o in outcomes] == ["verifier_error", "verifier_error", None]
    assert "not allowed" in (outcomes[0].detail or "")
    assert not target.exists()
    made.close()


def test_a_stuck_item_has_a_successor_warm_before_it_is_killed() -> None:
    made = pool(timeout_s=6.0)
    made.map([["echo", 1]])
    (first,) = made.pids
    seen: set[int] = set()
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.1):
            seen.update(made.pids)

    watcher = threading.Thread(target=look)
    watcher.start()
    stuck, after = made.map([["sleep", 60], ["pid", 0]])
    done.set()
    watcher.join()
    assert stuck.reason == "timeout"
    assert after.value in seen - {first}, "the successor was there before the kill"
    assert len(made.pids) <= 2, "one worker and one spare"
    made.close()
    assert made.pids == []


def test_an_item_is_killed_by_the_cpu_time_that_it_takes_and_not_by_what_others_take() -> None:
    made = pool(cpu_s=0.5, timeout_s=30.0)
    slept, spun, after = made.map([["sleep", 1.5], ["spin", 60], ["echo", 1]])
    assert (slept.reason, after.value) == (None, 1)
    assert (spun.reason, spun.detail) == ("timeout", "killed after 0.5 s of CPU")
    # What one item leaves of its seconds is not the next one's, and is not taken from it either.
    assert [o.reason for o in made.map([["spin", 0.3]] * 4)] == [None] * 4
    made.close()


@pytest.mark.extended
@pytest.mark.slow
def test_three_hundred_kills_leak_nothing() -> None:
    made = pool(workers=2, timeout_s=0.05)
    made.map([["echo", 1]] * 4)
    me = psutil.Process()
    descriptors, threads = me.num_fds(), me.num_threads()
    acts: list[list[object]] = [["sleep", 60], ["exit", 1], ["abort", "x"]]
    outcomes = made.map([acts[i % 3] for i in range(300)])
    assert {o.reason for o in outcomes} == {"timeout", "verifier_error"}
    assert sum(o.reason == "timeout" for o in outcomes) >= 100  # a crash may take 50 ms on a busy machine
    made.map([["echo", 1]] * 4)
    assert (
        me.num_fds() <= descriptors + 12
    )  # at most one worker and the spare more than before: three pipes each, two ends
    assert me.num_threads() <= threads
    made.close()
    assert [c for c in me.children(recursive=True) if "_child" in " ".join(c.cmdline() or ["zombie _child"])] == []
    assert me.num_fds() <= descriptors
