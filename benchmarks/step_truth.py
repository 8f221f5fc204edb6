"""Do step advantages find the steps that are wrong? Against the demo world's reference checker.

    python benchmarks/step_truth.py RUN

RUN is a run directory whose problems come from `source.demo` and whose steps were valued by a label stage. Every
labelled step is judged by `synthflow.demo.check_steps`, which reads the equations, knows the problem's facts, and has
never seen a verdict or a value. Prints one JSON line on stdout and a table on stderr:

- mean advantage, with a 95% interval, of steps that are right, that add an error of their own (`newly_wrong`, and of
  these the `first_wrong` of their rollout: later ones have nothing left to lose), that are true but build on an
  earlier error (`inherited`), or that make no claim (`unjudgeable`);
- AUROC of minus the advantage for newly wrong against right steps, and for first wrong against right ones; over all
  steps, and over those whose value comes from continuations (the last step's is the verdict, which knows more);
- how often `is_first_error` names the checker's first wrong step, among wrong rollouts where the label decides.

Steps of one problem are alike, so intervals are over problems: a cluster-robust standard error for means (Liang and
Zeger 1986, the sandwich of a ratio), a bootstrap of problems with a fixed seed for the AUROC.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthflow.demo import check_steps

KINDS = ("right", "newly_wrong", "first_wrong", "inherited", "unjudgeable")
Z95 = 1.959964
BOOTSTRAPS, SEED = 1000, 0


class Mean(NamedTuple):
    mean: float
    low: float
    high: float
    n: int
    clusters: int


def cluster_mean(values: NDArray[np.float64], clusters: NDArray[Any]) -> Mean:
    """Mean with a 95% interval that takes all values of one cluster as one draw.

    Variance of sum(x)/sum(1) over G clusters: G/(G-1) · sum_g (s_g - mean · n_g)² / N². Infinite for one cluster.
    """
    if not len(values):
        return Mean(np.nan, np.nan, np.nan, 0, 0)
    _, index = np.unique(clusters, return_inverse=True)
    sums, sizes = np.bincount(index, values), np.bincount(index)
    mean, groups = float(values.mean()), len(sums)
    if groups < 2:
        return Mean(mean, -np.inf, np.inf, len(values), groups)
    variance = groups / (groups - 1) * float(((sums - mean * sizes) ** 2).sum()) / len(values) ** 2
    half = Z95 * variance**0.5
    return Mean(mean, mean - half, mean + half, len(values), groups)


def auroc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Chance that a positive scores above a negative, ties counting half (Mann-Whitney); NaN without both."""
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    _, index, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # mean rank of equal scores
    return float((ranks[index][positive].sum() - n * (n + 1) / 2) / (n * m))


def auroc_interval(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], clusters: NDArray[Any], draws: int = BOOTSTRAPS
) -> tuple[float, float]:
    """95% percentile interval over resampled clusters; NaN where it cannot be told."""
    if not len(scores):
        return float("nan"), float("nan")
    _, index = np.unique(clusters, return_inverse=True)
    members = np.split(np.argsort(index, kind="stable"), np.cumsum(np.bincount(index))[:-1])
    rng = np.random.default_rng(SEED)
    found = []
    for _ in range(draws):
        rows = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        found.append(auroc(scores[rows], positive[rows]))
    known = np.array(found)[~np.isnan(found)]
    if len(known) < draws / 2:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def kind_of(judgement: Any) -> str:
    """Which of `KINDS` a `StepJudgement` is."""
    if judgement.verdict == "right":
        return "right"
    if judgement.verdict == "unjudgeable":
        return "unjudgeable"
    return "inherited" if judgement.error_kind == "inherited" else "newly_wrong"


