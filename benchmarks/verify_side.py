"""One side of `verify_math.py`: judges sets of answers from standard input, and says what that cost.

It runs in the Python of the build that it measures, so it uses nothing but what any build has: the verifier `math`, or
Math-Verify as its authors advise, with the gold answer in a box. Everything is imported and warm before the clock
starts, worker processes included, and each set is judged once, so that no cache helps.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence

from measuring import cpu_seconds, descendants

Item = tuple[str, str]  # gold answer, completion
Judge = Callable[[Sequence[Item]], list[str]]


def children_s() -> float:
    """CPU seconds of all child processes, living and gone."""
    gone = resource.getrusage(resource.RUSAGE_CHILDREN)
    return gone.ru_utime + gone.ru_stime + cpu_seconds(descendants(os.getpid()))


def timed(judge: Judge, items: Sequence[Item]) -> tuple[float, list[str]]:
    """CPU seconds that judging takes, children included, and the verdicts; looking at /proc is not counted.

    What is loaded is frozen first, or the collector's walks over a side's libraries would be charged to its answers.
    """
    gc.collect()
    gc.freeze()
    others, mine = children_s(), time.process_time()
    verdicts = judge(items)
    mine = time.process_time() - mine
    return mine + children_s() - others, verdicts


def synthflow() -> tuple[Judge, float]:
    """The verifier `math` as it ships, one worker, and the CPU seconds that its start took."""
    from synthflow.contracts import Question
    from synthflow.verifiers.math import MathVerifier

    verifier = MathVerifier()

    def judge(items: Sequence[Item]) -> list[str]:
        asked = [Question(str(at), "p", completion, gold) for at, (gold, completion) in enumerate(items)]
        return [judgement.verdict for judgement in verifier.judge(asked)]

    return judge, timed(judge, [("\\sin^2 q+\\cos^2 q", "\\boxed{1}")])[0]


def math_verify() -> tuple[Judge, float]:
    """Math-Verify with its defaults, in this process."""
    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)

    def judge(items: Sequence[Item]) -> list[str]:
        return ["correct" if verify(parse(f"\\boxed{{{gold}}}"), parse(text)) else "wrong" for gold, text in items]

    return judge, timed(judge, [("1", "\\boxed{2}"), ("x+1", "The answer is $1+x$.")])[0]


def main() -> None:
    judge, start_cpu_s = {"synthflow": synthflow, "math_verify": math_verify}[sys.argv[1]]()
    sets = {name: timed(judge, items) for name, items in json.load(sys.stdin).items()}
    json.dump({"start_cpu_s": start_cpu_s, "sets": sets}, sys.stdout)


if __name__ == "__main__":
    main()
