"""Wrong rollouts of a demo world and real continuations of every prefix of them, from which labelers draw.

The pool is a run: rollouts of the world's own policy, the verdicts of `verify.math`, and `label.monte_carlo` on one
wrong rollout of each mixed group, by the engine and verifier that any run uses. A run directory that is there is
resumed, which pays for nothing twice. Every labeler then draws from the same continuations in the same order, at the
tokens that these have cost, so that labelers differ by what they ask for and by nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from labeler_output import read_said
from labeler_output import stages as other_stages
from numpy.typing import NDArray
from step_case import Case, Said
from step_truth import kind_of

from synthflow import ids
from synthflow.demo import check_steps

if TYPE_CHECKING:
    import polars as pl

    from synthflow.spec.pipeline import Pipeline

MODELS = {"short": "demo", "long": "demo-long"}
MAX_TOKENS = {"short": 256, "long": 384}
GROUP = 16
"""Rollouts of each problem."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Cases, and the rollouts that are none, counted by why."""

    cases: Sequence[Case]
    left_out: Mapping[str, int]
    pass_rate: Mapping[str, float]
    """Share of correct rollouts among the judged, by operations."""


def pipeline(world: str, problems: int, k: int, backend: Mapping[str, Any], engines: int | None = None) -> Pipeline:
    """The run that makes a pool of `k` continuations a prefix, on the backend's own number of engines or another."""
    from synthflow.spec.pipeline import Pipeline

    tokens = MAX_TOKENS[world]
    stages: dict[str, dict[str, Any]] = {
        "problems": {"use": "source.demo", "world": world, "limit": problems},
        "rollouts": {"use": "sample", "of": "problems", "n": GROUP, "max_tokens": tokens},
        "verdicts": {"use": "verify.math", "of": "rollouts"},
        "steps": {
            "use": "label.monte_carlo", "of": "verdicts", "n": k, "rollouts_per_problem": 1, "max_tokens": tokens,
        },
        **other_stages(tokens),
    }  # fmt: skip
    other = next(name for name in MODELS if name != world)
    policies = {"default": {"model": MODELS[world], **backend}, "other": {"model": MODELS[other], **backend}}
    return Pipeline.build(f"pool-{world}", stages, policies=policies, execution={"engines": engines})


def read_pool(run: Path) -> Pool:
    """The pool that a finished run holds.

    Raises:
        SystemExit: if a table is missing.
    """
    import polars as pl

    def table(name: str) -> pl.LazyFrame:
        files = sorted((run / "tables" / name).glob("*/part-*.parquet"))
        if not files:
            raise SystemExit(f"{run}: no table {name!r}; expected a finished run of this benchmark")
        return pl.scan_parquet(files)

    problems = table("problems").select("problem_id", "metadata").unique("problem_id")
    # A run directory that was given more problems, or a larger pool, keeps what it had: each row counts once.
    scores = table("scores").filter(pl.col("kind") == "verdict").unique("target_id")
    verdicts = scores.select(rollout_id="target_id", verdict="verdict")
    rollouts = table("rollouts").unique("rollout_id").join(verdicts, on="rollout_id", how="left")
    rollouts = rollouts.join(problems, on="problem_id").collect()
    first = rollouts.filter(pl.col("condition") == "none")
    drawn = _by_prefix(rollouts.filter(pl.col("condition") == "prefix"))
    groups = {  # a wrong rollout is judged, and not one of its own group
        problem: (int((group["verdict"] == "correct").sum()), int((group["verdict"] != "unknown").sum()) - 1)
        for (problem,), group in first.group_by("problem_id")
    }
    spans = table("steps").unique("step_id").collect()
    steps = {rollout: part.sort("index").to_dicts() for (rollout,), part in spans.group_by("rollout_id")}
    told = table("step_values")
    said: dict[str, dict[str, Said]] = {}
    for (labeler, rollout), found_of in read_said(told).items():
        said.setdefault(rollout, {})[labeler] = found_of
    labelled = set(told.filter(pl.col("labeler") == "monte_carlo").select("rollout_id").collect()["rollout_id"])
    cases, left_out = list[Case](), dict[str, int]()
    for row in first.filter(pl.col("rollout_id").is_in(list(labelled))).sort("problem_id").iter_rows(named=True):
        found = _case(row, steps[row["rollout_id"]], groups[row["problem_id"]], drawn)
        if isinstance(found, Case):
            cases.append(replace(found, said=said.get(row["rollout_id"], {})))
        else:
            left_out[found] = left_out.get(found, 0) + 1
    return Pool(cases, left_out, dict(_pass_rate(first)))


def _pass_rate(first: pl.DataFrame) -> Iterator[tuple[str, float]]:
    counts: dict[int, list[int]] = {}
    for metadata, verdict in first.select("metadata", "verdict").iter_rows():
        if verdict != "unknown":
            counts.setdefault(json.loads(metadata)["n_ops"], []).append(verdict == "correct")
    for ops in sorted(counts):
        yield str(ops), sum(counts[ops]) / len(counts[ops])


def _by_prefix(rows: pl.DataFrame) -> dict[str, tuple[NDArray[np.int8], NDArray[np.int32]]]:
    """Verdicts and tokens of the continuations of each prefix, in the order of their index."""
    code = {"correct": 1, "wrong": 0}
    out = {}
    for (prefix,), part in rows.sort("index").group_by("prefix_id", maintain_order=True):
        out[str(prefix)] = (
            np.array([code.get(v, -1) for v in part["verdict"]], np.int8),
            part["n_tokens"].to_numpy().astype(np.int32),
        )
    return out


def _case(
    row: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
    prompt: tuple[int, int],
    drawn: Mapping[str, tuple[NDArray[np.int8], NDArray[np.int32]]],
) -> Case | str:
    """The case of one labelled rollout, or why it is none."""
    if row["verdict"] != "wrong":
        return "not_wrong"
    if len(steps) < 2:
        return "one_step"
    metadata = json.loads(row["metadata"])
    judged = check_steps(metadata, [row["completion"][s["char_start"] : s["char_end"]] for s in steps])
    truth = next((j for j in judged if j.verdict == "wrong"), None)
    if truth is None:
        return "no_step_is_wrong"
    problem = ids.problem_id(row["prompt"])
    keys = [ids.prefix_id(problem, row["token_ids"][: s["token_end"]]) for s in steps[:-1]]
    if any(key not in drawn for key in keys):
        return "prefix_not_sampled"
    k = min(len(drawn[key][0]) for key in keys)
    verdicts = np.full((len(steps) + 1, k), -1, np.int8)
    tokens = np.zeros((len(steps) + 1, k), np.int32)
    for j, key in enumerate(keys, start=1):
        verdicts[j], tokens[j] = (found[:k] for found in drawn[key])
    total = len(row["token_ids"])
    remaining = (total, *(total - s["token_end"] for s in steps))
    kinds = tuple(map(kind_of, judged))
    family, error = metadata["family"], str(truth.error_kind)
    nats = None
    if row["logprobs"] is not None:
        nats = tuple(-sum(row["logprobs"][s["token_start"] : s["token_end"]]) for s in steps)
    return Case(row["problem_id"], family, error, truth.index, kinds, remaining, prompt, verdicts, tokens, nats)
