"""Ids are hashes of what they stand for, so they can be made again and compared.

Invariants: problem_id = H(messages), rollout_id = H(its parts and the run's seed), the seed of a rollout is that of
its id, prefix_id = H(problem, prefix tokens), artifact_id = H(kind, text, problem, source), step_id = H(rollout,
segmenter, index), completion_hash = H(completion). The hash is BLAKE2b, which no query engine has: rows are streamed
in batches and hashed one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from synthflow import ids
from synthflow.check.database import Rows
from synthflow.check.report import Finding
from synthflow.stores.shards import read_pieces

BATCH = 1024
_FIX = "restore the shard from a copy; if it is as it was written, the stage that made this id is at fault: report it"
_ARTIFACT = ("artifact_id", "kind", "text", "problem_id", "sample_id", "source_rollout_id")
Fault = tuple[str, str, str]
"""Kind, id of the row, what is wrong."""


def recompute(rows: Rows, run_seed: int | None) -> None:
    """Recompute the ids of problems, rollouts, artifacts and steps.

    Args:
        run_seed: the seed of the latest attempt; None where the manifest does not say, and then rollout ids are
            not checked, which is a warning.
    """
    _each(rows, "problem_id", "problems", ("problem_id", "prompt"), _problem_faults)
    if run_seed is None and rows.placed("rollouts"):
        what = "the attempt does not say its seed, so rollout ids were not recomputed"
        rows.found.warning("rollout_id", "manifest.jsonl", what, "run again with this version of Synthflow")
    columns = (
        "rollout_id", "problem_id", "policy_id", "round", "sampling_id", "prefix_id", "index", "seed", "condition",
        "branch_token", "prompt", "prompt_token_ids", "completion", "completion_hash", "on_policy",
    )  # fmt: skip
    _each(rows, "rollout_id", "rollouts", columns, lambda batch: _rollout_faults(batch, run_seed))
    if rows.placed("artifacts"):
        _each(rows, "artifact_id", "artifacts", _ARTIFACT, _artifact_faults)
    _each(rows, "step_id", "steps", ("step_id", "rollout_id", "segmenter", "index"), _step_faults)


def batches(rows: Rows, table: str, columns: Sequence[str], most: int = BATCH) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows of a table's intact shards, so many at a time, each with the path of their file."""
    for path, shards in rows.runs(table):
        for piece in read_pieces(rows.link, shards, list(columns)):
            for batch in piece.to_batches(max_chunksize=most):
                yield path, batch


def _each(
    rows: Rows, kind: str, table: str, columns: Sequence[str], faults: Callable[[pa.RecordBatch], Iterator[Fault]]
) -> None:
    rows.count(kind, table)
    for path, batch in batches(rows, table, columns):
        for kind_, id_, what in faults(batch):
            rows.found.add(Finding("error", kind_, f"{path} {columns[0]}={id_}", what, _FIX))


def _problem_faults(batch: pa.RecordBatch) -> Iterator[Fault]:
    for row in batch.to_pylist():
        made = ids.problem_id(row["prompt"])
        if made != row["problem_id"]:
            yield "problem_id", row["problem_id"], f"H(messages) is {made}"


def _step_faults(batch: pa.RecordBatch) -> Iterator[Fault]:
    for row in batch.to_pylist():
        made = ids.step_id(row["rollout_id"], row["segmenter"], row["index"])
        if made != row["step_id"]:
            yield "step_id", row["step_id"], f"H(rollout, segmenter, index) is {made}"


def _artifact_faults(batch: pa.RecordBatch) -> Iterator[Fault]:
    for row in batch.to_pylist():
        source = row["sample_id"] or row["source_rollout_id"] or ""
        made = ids.artifact_id(row["kind"], row["text"], row["problem_id"], source)
        if made != row["artifact_id"]:
            yield "artifact_id", row["artifact_id"], f"H(kind, text, problem, source) is {made}"


def _rollout_faults(batch: pa.RecordBatch, run_seed: int | None) -> Iterator[Fault]:
    tokens = batch.column("prompt_token_ids")
    for number, row in enumerate(batch.drop_columns(["prompt_token_ids"]).to_pylist()):
        rollout = row["rollout_id"]
        if run_seed is not None:
            made = ids.rollout_id(
                row["problem_id"],
                row["policy_id"],
                row["round"],
                row["sampling_id"],
                row["prefix_id"],
                row["index"],
                run_seed,
            )
            if made != rollout:
                yield "rollout_id", rollout, f"H(problem, policy, round, sampling, prefix, index, run seed) is {made}"
        if row["seed"] != ids.rollout_seed(rollout):
            yield "seed", rollout, f"its seed is {row['seed']}, that of its id is {ids.rollout_seed(rollout)}"
        if row["completion_hash"] != ids.text_hash(row["completion"]):
            yield "completion_hash", rollout, f"H(completion) is {ids.text_hash(row['completion'])}"
        yield from _prefix_faults(row, tokens[number])


def _prefix_faults(row: Mapping[str, Any], tokens: Any) -> Iterator[Fault]:
    if row["condition"] == "none" and row["prefix_id"] != ids.NO_PREFIX:
        what = f"a first rollout with the prefix_id {row['prefix_id']}, not {ids.NO_PREFIX}"
        yield "prefix_id", row["rollout_id"], what
    if row["condition"] != "prefix" or row["branch_token"] is None or not tokens.is_valid:
        return
    if not row["on_policy"]:
        return  # other words stand between the parent's tokens and its own, and no column says how many
    length = len(tokens.values)
    prefix = tokens.values.slice(max(0, length - row["branch_token"])).to_pylist() if row["branch_token"] > 0 else []
    # A template changes the prompt, and with it the problem that a prefix is a prefix of.
    made = {ids.prefix_id(problem, prefix) for problem in (row["problem_id"], ids.problem_id(row["prompt"]))}
    if row["prefix_id"] not in made:
        what = f"H(problem, last {row['branch_token']} prompt tokens) is {' or '.join(sorted(made))}"
        yield "prefix_id", row["rollout_id"], f"its prefix_id is {row['prefix_id']}; {what}"
