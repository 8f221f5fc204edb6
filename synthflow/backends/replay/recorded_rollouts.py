"""Recorded rollouts on disk, looked up by problem.

Invariant: what is in memory is an index of 16 bytes per problem and row group, and the row groups read last, up
to a fixed number of bytes; the recording itself stays on disk. The order of files changes no answer.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synthflow import ids
from synthflow.contracts import PolicyIdentity
from synthflow.errors import UserError

COLUMNS = (
    "rollout_id", "problem_id", "prefix_id", "prompt_token_ids", "token_ids", "logprobs", "sampling_logprobs",
    "completion", "finish_reason", "n_tokens", "author_spans",
)  # fmt: skip
_LISTS = ["prompt_token_ids", "token_ids", "logprobs", "sampling_logprobs"]
_PLAIN = ["rollout_id", "prefix_id", "completion", "finish_reason", "n_tokens", "author_spans"]
_ENTRY = np.dtype([("problem", "<u8"), ("file", "<u4"), ("group", "<u4")])


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded rollout."""

    rollout_id: str
    first: bool
    prompt: tuple[int, ...] | None
    tokens: tuple[int, ...] | None
    logprobs: tuple[float, ...] | None
    sampling_logprobs: tuple[float, ...] | None
    text: str
    finish_reason: str
    n_tokens: int | None
    answer_start: int | None = None


def _hash(problem_id: str) -> int:
    return int(ids.digest(problem_id)[:16], 16)


def find_files(model: str) -> list[Path]:
    """Parquet files of a recording: a run directory, a folder, or one file; sorted.

    Raises:
        UserError: if there are none.
    """
    root = Path(model).expanduser()
    if root.is_file():
        return [root]
    rollouts = root / "tables" / "rollouts"
    found = sorted((rollouts if rollouts.is_dir() else root).rglob("*.parquet")) if root.is_dir() else []
    if not found:
        raise UserError(
            f"model {model!r}: no recorded rollouts; expected a run directory (with tables/rollouts), a folder of "
            "Parquet files of the rollouts table, or one such file"
        )
    return found


