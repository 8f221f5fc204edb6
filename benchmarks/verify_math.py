"""Math verification beside Math-Verify in the same run: CPU seconds on one core, and what adversarial answers do.

Each set is judged once by each side, so no cache helps: (a) pairs of simple answers, (b) whole responses of about 1,000
characters, (c) mixed LaTeX, and (d) adversarial answers. Math-Verify is called as its authors advise, with the gold
answer in a box, in this process; ours includes its worker processes. Both are imported and warm before the clock starts
(what starting our worker costs is reported). On (d) each item's wall time counts, and Math-Verify runs in a process
that is killed after 20 s, since it does not always return.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TypeVar

from math_sets import ADVERSARIAL, MIXED, RESPONSES, SIMPLE, Pair, distinct, response
from measuring import cpu_seconds, descendants, machine, print_json, say

from synthflow.contracts import Question
from synthflow.verifiers.math import MathVerifier

PEER_LIMIT_S = 20.0
Item = tuple[str, str]  # gold answer, completion
T = TypeVar("T")


def boxed(pairs: Sequence[Pair]) -> list[Item]:
    return [(gold, f"\\boxed{{{answer}}}") for gold, answer in pairs]


def responses(pairs: Sequence[Pair], seed: int) -> list[Item]:
    import random

    rng = random.Random(seed)
    return [(gold, response(rng, answer)) for gold, answer in pairs]


def children_s() -> float:
    """CPU seconds of all child processes, living and gone."""
    gone = resource.getrusage(resource.RUSAGE_CHILDREN)
    return gone.ru_utime + gone.ru_stime + cpu_seconds(descendants(os.getpid()))


def timed(judge: Callable[[Sequence[T]], list[str]], items: Sequence[T]) -> tuple[float, list[str]]:
    """CPU seconds that judging takes, children included, and the verdicts; looking at /proc is not counted.

    What is loaded is frozen first, or the collector's walks over one side's libraries would be charged to the other.
    """
    gc.collect()
    gc.freeze()
    others, mine = children_s(), time.process_time()
    verdicts = judge(items)
    mine = time.process_time() - mine
    return mine + children_s() - others, verdicts


def peer(items: Sequence[Item]) -> list[str]:
    """Math-Verify with its defaults, the gold answer in a box."""
    from math_verify import parse, verify

    return ["correct" if verify(parse(f"\\boxed{{{gold}}}"), parse(text)) else "wrong" for gold, text in items]


class Ours:
    """The verifier `math` as it ships, one worker, opened and warm."""

    def __init__(self) -> None:
        self.verifier = MathVerifier()
        self.start_cpu_s, _ = timed(self.ask, questions([("\\sin^2 q+\\cos^2 q", "\\boxed{1}")]))

    def ask(self, asked: Sequence[Question]) -> list[str]:
        return [judgement.verdict for judgement in self.verifier.judge(asked)]


def questions(items: Sequence[Item]) -> list[Question]:
    return [Question(str(at), "p", completion, gold) for at, (gold, completion) in enumerate(items)]


def compare(name: str, items: Sequence[Item], ours: Ours) -> dict[str, object]:
    ours_s, mine = timed(ours.ask, questions(items))
    peer_s, theirs = timed(peer, items)
    result = {
        "items": len(items),
        "ratio": peer_s / ours_s,
        "ours_per_cpu_s": len(items) / ours_s,
        "math_verify_per_cpu_s": len(items) / peer_s,
        "mean_chars": sum(len(completion) for _, completion in items) / len(items),
        "verdicts": Counter(mine),
        "differ": sum(a != b for a, b in zip(mine, theirs, strict=True)),
    }
    say(f"{name}: {result['ratio']:.1f} times Math-Verify ({result['ours_per_cpu_s']:.0f} a CPU second)")
    return result


def adversarial(ours: Ours) -> dict[str, object]:
    walls, verdicts = [], []
    for gold, answer in ADVERSARIAL:
        started = time.perf_counter()
        (judgement,) = ours.verifier.judge([Question("r", "p", f"\\boxed{{{answer}}}", gold)])
        walls.append(time.perf_counter() - started)
        verdicts.append(f"{judgement.verdict} {judgement.reason or ''}".strip())
        say(f"  {walls[-1]:6.2f} s  {verdicts[-1]:20s} {answer[:60]}")
    after = questions([("x+y+17", "\\boxed{17+y+x}"), ("\\sin(2w)", "\\boxed{2\\sin w\\cos w}")])
    alive = ours.ask(after) == ["correct"] * 2
    return {
        "items": len(walls),
        "worst_wall_s": max(walls),
        "over_2_s": sum(wall > 2 for wall in walls),
        "verdicts": Counter(verdicts),
        "worker_replaced_and_right_afterwards": alive,
    }


def adversarial_peer() -> dict[str, object]:
    """Math-Verify on the same items, each in a process of its own: it may hang where its alarm is not heard."""
    program = (
        "import json, logging, sys, time; from math_verify import parse, verify; logging.disable(logging.CRITICAL)\n"
        "gold, answer = json.load(sys.stdin); started = time.perf_counter()\n"
        "right = verify(parse(gold), parse(answer)); print(time.perf_counter() - started, right)\n"
    )
    walls, how = [], Counter[str]()
    for gold, answer in ADVERSARIAL:
        try:
            done = subprocess.run(
                [sys.executable, "-c", program],
                input=json.dumps([f"\\boxed{{{gold}}}", f"\\boxed{{{answer}}}"]),
                capture_output=True,
                text=True,
                timeout=PEER_LIMIT_S,
                check=False,
            )
            words = done.stdout.split()
            walls.append(float(words[0]) if words else PEER_LIMIT_S)
            how[words[1] if words else "crashed"] += 1
        except subprocess.TimeoutExpired:
            walls.append(PEER_LIMIT_S)
            how["hung"] += 1
        say(f"  Math-Verify {walls[-1]:6.2f} s  {answer[:60]}")
    return {"worst_wall_s": max(walls), "over_2_s": sum(wall > 2 for wall in walls), "verdicts": how}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the items of (a) to (c)")
    parser.add_argument("--no-adversarial-peer", action="store_true", help="leave Math-Verify out of (d)")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # one core for both, children included
    peer([("1", "\\boxed{2}"), ("x+1", "The answer is $1+x$.")])
    ours = Ours()
    sizes = {name: max(20, int(options.scale * size)) for name, size in (("a", 3000), ("b", 2000), ("c", 1000))}
    result: dict[str, object] = {
        "simple": compare("(a) simple answers", boxed(distinct(SIMPLE, sizes["a"], 1)), ours),
        "responses": compare("(b) responses", responses(distinct(RESPONSES, sizes["b"], 2), 3), ours),
        "mixed": compare("(c) mixed LaTeX", boxed(distinct(MIXED, sizes["c"], 4)), ours),
    }
    ours.verifier.close()
    os.sched_setaffinity(0, cores)  # on (d) wall time counts
    ours = Ours()
    result["adversarial"] = adversarial(ours)
    if not options.no_adversarial_peer:
        result["adversarial_math_verify"] = adversarial_peer()
    ours.verifier.close()
    result |= {"worker_start_cpu_s": ours.start_cpu_s, "math_verify": version("math-verify"), "machine": machine()}
    print_json(result)


if __name__ == "__main__":
    main()
