"""Math verification beside Math-Verify and beside another build: CPU seconds on one core, and adversarial answers.

    python benchmarks/verify_math.py [--other PATH/TO/python] [--repeats 3] [--scale 1]

Sets are judged once by each side in a process of its own (`verify_side.py`), so no cache helps: (a) pairs of simple
answers, (b) whole responses of about 1,000 characters, and of 100 to 4,000, (c) mixed LaTeX, and (d) adversarial
answers. Child processes count; all sides share one core. This build and the other take turns, and the smaller of a
side's CPU seconds counts, since noise only adds; Math-Verify runs once, between them. On (d) each item's wall time
counts, and Math-Verify runs in a process that is killed after 20 s, since it does not always return.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from math_sets import ADVERSARIAL, MIXED, RESPONSES, SIMPLE, Pair, distinct, response
from measuring import machine, print_json, say
from verify_side import Item

from synthflow.contracts import Question
from synthflow.verifiers.math import MathVerifier

PEER_LIMIT_S = 20.0
LENGTHS = (100, 300, 1000, 2000, 4000)
_SIDE = Path(__file__).with_name("verify_side.py")
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def boxed(pairs: Sequence[Pair]) -> list[Item]:
    return [(gold, f"\\boxed{{{answer}}}") for gold, answer in pairs]


def responses(pairs: Sequence[Pair], seed: int, length: int = 1000) -> list[Item]:
    import random

    rng = random.Random(seed)
    return [(gold, response(rng, answer, length)) for gold, answer in pairs]


def sets(scale: float) -> dict[str, list[Item]]:
    """The sets by name, each smaller or larger by a factor."""

    def size(count: int) -> int:
        return max(20, int(scale * count))

    made = {
        "simple": boxed(distinct(SIMPLE, size(3000), 1)),
        "responses": responses(distinct(RESPONSES, size(2000), 2), 3),
        "mixed": boxed(distinct(MIXED, size(1000), 4)),
    }
    for length in LENGTHS:
        made[f"responses_{length}"] = responses(distinct(RESPONSES, size(400), 5 + length), 6, length)
    return made


def judged(python: str, side: str, items: Mapping[str, Sequence[Item]]) -> dict[str, Any]:
    """What a side says of all sets, and what each cost, in a process of some Python."""
    done = subprocess.run(
        [python, _SIDE, side], input=json.dumps(items), env=_ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{python} {_SIDE.name} {side} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout))


def compare(items: Mapping[str, Sequence[Item]], other: str | None, repeats: int) -> dict[str, Any]:
    """For each set Math-Verify's CPU seconds to ours, the other build's to ours, and how many verdicts differ."""
    pythons = {"ours": sys.executable, **({"other": other} if other else {})}
    said: dict[str, list[dict[str, Any]]] = {name: [] for name in pythons}
    peer: dict[str, Any] = {}
    for turn in range(repeats):
        for name in list(pythons)[:: 1 if turn % 2 == 0 else -1]:
            said[name].append(judged(pythons[name], "synthflow", items))
        peer = peer or judged(sys.executable, "math_verify", items)
    result: dict[str, Any] = {}
    for name, asked in items.items():
        cpu_s = {side: min(turn["sets"][name][0] for turn in turns) for side, turns in said.items()}
        verdicts = {side: turns[0]["sets"][name][1] for side, turns in said.items()} | {"peer": peer["sets"][name][1]}
        row = {
            "items": len(asked),
            "times_math_verify": peer["sets"][name][0] / cpu_s["ours"],
            "ours_per_cpu_s": len(asked) / cpu_s["ours"],
            "math_verify_per_cpu_s": len(asked) / peer["sets"][name][0],
            "mean_chars": sum(len(completion) for _, completion in asked) / len(asked),
            "verdicts": Counter(verdicts["ours"]),
            "differ_from_math_verify": _differ(verdicts["ours"], verdicts["peer"]),
        }
        if other:
            row |= {
                "times_other": cpu_s["other"] / cpu_s["ours"],
                "other_times_math_verify": peer["sets"][name][0] / cpu_s["other"],
                "differ_from_other": _differ(verdicts["ours"], verdicts["other"]),
            }
        result[name] = row
        speed = f"{row['times_math_verify']:.1f} times Math-Verify ({row['ours_per_cpu_s']:.0f} a CPU second)"
        say(f"{name}: {speed}" + (f", {row['times_other']:.2f} times the other build" if other else ""))
    return result | {"worker_start_cpu_s": min(turn["start_cpu_s"] for turn in said["ours"])}


def _differ(one: Sequence[str], two: Sequence[str]) -> int:
    return sum(a != b for a, b in zip(one, two, strict=True))


def adversarial() -> dict[str, Any]:
    walls, verdicts = [], []
    verifier = MathVerifier()
    for gold, answer in ADVERSARIAL:
        started = time.perf_counter()
        (judgement,) = verifier.judge([Question("r", "p", f"\\boxed{{{answer}}}", gold)])
        walls.append(time.perf_counter() - started)
        verdicts.append(f"{judgement.verdict} {judgement.reason or ''}".strip())
        say(f"  {walls[-1]:6.2f} s  {verdicts[-1]:20s} {answer[:60]}")
    after = [
        Question("r", "p", "\\boxed{17+y+x}", "x+y+17"),
        Question("s", "p", "\\boxed{2\\sin w\\cos w}", "\\sin(2w)"),
    ]
    alive = [judgement.verdict for judgement in verifier.judge(after)] == ["correct"] * 2
    verifier.close()
    return {
        "items": len(walls),
        "worst_wall_s": max(walls),
        "over_2_s": sum(wall > 2 for wall in walls),
        "verdicts": Counter(verdicts),
        "worker_replaced_and_right_afterwards": alive,
    }


def adversarial_peer() -> dict[str, Any]:
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
    parser.add_argument("--other", help="the Python of another build's environment")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each build")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the items of (a) to (c)")
    parser.add_argument("--no-adversarial", action="store_true", help="leave (d) out")
    parser.add_argument("--no-adversarial-peer", action="store_true", help="leave Math-Verify out of (d)")
    options = parser.parse_args()
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # one core for all sides, children included
    result = compare(sets(options.scale), options.other, options.repeats)
    os.sched_setaffinity(0, cores)  # on (d) wall time counts
    if not options.no_adversarial:
        result["adversarial"] = adversarial()
        if not options.no_adversarial_peer:
            result["adversarial_math_verify"] = adversarial_peer()
    print_json(result | {"math_verify": version("math-verify"), "machine": machine()})


if __name__ == "__main__":
    main()
