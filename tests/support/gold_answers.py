r"""Gold answers of other people's problems, with what a right response may answer: the audit's own data.

Three sources: the 270 problems of CHAMP (the package `champ-dataset`, MIT), fifty problems a task of reasoning-gym's
tasks of numbers and algebra, and the problems of the demo worlds. Golds of one task whose `value` differs are different
answers: for numbers it is the number, for the rest the text, which these sets write in one way only.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from synthflow.demo import heldout_path

GYM_TASKS = (
    *("complex_arithmetic", "polynomial_equations", "polynomial_multiplication", "simple_equations"),
    *("simple_integration", "intermediate_integration"),
    *("basic_arithmetic", "bitwise_arithmetic", "calendar_arithmetic", "chain_sum", "count_bits", "decimal_arithmetic"),
    *("decimal_chain_sum", "dice", "fraction_simplification", "gcd", "gsm_symbolic", "lcm", "leg_counting"),
    *("number_format", "power_function", "prime_factorization", "products", "time_intervals"),
    *("advanced_geometry", "simple_geometry", "coin_flip", "base_conversion", "count_primes", "number_sequence"),
)


@dataclass(frozen=True)
class Gold:
    """A gold answer: what its set calls the task, its text, what a right response answers, and what it is worth.

    `sentence` is a gold that no response repeats word for word ("0 is the only possible value").
    """

    task: str
    text: str
    answers: tuple[str, ...]
    value: object
    sentence: bool = False


# ---------------------------------------------------------------- CHAMP

_SENTENCES = re.compile(
    r"(.+) is the only possible value|The limit exists and is equal to (.+)"
    r"|The only possible value for the limit is (.+)"
)
_EQUIVALENT = re.compile(r", or (?:equivalently|an equivalent form such as) ")
_ROUNDED = re.compile(r", or approximately .*")
_ASIDE = re.compile(r" \((?:i\.e\.,|none|no) .*\)$")
_NAMED = re.compile(r"^(?:[a-z](?:\(x\))?=)+")
_COUNTED = re.compile(r"(\d+) [a-z]+")


def champ_file() -> Path | None:
    """Where the package `champ-dataset` is installed, if it is."""
    found = find_spec("champ_dataset")
    return Path(found.origin).parent / "dataset_files" / "v0.json" if found and found.origin else None


@cache
def champ() -> tuple[Gold, ...]:
    """CHAMP's golds, a category a task, without the marks that set formulas off."""
    path = champ_file()
    assert path is not None, "champ-dataset is not installed"
    problems = json.loads(path.read_text())["problems"].values()
    return tuple(_champ(problem["category"], problem["_raw_answer"].replace("@@", "")) for problem in problems)


def _champ(category: str, text: str) -> Gold:
    said = _SENTENCES.fullmatch(text)
    core = _ASIDE.sub("", next(g for g in said.groups() if g)) if said else _ASIDE.sub("", _ROUNDED.sub("", text))
    answers = _EQUIVALENT.split(core)
    counted = _COUNTED.fullmatch(core)
    if counted:
        answers.append(counted.group(1))
    value = number(_NAMED.sub("", answers[-1]))
    return Gold(f"champ/{category}", text, tuple(answers), value, sentence=bool(said) or core != text)


# ---------------------------------------------------------------- reasoning-gym and the demo worlds


@cache
def gym(each: int = 50, seed: int = 13) -> tuple[Gold, ...]:
    """`each` golds a task of reasoning-gym, without dollar signs around whole answers."""
    return tuple(gold for task in GYM_TASKS for gold in _gym(task, each, seed))


def _gym(task: str, each: int, seed: int) -> Iterator[Gold]:
    import reasoning_gym

    made = reasoning_gym.create_dataset(task, size=each, seed=seed)
    for at in range(each):
        text = made[at]["answer"]
        yield Gold(f"gym/{task}", text, (text.strip("$"),), number(text.strip("$")))


@cache
def demo() -> tuple[Gold, ...]:
    """The golds of the held-out problems that ship with the demo worlds, each once."""
    made = []
    for world in ("short", "long"):
        rows = [json.loads(line) for line in heldout_path(world).read_text().splitlines()]
        texts = sorted({row["answer"] for row in rows})
        made += [Gold(f"demo/{world}", text, (text,), number(text)) for text in texts]
    return tuple(made)


# ---------------------------------------------------------------- what a gold is worth

_LATEX_FRACTION = re.compile(r"\\d?frac\{(-?\d+)\}\{(\d+)\}")
_WORDY = re.compile(r"(?<![a-z0-9])(?!(?:sqrt|d?frac|floor|asin|atan|acos|days?)\b)[A-Za-z]{4,}|^[A-Z][a-z]+")
_CLOSED = ({"Yes", "No"}, {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"})
_HEX = re.compile(r"-?0x[0-9a-f]+")


def number(text: str) -> object:
    """The number that a text writes, exactly, else the text."""
    text = _LATEX_FRACTION.sub(r"\1/\2", text.strip())
    if _HEX.fullmatch(text):
        return Fraction(int(text, 16))
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return text


def is_words(text: str) -> bool:
    """Whether an answer is words, which stand in a formula as text."""
    return bool(re.fullmatch(r"[A-Za-z][A-Za-z ,'-]*", text)) and len(text) > 1


def in_formula(text: str) -> str:
    """An answer as it stands in a formula."""
    if is_words(text):
        return f"\\text{{{text}}}"
    return text.replace("\u00b0", "^{\\circ}").replace("\u00d7", "\\times")


def others(golds: tuple[Gold, ...], seed: int) -> Iterator[tuple[Gold, Gold]]:
    """Each gold with another one of its task that is a different answer of its kind."""
    rng = random.Random(seed)
    by_task: dict[str, list[Gold]] = {}
    for gold in golds:
        by_task.setdefault(gold.task, []).append(gold)
    for gold in golds:
        different = [o for o in by_task[gold.task] if comparable(o, gold)]
        if different:
            yield gold, rng.choice(different)


def comparable(one: Gold, other: Gold) -> bool:
    """Whether two golds are different answers, and both values: "no" may be an answer to "how many"."""
    cased = one.task == "gym/simple_integration"  # x and X are letters of two problems
    if one.value == other.value or (cased and one.text.islower() != other.text.islower()):
        return False
    words = any(_WORDY.search(gold.answers[-1]) for gold in (one, other))
    return not words or any({one.text, other.text} <= closed for closed in _CLOSED)