def judge_rollouts(rows: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    """Rows of `read_run` with `kind` of each step and `is_true_first`: it is the checker's first wrong one."""
    by_rollout: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_rollout.setdefault(row["rollout_id"], []).append(row)
    for steps in by_rollout.values():
        steps.sort(key=lambda r: r["index"])
        texts = [r["completion"][r["char_start"] : r["char_end"]] for r in steps]
        judgements = check_steps(json.loads(steps[0]["metadata"]), texts)
        first = next((j.index for j in judgements if j.verdict == "wrong"), None)
        for row, judgement in zip(steps, judgements, strict=True):
            yield {**row, "kind": kind_of(judgement), "is_true_first": judgement.index == first}


def read_run(run: Path) -> list[dict[str, Any]]:
    """Labelled steps of a run with their rollout's text and their problem's metadata.

    Raises:
        SystemExit: if a table is missing.
    """
    import polars as pl

    def table(name: str, columns: Sequence[str], key: Sequence[str]) -> pl.LazyFrame:
        files = sorted((run / "tables" / name).glob("*/part-*.parquet"))
        if not files:
            raise SystemExit(f"{run}: no table {name!r}; expected a finished run with a label stage on the demo world")
        return pl.scan_parquet(files).select(columns).unique(key)

    valued = ["step_id", "labeler", "config_hash", "index", "advantage", "advantage_se", "n", "is_first_error"]
    return (
        table("step_values", valued, ["step_id", "labeler", "config_hash"])
        .join(table("steps", ["step_id", "rollout_id", "char_start", "char_end"], ["step_id"]), on="step_id")
        .join(table("rollouts", ["rollout_id", "problem_id", "completion"], ["rollout_id"]), on="rollout_id")
        .join(table("problems", ["problem_id", "metadata"], ["problem_id"]), on="problem_id")
        .sort("labeler", "config_hash", "rollout_id", "index")
        .collect()
        .to_dicts()
    )


def summarise(rows: Sequence[Mapping[str, Any]], draws: int = BOOTSTRAPS) -> dict[str, Any]:
    """The figures, from rows of `judge_rollouts`."""
    decided = [r for r in rows if r["advantage"] is not None]
    advantage = np.array([r["advantage"] for r in decided], np.float64)
    kinds = np.array([r["kind"] for r in decided], dtype=object)
    problems = np.array([r["problem_id"] for r in decided], dtype=object).astype(str)
    sampled = np.array([r["n"] > 0 for r in decided], bool)
    first = np.array([r["is_true_first"] for r in decided], bool)
    members = {kind: kinds == kind for kind in KINDS} | {"first_wrong": (kinds == "newly_wrong") & first}
    result: dict[str, Any] = {
        "steps": len(rows),
        "undecided": len(rows) - len(decided),
        "rollouts": len({r["rollout_id"] for r in rows}),
        "problems": len({r["problem_id"] for r in rows}),
        "advantage": {k: cluster_mean(advantage[m], problems[m])._asdict() for k, m in members.items()},
        "auroc": {},
    }
    for wrong in ("newly_wrong", "first_wrong"):
        for among, mask in (("all", np.ones(len(decided), bool)), ("sampled", sampled)):
            chosen = mask & (members["right"] | members[wrong])
            scores, positive = -advantage[chosen], members[wrong][chosen]
            low, high = auroc_interval(scores, positive, problems[chosen], draws)
            result["auroc"][f"{wrong}_{among}"] = {
                "value": auroc(scores, positive), "low": low, "high": high, "n": int(chosen.sum()),
            }  # fmt: skip
    named = [r for r in rows if r["is_first_error"]]
    result["first_error"] = {
        "wrong_rollouts": sum(r["is_true_first"] for r in rows),
        "named": len(named),
        "exact": sum(r["is_true_first"] for r in named),
        "newly_wrong": sum(r["kind"] == "newly_wrong" for r in named),
    }
    return result


def show(result: Mapping[str, Any]) -> str:
    """A table for people."""
    lines = [
        f"{result['steps']} steps of {result['rollouts']} rollouts of {result['problems']} problems, "
        f"{result['undecided']} undecided",
        f"{'step':<14}{'n':>7}{'problems':>10}{'mean advantage':>16}   95% interval",
    ]
    for kind, m in result["advantage"].items():
        lines.append(f"{kind:<14}{m['n']:>7}{m['clusters']:>10}{m['mean']:>16.3f}   [{m['low']:.3f}, {m['high']:.3f}]")
    for name, a in result["auroc"].items():
        lines.append(f"AUROC {name:<22}{a['n']:>7} steps   {a['value']:.3f} [{a['low']:.3f}, {a['high']:.3f}]")
    first = result["first_error"]
    lines.append(
        f"is_first_error: named in {first['named']} of {first['wrong_rollouts']} rollouts with a wrong step, "
        f"{first['exact']} times the checker's first wrong one"
    )
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python benchmarks/step_truth.py RUN\n")
        return 2
    result = summarise(list(judge_rollouts(read_run(Path(arguments[0])))))
    sys.stderr.write(show(result) + "\n")
    sys.stdout.write(json.dumps(_plain(result)) + "\n")
    return 0


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
