"""What a first-error label costs: exhaustive Monte Carlo, bisection, adaptive and posterior search, against the truth.

    python benchmarks/step_labels.py [--keep DIR]
    python benchmarks/step_labels.py --coverage [--keep DIR]

Wrong rollouts of mixed groups of the demo worlds, each with a pool of real continuations of all its prefixes
(`step_pool`). Every labeler draws from that pool in order, so that all see the same samples, and pays what they cost.
Truth is the reference checker's first wrong step. For each labeler at each of its settings: mean tokens a rollout,
first-error accuracy (exact), AUROC of first wrong against right steps. Exhaustive Monte Carlo is decided by every rule
of `step_rules`, and the best of them at 16 continuations a prefix, chosen on these very rollouts, sets the accuracy
that the others are to reach; `tokens_share` is what they need for it, of what exhaustive 16 costs. Intervals are over
rollouts, of which there is one a problem (bootstrap with a fixed seed). Labelers that draw no continuations
(`labeler_output`) stand beside them at their one setting. Rollouts of eight steps and more and shorter ones are
reported apart.

`--coverage` measures instead whether the 95% intervals of step values contain the values (`step_coverage`).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from labeler_output import figures
from measuring import machine, print_json, say
from numpy.typing import NDArray
from step_case import Case
from step_coverage import collect, summarise
from step_pool import Pool, pipeline, read_pool
from step_rules import RULES, Played, orders, play, scores_of, tokens_for
from step_truth import auroc

from synthflow.stages.label.error_model import predict, suspicion
from synthflow.stages.label.posterior import PosteriorSearch
from synthflow.stages.label.searchers import Adaptive, Bisection, Exhaustive, Searcher, Target

Floats = NDArray[np.float64]
LONG = 8
"""Steps from which on a rollout is a long one."""
REFERENCE_N = 16
BOOTSTRAPS = 400
SUSPICIOUS = "posterior, surprisal"
"""The rule `posterior` that also knows what the search knows: how unlikely the tokens of each step were."""
PROBLEMS = {"long": 216, "short": 280}


@dataclass(frozen=True, slots=True)
class Labeler:
    """A rule for where continuations go, at several settings, and what reads the first error off the outcome.

    Attributes:
        make: (target, setting) to the searcher.
        rules: names in `RULES`, or `said`: the searcher's own answer, its likeliest step where it names none.
        scores: what AUROC is taken of, as `step_rules.scores_of`.
    """

    make: Callable[[Target, Any], Searcher]
    settings: Sequence[Any]
    rules: Sequence[str]
    scores: str


def labelers(k: int) -> dict[str, Labeler]:
    """All that are compared, none of which asks for more than `k` continuations of a prefix."""
    sizes = [n for n in (1, 2, 4, 8, 16, 32, 64) if n <= k]
    prices = (0.2, 0.1, 0.06, 0.03, 0.02, 0.01, 0.007, 0.005, 0.003, 0.001)
    return {
        "exhaustive": Labeler(lambda t, n: Exhaustive(t, n), sizes, (*RULES, SUSPICIOUS), "advantage"),
        "bisection": Labeler(lambda t, n: Bisection(t, n, batch=1), sizes, ("said",), "said"),
        "adaptive": Labeler(partial(_adaptive), sizes, ("posterior",), "posterior"),
        "posterior": Labeler(partial(_posterior, k, batch=1), prices, ("said",), "said"),
        "posterior, 4 at once": Labeler(partial(_posterior, k, batch=4), prices, ("said",), "said"),
        "posterior, even prior": Labeler(partial(_posterior, k, batch=1, even=True), prices, ("said",), "said"),
    }  # fmt: skip


def _posterior(k: int, target: Target, price: float, *, batch: int, even: bool = False) -> Searcher:
    target = replace(target, prior=None) if even else target
    return PosteriorSearch(target, k, confidence=0.97, least_information=price, batch=batch)


def _adaptive(target: Target, n: int) -> Searcher:
    """Until the interval does not hold half of the prompt's value, where a prefix counts as alive."""
    right, judged = target.prompt
    threshold = 0.5 * right / judged if judged else 0.25
    return Adaptive(target, n, half_width=None, threshold=threshold, n_min=min(n, 2), batch=2)


@dataclass(slots=True)
class Curve:
    """Outcomes of a labeler under one rule: by setting, arrays over cases (means over the orders of drawing)."""

    tokens: dict[Any, Floats]
    right: dict[Any, Floats]

    def points(self, rows: NDArray[np.int64]) -> dict[Any, tuple[float, float]]:
        return {s: (float(self.tokens[s][rows].mean()), float(self.right[s][rows].mean())) for s in self.tokens}


