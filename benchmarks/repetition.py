"""What the limits of `filter.repetition` do to real answers and to loops planted in them.

    python benchmarks/repetition.py CHAMP

CHAMP is the file `v0.json` of the package champ-dataset (Mao, Kim and Zhou 2024, MIT): answers of four models to
mathematical problems, in which a person has marked the first mistake. The table in docs/filters.md is what it prints.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from synthflow.filters.repetition import RepetitionConfig, RepetitionFilter

GOPHER = RepetitionConfig(
    dup_line_frac=0.3, dup_para_frac=0.3, dup_line_char_frac=0.2, dup_para_char_frac=0.2,
    top_n_grams={2: 0.2, 3: 0.18, 4: 0.16}, max_chars=100_000,
    dup_n_grams={5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10},
)  # fmt: skip
LIMITS: Mapping[str, RepetitionConfig] = {"defaults": RepetitionConfig(), "Gopher's": GOPHER}
UNITS: Mapping[str, tuple[int, str]] = {
    "a word": (1, " "),
    "five words": (5, " "),
    "a sentence": (18, " "),
    "a paragraph": (80, "\n\n"),
}
"""How many words at the end of a text are repeated, and with what between."""
LENGTHS = (1000, 2000, 4000)


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    is_flawless: bool


def answers(path: Path) -> Iterator[Answer]:
    """Answers that a person has looked at."""
    for problem in json.loads(path.read_text())["problems"].values():
        for marked in problem["fws_annotations"].values():
            yield Answer(marked["text"], marked["start_idx"] is None)


def planted(text: str, unit: str, characters: int, rng: random.Random) -> str:
    """A part of a text, of which the end is repeated until that many characters have been added."""
    words, between = UNITS[unit]
    head = text[: int(len(text) * rng.uniform(0.4, 1))].rstrip()
    repeated = "".join(re.findall(r"\S+\s*", head)[-words:]).strip() + between
    return f"{head}{between}{(repeated * (characters // len(repeated) + 1))[:characters]}"


def dropped(config: RepetitionConfig, texts: list[str]) -> list[bool]:
    rows = {"rollout_id": [f"r_{i}" for i in range(len(texts))], "completion": texts}
    return [not keep for keep in RepetitionFilter(config).judge(pl.DataFrame(rows))["keep"]]


def main(path: Path) -> None:
    found = list(answers(path))
    flawless = [answer.text for answer in found if answer.is_flawless]
    print(f"| dropped of | {' | '.join(LIMITS)} |\n|---|{'---:|' * len(LIMITS)}")
    for name, texts in (("all answers", [a.text for a in found]), ("flawless answers", flawless)):
        counts = [sum(dropped(config, texts)) for config in LIMITS.values()]
        print(f"| {len(texts)} {name} | {' | '.join(map(str, counts))} |")
    for unit in UNITS:
        for characters in LENGTHS:
            rng = random.Random(0)
            texts = [planted(text, unit, characters, rng) for text in flawless]
            shares = [f"{sum(dropped(config, texts)) / len(texts):.0%}" for config in LIMITS.values()]
            print(f"| {unit} repeated over {characters:,} characters | {' | '.join(shares)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