class Recording:
    """Rollouts of a run directory, a folder of Parquet files, or one file. Safe to use from many threads.

    Args:
        model: where it lies.
        cache_bytes: decoded row groups kept in memory; the last one is, whatever its size.
    """

    def __init__(self, model: str, cache_bytes: int) -> None:
        self._model, self._cache_bytes = model, cache_bytes
        self._files = find_files(model)
        self._index: np.ndarray[Any, Any] | None = None
        self._cache: OrderedDict[tuple[int, int], _Group] = OrderedDict()
        self._lock = threading.Lock()

    def _open(self, path: Path, columns: Iterable[str]) -> pq.ParquetFile:
        try:
            file = pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{path}: not a readable Parquet file ({error}); replay a run that ended well") from error
        missing = [c for c in columns if c not in file.schema_arrow.names]
        if missing:
            raise UserError(f"{path}: no column {missing[0]!r}; expected a file of the rollouts table")
        return file

    def identity(self) -> PolicyIdentity:
        """The policy that was recorded.

        Raises:
            UserError: if the recording holds none, or several.
        """
        found: set[str] = set()
        for path in self._files:
            with self._open(path, ["policy_id"]) as file:
                for batch in file.iter_batches(columns=["policy_id"]):
                    found.update(str(p) for p in pc.unique(batch.column(0)).to_pylist())
        if len(found) != 1:
            names = ", ".join(sorted(found)) or "none"
            raise UserError(
                f"model {self._model!r} holds rollouts of {len(found)} policies ({names}); "
                "replay needs exactly one: give the Parquet files of one policy"
            )
        [policy_id] = found
        hashes = self._hashes(policy_id)
        return PolicyIdentity(policy_id, *hashes, {"recorded": True})

    def _hashes(self, policy_id: str) -> tuple[str, str, str]:
        names = ["weights_hash", "tokenizer_hash", "template_hash"]
        for path in sorted((Path(self._model).expanduser() / "tables" / "policies").rglob("*.parquet")):
            rows = pq.read_table(path, columns=["policy_id", *names]).filter(pc.field("policy_id") == policy_id)
            if rows.num_rows:
                first = rows.slice(0, 1).to_pylist()[0]
                return first[names[0]], first[names[1]], first[names[2]]
        return (f"recorded:{policy_id}",) * 3

    def open(self) -> None:
        """Read the index: one pass over the problem_id column."""
        parts = [np.empty(0, _ENTRY)]
        for number, path in enumerate(self._files):
            with self._open(path, COLUMNS) as file:
                for group in range(file.num_row_groups):
                    column = file.read_row_group(group, columns=["problem_id"]).column(0)
                    problems = [str(p) for p in pc.unique(column).to_pylist()]
                    entry = np.empty(len(problems), _ENTRY)
                    entry["problem"] = [_hash(p) for p in problems]
                    entry["file"], entry["group"] = number, group
                    parts.append(entry)
        index = np.concatenate(parts)
        index.sort(order=["problem", "file", "group"])
        self._index = index

    def of_problem(self, problem_id: str) -> dict[str, Recorded]:
        """Everything recorded for a problem by rollout_id, in its order; the first of rows with one id."""
        assert self._index is not None
        key = np.uint64(_hash(problem_id))
        low, high = (np.searchsorted(self._index["problem"], key, side=side) for side in ("left", "right"))
        with self._lock:
            groups = [self._group(int(e["file"]), int(e["group"])) for e in self._index[low:high]]
        found: dict[str, Recorded] = {}
        for group in groups:
            for row in group.of_problem(problem_id):
                found.setdefault(row.rollout_id, row)
        return dict(sorted(found.items()))

    def _group(self, file: int, group: int) -> _Group:
        key = (file, group)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        with self._open(self._files[file], ()) as reader:
            table = reader.read_row_group(group, columns=list(COLUMNS))
        self._cache[key] = _Group(table)
        while len(self._cache) > 1 and sum(g.nbytes for g in self._cache.values()) > self._cache_bytes:
            self._cache.popitem(last=False)
        return self._cache[key]

    def close(self) -> None:
        """Forget what was read."""
        with self._lock:
            self._cache.clear()


class _Group:
    """A row group in memory, in the order of problems: numbers are read from its columns' own buffers, row by row."""

    def __init__(self, table: pa.Table) -> None:
        problems = [str(problem) for problem in table.column("problem_id").to_pylist()]
        order = sorted(range(len(problems)), key=problems.__getitem__)
        if order != list(range(len(problems))):
            table = table.take(pa.array(order))
            problems = [problems[row] for row in order]
        self.nbytes = table.nbytes
        self._problems, self._plain = problems, table.select(_PLAIN)
        self._lists = [_Lists(table.column(name)) for name in _LISTS]

    def of_problem(self, problem_id: str) -> Iterator[Recorded]:
        first, end = bisect_left(self._problems, problem_id), bisect_right(self._problems, problem_id)
        plain = [column.to_pylist() for column in self._plain.slice(first, end - first).columns]
        for row, (rollout, prefix, text, finish_reason, n_tokens, spans) in enumerate(zip(*plain, strict=True), first):
            prompt, tokens, logprobs, others = [lists.of(row) for lists in self._lists]
            thoughts = [span["end"] for span in spans if span["author"] == "thought"] if spans else []
            answer = max(thoughts, default=None)
            first_of_all = prefix == ids.NO_PREFIX
            yield Recorded(
                rollout, first_of_all, prompt, tokens, logprobs, others, text, finish_reason, n_tokens, answer
            )


class _Lists:
    """A column of lists of numbers."""

    def __init__(self, column: pa.ChunkedArray[Any]) -> None:
        lists: Any = column.combine_chunks()
        self._valid = lists.is_valid().to_numpy(zero_copy_only=False)
        self._ends = lists.offsets.to_numpy()
        self._values = lists.values.to_numpy()

    def of(self, row: int) -> tuple[Any, ...] | None:
        return tuple(self._values[self._ends[row] : self._ends[row + 1]].tolist()) if self._valid[row] else None
