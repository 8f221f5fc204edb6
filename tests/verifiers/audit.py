"""Audits `math` against Math-Verify called directly, on the cases of `audit.jsonl`; prints a Markdown table.

Run it from the repository's root: `python tests/verifiers/audit.py`.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from synthflow.contracts import Question
from synthflow.verifiers.math import MathVerifier

Case = dict[str, object]
CASES: list[Case] = [json.loads(line) for line in (Path(__file__).parent / "audit.jsonl").read_text().splitlines()]


def completion(case: Case) -> str:
    return f"So the final answer is \\boxed{{{case['answer']}}}."


def ours() -> list[str]:
    """Verdicts of `math`."""
    verifier = MathVerifier()
    questions = [Question(str(i), "p", completion(case), str(case["gold"])) for i, case in enumerate(CASES)]
    verdicts: list[str] = [judgement.verdict for judgement in verifier.judge(questions)]
    verifier.close()
    return verdicts


def raw(wrapped: bool) -> list[str]:
    """Verdicts of `math_verify.verify(parse(gold), parse(completion))`, the gold answer as it is or in a box."""
    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)

    def one(case: Case) -> str:
        gold = f"\\boxed{{{case['gold']}}}" if wrapped else str(case["gold"])
        return "correct" if verify(parse(gold), parse(completion(case))) else "wrong"

    return [one(case) for case in CASES]


def main() -> None:
    equal, different = (sum(bool(c["equal"]) is want for c in CASES) for want in (True, False))
    print(f"{len(CASES)} cases: {equal} equal, {different} different\n")
    print("| grader | false accepts | false rejects | unknown (equal / different) | seconds |")
    print("|---|---|---|---|---|")
    graders: dict[str, Callable[[], list[str]]] = {
        "`math`": ours,
        "Math-Verify, default call": lambda: raw(False),
        "Math-Verify, gold in a box": lambda: raw(True),
    }
    for name, grade in graders.items():
        started = time.perf_counter()
        verdicts = grade()
        took = time.perf_counter() - started
        count = Counter(zip(verdicts, (bool(case["equal"]) for case in CASES), strict=True))
        unknown = f"{count['unknown', True]} / {count['unknown', False]}"
        print(f"| {name} | {count['correct', False]} | {count['wrong', True]} | {unknown} | {took:.1f} |")


if __name__ == "__main__":
    main()
