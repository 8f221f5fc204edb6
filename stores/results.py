"""What was sampled, as the journal's lines hold it: results one by one, or their columns all at once.

Invariant: a line is decoded when somebody asks for it, and columns without a Python object a token.
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import pyarrow as pa

from synthflow.contracts import SampleResult
from synthflow.schema.types import F32S, I32S
from synthflow.stores.journal import encode, finish_of, record_of, result_of


@dataclass(frozen=True, slots=True)
class ResultColumns:
    """Columns of results, in their order."""

    texts: list[str]
    finish_reasons: list[str]
    token_ids: pa.Array[Any]
    logprobs: pa.Array[Any]
    sampling_logprobs: pa.Array[Any]
    n_tokens: list[int | None]
    answer_starts: list[int | None]


class Results(Sequence[SampleResult]):
    """Results in the order of the requests, from lines that are whole."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._lines = lines

    @classmethod
    def of(cls, results: Sequence[SampleResult]) -> Results:
        """The same results, whoever gives them."""
        return results if isinstance(results, Results) else cls([encode(result, "", 0)[:-1] for result in results])

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, at: int) -> SampleResult: ...
    @overload
    def __getitem__(self, at: slice) -> Results: ...
    def __getitem__(self, at: int | slice) -> SampleResult | Results:
        return Results(self._lines[at]) if isinstance(at, slice) else result_of(self._lines[at])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def finish_reasons(self) -> list[str]:
        return [finish_of(line) for line in self._lines]

    def with_notes(self) -> list[int]:
        """Places of results that may have notes."""
        return [at for at, line in enumerate(self._lines) if b',"notes":' in line]

    def columns(self) -> ResultColumns:
        records = [record_of(line) for line in self._lines]
        return ResultColumns(
            texts=[a2b_base64(record["text"]).decode("utf-8", "surrogatepass") for record in records],
            finish_reasons=[record["finish"] for record in records],
            token_ids=_lists([record["tokens"] for record in records], "<i4", I32S),
            logprobs=_lists([record["logprobs"] for record in records], "<f4", F32S),
            sampling_logprobs=_lists([record["sampling_logprobs"] for record in records], "<f4", F32S),
            n_tokens=[record["n_tokens"] for record in records],
            answer_starts=[record.get("answer") for record in records],
        )


def _lists(packed: Sequence[str | None], dtype: str, as_type: pa.ListType[Any]) -> pa.Array[Any]:
    """A column of lists from the packed numbers of each row, null where there are none."""
    raw = [None if text is None else a2b_base64(text) for text in packed]
    width = np.dtype(dtype).itemsize
    ends = np.cumsum([0, *(0 if one is None else len(one) // width for one in raw)])
    missing = pa.array([one is None for one in raw], pa.bool_())
    values = pa.array(np.frombuffer(b"".join(one for one in raw if one is not None), dtype))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), values, type=as_type, mask=missing)
