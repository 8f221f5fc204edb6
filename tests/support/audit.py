"""Audits `math` and other graders on the cases of `audit.jsonl`; prints the table of docs/verdicts-measured.md.

Run it from the repository's root: `PYTHONPATH=tests python -m support.audit`.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from support.graders import GRADERS, last_answer
from synthflow.contracts import Question
from synthflow.verifiers.math import MathConfig, MathVerifier

Case = dict[str, object]
CASES: list[Case] = [json.loads(line) for line in (Path(__file__).parent / "audit.jsonl").read_text().splitlines()]


def completion(case: Case) -> str:
    """The response that is judged: the case's own, or its answer in a box at the end of a sentence."""
    return str(case.get("completion") or f"So the final answer is \\boxed{{{case['answer']}}}.")


def ours() -> list[str]:
    """Verdicts of `math`; with time to spare, since a busy machine is not what is audited."""
    verifier = MathVerifier(MathConfig(timeout_s=20))
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


def simple(name: str) -> list[str]:
    """Verdicts of a grader of `graders.py`."""
    grade = GRADERS[name]
    return ["correct" if grade(str(case["gold"]), last_answer(completion(case))) else "wrong" for case in CASES]


def row(name: str, verdicts: Sequence[str]) -> str:
    """A line of the table."""
    count = Counter(zip(verdicts, (bool(case["equal"]) for case in CASES), strict=True))
    unknown = f"{count['unknown', True]} / {count['unknown', False]}"
    return f"| {name} | {count['correct', False]} | {count['wrong', True]} | {unknown} |"


ROWS: dict[str, Callable[[], list[str]]] = {
    "`math`": ours,
    "Math-Verify, gold in a box": lambda: raw(True),
    "Math-Verify, default call": lambda: raw(False),
    **{name: (lambda name=name: simple(name)) for name in GRADERS},  # type: ignore[misc]
}


def main() -> None:
    equal, different = (sum(bool(case["equal"]) is want for case in CASES) for want in (True, False))
    print(f"{len(CASES)} cases: {equal} equal, {different} different\n")
    print("| grader | false accepts | false rejects | unknown (equal / different) |")
    print("|---|---|---|---|")
    for name, grade in ROWS.items():
        print(row(name, grade()))


if __name__ == "__main__":
    main()
