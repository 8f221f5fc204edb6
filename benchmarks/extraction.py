"""How often each rule of `math` finds the answer that a real response gives, on the responses of CHAMP.

    python benchmarks/extraction.py [--show RULE] [--verdicts] [--number 100] [--seed 1]

`champ-dataset` (MIT) has 270 problems with gold answers and 19,179 whole conversations of four models: a solution, and
then the model's own answer to "summarize the answer above in one sentence". So the summary tells what the solution's
answer is. A reading of the solution counts as `same` where the summary is read to the same text, as `said` where it
stands in the summary whole, and otherwise as `other`, which is no error by itself: 0.5 and 1/2 differ, and some
summaries leave the answer out. `--show RULE` prints readings with the end of their text, for a person to judge.
`--verdicts` judges the 96 solutions that people marked free of any mistake, and prints a sample of `correct` ones.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from measuring import machine, print_json, say

from synthflow.contracts import Question
from synthflow.verifiers.answers.finding.extract import find
from synthflow.verifiers.answers.reading.text import canonical
from synthflow.verifiers.math import MathVerifier

_SPACES = re.compile(r"[\s$\\*`]|\\text|left|right")
_NO = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)


class Conversation(NamedTuple):
    """A problem's gold answer, a model's solution, and its summary of it; `flawless` if people found no mistake."""

    gold: str
    solution: str
    summary: str
    flawless: bool


def conversations() -> Iterator[Conversation]:
    """The conversations that have both texts.

    Raises:
        SystemExit: if the package is missing.
    """
    package = find_spec("champ_dataset")
    if package is None or package.origin is None:
        raise SystemExit("champ-dataset is not installed: pip install champ-dataset==1.0.0")
    problems = json.loads((Path(package.origin).parent / "dataset_files" / "v0.json").read_text())["problems"]
    for problem in problems.values():
        marks = problem["fws_annotations"]
        for name, conversation in problem["conversations"].items():
            solution, summary = conversation["messages"][-3], conversation["messages"][-1]
            if solution["text"] and summary["text"] and not solution["error"] and not summary["error"]:
                flawless = name in marks and marks[name]["start_idx"] is None
                yield Conversation(problem["_answer"], solution["text"], summary["text"], flawless)


def stands_in(answer: str, text: str) -> bool:
    """Whether an answer stands in a text whole: nothing before or behind it makes it a piece of something."""
    answer, text = (_SPACES.sub("", side).replace("\u2212", "-").lower() for side in (answer, text))
    at = text.find(answer) if answer else -1
    while at >= 0:
        before, behind = text[at - 1 : at] if at else "", text[at + len(answer) : at + len(answer) + 1]
        if not (before.isdigit() or before in tuple("+-*/^.,_") or behind.isdigit() or behind in tuple("+*/^_!")):
            return True
        at = text.find(answer, at + 1)
    return False


def agreement(told: Sequence[Conversation]) -> dict[str, dict[str, Any]]:
    """For each rule how many readings it makes, and how many of them the summary says."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in told:
        found = find(one.solution)
        if found.text:
            again = find(one.summary)
            same = bool(again.text) and canonical(again.text) == canonical(found.text)
            counts[found.rule]["same" if same else "said" if stands_in(found.text, one.summary) else "other"] += 1
        else:
            counts["none"][found.note] += 1
        said = _NO.match(one.summary)
        if one.gold in ("Yes", "No") and said is not None:
            found = find(one.solution, gold=one.gold)
            if found.rule in ("words", "implied"):
                counts[found.rule]["same" if found.text.lower() == said.group(1).lower() else "other"] += 1
    return {rule: {"readings": count.total(), **count} for rule, count in sorted(counts.items())}


def show(told: Sequence[Conversation], rule: str, number: int) -> None:
    """Readings by one rule, each with the end of its text."""
    shown: set[str] = set()
    for one in told:
        found = find(one.solution, gold=one.gold if rule in ("words", "implied") else None)
        if found.rule == rule and one.solution[-100:] not in shown:
            shown.add(one.solution[-100:])
            say(f"{len(shown)}. [{found.text}] {one.solution[-240:]!r}")
        if len(shown) >= number:
            return


def verdicts(told: Sequence[Conversation], number: int) -> dict[str, Any]:
    """Verdicts on all solutions and on the flawless ones; a sample of the correct ones is printed."""
    verifier = MathVerifier()
    judged = verifier.judge([Question(str(at), "p", one.solution, one.gold) for at, one in enumerate(told)])
    verifier.close()
    for one, judgement in zip(told, judged, strict=True):
        if one.flawless and judgement.verdict != "correct":
            say(f"flawless, {judgement.verdict} ({judgement.reason}): gold {one.gold!r}, {judgement.detail!r}")
    correct = [at for at, judgement in enumerate(judged) if judgement.verdict == "correct"]
    for place, at in enumerate(correct[:number], 1):
        say(f"{place}. {told[at].gold!r} [{judged[at].detail}] {told[at].solution[-240:]!r}")
    flawless = [judgement for one, judgement in zip(told, judged, strict=True) if one.flawless]
    return {
        "all": Counter(judgement.verdict for judgement in judged),
        "flawless": Counter(judgement.verdict for judgement in flawless),
        "reasons": Counter(judgement.reason for judgement in judged if judgement.reason),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--show", help="a rule, whose readings are printed")
    parser.add_argument("--verdicts", action="store_true", help="judge the solutions too")
    parser.add_argument("--number", type=int, default=100, help="readings or verdicts that are printed")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    told = list(conversations())
    random.Random(options.seed).shuffle(told)
    result: dict[str, Any] = {"conversations": len(told), "rules": agreement(told)}
    if options.show:
        show(told, options.show, options.number)
    if options.verdicts:
        result["verdicts"] = verdicts(told, options.number)
    print_json(result | {"machine": machine()})


if __name__ == "__main__":
    main()
