"""Measures a policy on the held-out problems: `python -m synthflow.demo.evaluate [--policy DIR]`.

Invariant: what is printed comes from samples at temperature 1 and top_p 1 and from the reference checker;
a truncated completion counts as not correct here and is reported beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synthflow.demo import check_steps, first_error, heldout_path, policy_path
from synthflow.demo.checker_parse import read_line
from synthflow.demo.train import MAX_NEW_TOKENS
from synthflow.demo.world import WORLDS


def final_answer(text: str) -> str | None:
    """The last boxed integer of a completion, as text."""
    for line in reversed(text.splitlines()):
        read = read_line(line)
        if read.has_answer:
            return None if read.answer is None else str(read.answer)
    return None


def evaluate(
    policy: Path, *, n: int, seed: int, limit: int | None, batch: int, device: str, world: str = "short"
) -> dict[str, Any]:
    """Samples n completions for every problem of a world and returns the measurements."""
    from synthflow.demo.sampling import load_policy, sample

    rows = [json.loads(line) for line in heldout_path(world).read_text(encoding="utf-8").splitlines()]
    rows = rows[:limit]
    rows.sort(key=lambda r: r["metadata"]["n_ops"])
    model, tokenizer = load_policy(policy, device)
    began = time.monotonic()
    groups: list[tuple[Mapping[str, Any], list[tuple[str, bool, int]]]] = []
    for at in range(0, len(rows), batch):
        part = rows[at : at + batch]
        prompts = [r["prompt"] for r in part]
        drawn = sample(model, tokenizer, prompts, n=n, seed=seed + at, max_new_tokens=MAX_NEW_TOKENS[world])
        groups.extend(zip(part, drawn, strict=True))
    report = measure(groups)
    report["seconds"] = round(time.monotonic() - began, 1)
    return report


def measure(groups: Sequence[tuple[Mapping[str, Any], list[tuple[str, bool, int]]]]) -> dict[str, Any]:
    """Pass rates, group states, lengths and the histogram of first errors."""
    per: dict[int, list[list[bool]]] = defaultdict(list)
    per_family: dict[str, list[bool]] = defaultdict(list)
    tokens: dict[int, list[int]] = defaultdict(list)
    kinds: Counter[str] = Counter()
    first_kinds: Counter[str] = Counter()
    truncated = total = distinct = agree = 0
    for row, completions in groups:
        n_ops = int(row["metadata"]["n_ops"])
        right: list[bool] = []
        for text, ended, length in completions:
            total += 1
            truncated += not ended
            tokens[n_ops].append(length)
            right.append(ended and final_answer(text) == row["answer"])
            judged = check_steps(row["metadata"], text.split("\n"))
            kinds.update(j.error_kind for j in judged if j.error_kind)
            at = first_error(judged)
            agree += (at is None) == right[-1]
            if not right[-1]:
                first_kinds[str(judged[at].error_kind) if at is not None else "none"] += 1
        distinct += len({text for text, _, _ in completions})
        per[n_ops].append(right)
        per_family[row["metadata"]["family"]].extend(right)
    mixed = {k: sum(0 < sum(g) < len(g) for g in v) / len(v) for k, v in sorted(per.items())}
    return {
        "problems": sum(map(len, per.values())),
        "samples": total,
        "pass_at_1": {k: round(sum(map(sum, v)) / sum(map(len, v)), 3) for k, v in sorted(per.items())},
        "pass_at_1_by_family": {k: round(sum(v) / len(v), 3) for k, v in sorted(per_family.items())},
        "mixed_groups": {k: round(v, 3) for k, v in mixed.items()},
        "mixed_groups_all": round(sum(mixed[k] * len(per[k]) for k in per) / sum(map(len, per.values())), 3),
        "mean_tokens": {k: round(sum(v) / len(v), 1) for k, v in sorted(tokens.items())},
        "truncated": round(truncated / total, 5),
        "distinct_completions": round(distinct / total, 3),
        "answer_right_iff_no_wrong_step": round(agree / total, 3),
        "first_error_of_wrong_answers": dict(first_kinds.most_common()),
        "all_error_kinds": dict(kinds.most_common()),
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m synthflow.demo.evaluate", description=__doc__)
    parser.add_argument("--world", choices=tuple(WORLDS), default="short")
    parser.add_argument("--policy", type=Path, default=None, help="a policy folder; the world's own when not given")
    parser.add_argument("--n", type=int, default=16, help="samples per problem")
    parser.add_argument("--limit", type=int, default=None, help="only the first problems of the file")
    parser.add_argument("--batch", type=int, default=32, help="problems per batch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(argv)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    report = evaluate(
        args.policy or policy_path(args.world),
        n=args.n,
        seed=args.seed,
        limit=args.limit,
        batch=args.batch,
        device=args.device,
        world=args.world,
    )
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