@dataclass(slots=True)
class Outcome:
    """All outcomes of one labeler: curves by rule, and by setting its AUROC and continuations a rollout."""

    curves: dict[str, Curve]
    auroc: dict[Any, float]
    asked: dict[Any, float]


def target_of(case: Case) -> Target:
    prior = None if case.surprisal is None else tuple(suspicion(case.surprisal).tolist())
    return Target(case.remaining, tuple(range(1, case.steps)), case.prompt, prior)


def run_labeler(labeler: Labeler, cases: Sequence[Case], shuffles: int) -> Outcome:
    """Play a labeler at all settings over all cases."""
    curves = {rule: Curve({}, {}) for rule in labeler.rules}
    found: dict[Any, float] = {}
    asked: dict[Any, float] = {}
    for setting in labeler.settings:
        tokens, continuations = np.zeros((2, len(cases)))
        right = {rule: np.zeros(len(cases)) for rule in labeler.rules}
        scores: list[Floats] = []
        positive: list[NDArray[np.bool_]] = []
        for at, case in enumerate(cases):
            for seed in range(shuffles):
                played = play(labeler.make(target_of(case), setting), case, orders(case, seed))
                tokens[at] += played.spent / shuffles
                continuations[at] += played.asked / shuffles
                for rule in labeler.rules:
                    right[rule][at] += (answer(rule, played, case) == case.truth) / shuffles
                told, first = scores_of(played, labeler.scores), np.arange(case.steps) == case.truth
                among = first | (np.array(case.kinds) == "right")
                scores.append(told[among])
                positive.append(first[among])
        found[setting] = auroc(np.concatenate(scores), np.concatenate(positive))
        asked[setting] = float(continuations.mean())
        for rule, curve in curves.items():
            curve.tokens[setting], curve.right[setting] = tokens, right[rule]
    return Outcome(curves, found, asked)


def answer(rule: str, played: Played, case: Case) -> int | None:
    """The step that is named: by a rule that reads counts, or by the searcher itself."""
    if rule == SUSPICIOUS:
        return int(predict(*played.counts, target_of(case).prior).chances[:-1].argmax())
    if rule != "said":
        return RULES[rule](played.counts)
    if played.index is None and played.chances is not None:
        return int(np.argmax(played.chances))
    return played.index


def compare(outcomes: Mapping[str, Outcome], cases: int) -> dict[str, Any]:
    """Best rule of exhaustive Monte Carlo, and what the others need for its accuracy."""
    everything = np.arange(cases)
    exhaustive = outcomes["exhaustive"].curves
    accuracy = {rule: float(curve.right[REFERENCE_N].mean()) for rule, curve in exhaustive.items()}
    best = max(accuracy, key=lambda rule: accuracy[rule])
    result: dict[str, Any] = {
        "best_rule": best,
        "accuracy": accuracy[best],
        "tokens": float(exhaustive[best].tokens[REFERENCE_N].mean()),
        "accuracy_by_rule": dict(sorted(accuracy.items(), key=lambda item: -item[1])),
        "tokens_share": {},
    }
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, cases, cases) for _ in range(BOOTSTRAPS)]
    for name, outcome in outcomes.items():
        curve = outcome.curves[best] if name == "exhaustive" else next(iter(outcome.curves.values()))
        share = _share(curve, exhaustive[best], everything)
        drawn = np.array([_share(curve, exhaustive[best], rows) for rows in draws])
        reached = ~np.isnan(drawn)
        # One that does not get there costs more than any number: it counts as infinite.
        low, high = np.quantile(np.where(reached, drawn, np.inf), [0.025, 0.975], method="inverted_cdf")
        result["tokens_share"][name] = {
            "value": _finite(share), "low": _finite(low), "high": _finite(high), "reached": float(reached.mean()),
        }  # fmt: skip
    return result


def _share(curve: Curve, reference: Curve, rows: NDArray[np.int64]) -> float:
    target = float(reference.right[REFERENCE_N][rows].mean())
    return tokens_for(target, curve.points(rows)) / float(reference.tokens[REFERENCE_N][rows].mean())


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def report(name: str, cases: Sequence[Case], k: int, shuffles: int) -> dict[str, Any]:
    """All figures of one group of rollouts, and a table for people."""
    outcomes: dict[str, Outcome] = {}
    for label, labeler in labelers(k).items():
        outcomes[label] = run_labeler(labeler, cases, shuffles)
        say(f"{name}: {label} played on {len(cases)} rollouts")
    compared = compare(outcomes, len(cases))
    curves: dict[str, list[dict[str, Any]]] = {}
    say(
        f"\n{name}: {len(cases)} rollouts, {np.mean([c.steps for c in cases]):.1f} steps; exhaustive by rule at n = 16:"
    )
    for rule, accuracy in compared["accuracy_by_rule"].items():
        say(f"  {rule:<24}{accuracy:7.3f}")
    say(f"{'labeler':<24}{'setting':>9}{'continuations':>15}{'tokens':>9}{'accuracy':>10}{'AUROC':>8}")
    for label, outcome in outcomes.items():
        curve = outcome.curves[compared["best_rule"]] if label == "exhaustive" else next(iter(outcome.curves.values()))
        curves[label] = []
        for setting, (tokens, accuracy) in curve.points(np.arange(len(cases))).items():
            row = {
                "setting": setting, "continuations": outcome.asked[setting], "tokens": tokens, "accuracy": accuracy,
                "auroc": outcome.auroc[setting],
            }  # fmt: skip
            curves[label].append(row)
            say(
                f"{label:<24}{setting:>9}{row['continuations']:>15.1f}{tokens:>9.0f}{accuracy:>10.3f}{row['auroc']:>8.3f}"
            )
    for label, share in compared["tokens_share"].items():
        say(f"tokens for {compared['accuracy']:.3f} of exhaustive 16, {label}: {share}")
    others = figures(cases)
    for label, found in others.items():
        say(f"{label:<24}{'':>9}{'':>15}{found['tokens']:>9.0f}{found['accuracy']:>10.3f}{found['auroc'] or 0:>8.3f}")
    kinds = {kind: sum(c.error_kind == kind for c in cases) for kind in sorted({c.error_kind for c in cases})}
    return {"rollouts": len(cases), "mean_steps": float(np.mean([c.steps for c in cases])), "first_errors": kinds,
            **compared, "curves": curves, "one_setting": others}  # fmt: skip


def make_pool(world: str, problems: int, arguments: argparse.Namespace, folder: Path) -> Pool:
    """Run, or resume, the pool's pipeline, and read it."""
    from synthflow.execute.run import run_pipeline

    run = folder / f"pool-{world}"
    backend = {"backend": arguments.backend}
    run_pipeline(pipeline(world, problems, arguments.k, backend, arguments.engines), run)
    pool = read_pool(run)
    say(f"{world}: {len(pool.cases)} wrong rollouts; left out: {dict(pool.left_out)}")
    say(f"{world}: pass rates by operations: {dict(pool.pass_rate)}")
    return pool


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    pools = {
        world: make_pool(world, arguments.problems or PROBLEMS[world], arguments, folder) for world in arguments.worlds
    }
    cases = [case for pool in pools.values() for case in pool.cases]
    parts = {
        "eight_steps_and_more": [c for c in cases if c.steps >= LONG],
        "shorter": [c for c in cases if c.steps < LONG],
    }
    groups = {name: report(name, part, arguments.k, arguments.shuffles) for name, part in parts.items() if part}
    return {
        "benchmark": "step_labels",
        "target": "tokens_share of the posterior at most 0.2 on rollouts of eight steps and more",
        **groups,
        "pass_rate": {world: dict(pool.pass_rate) for world, pool in pools.items()},
        "left_out": {world: dict(pool.left_out) for world, pool in pools.items()},
        "pool": {"continuations": arguments.k, "orders": arguments.shuffles, "backend": arguments.backend},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="What first-error labels cost, against the reference checker.")
    parser.add_argument("--worlds", nargs="+", choices=tuple(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("--problems", type=int, help="of each world; default: 216 long and 280 short ones")
    parser.add_argument("--k", type=int, default=32, help="continuations of each prefix in the pool")
    parser.add_argument("--shuffles", type=int, default=4, help="orders in which the pool is drawn from")
    parser.add_argument("--backend", default="transformers", help="transformers or vllm")
    parser.add_argument("--engines", type=int, help="engine processes of the pool's run; default: the backend's own")
    parser.add_argument("--coverage", action="store_true", help="measure the intervals instead")
    parser.add_argument("--steps", type=int, default=420, help="coverage: steps of each world")
    parser.add_argument("--reference", type=int, default=512, help="coverage: fresh continuations of each step")
    parser.add_argument("--keep", type=Path, help="keep runs and measured steps in this folder, and go on from them")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="synthflow-steps-") as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if given.coverage:
            # Hundreds of continuations share a prefix, which is shorter than vLLM's blocks are on a CPU.
            blocks = {"engine_args": {"block_size": 32}} if given.backend == "vllm" else {}
            backend = {"backend": given.backend} | blocks
            lines = collect(folder / "coverage.jsonl", given.worlds, given.steps, given.reference, backend)
            result = {"benchmark": "step_labels --coverage", **summarise(lines)}
            for name, found in result.items():
                say(f"{name}: {found}")
        else:
            result = measure(given, folder)
    print_json(result | {"machine": machine()})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
