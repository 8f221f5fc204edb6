"""A cap on what a run samples counts what its journal holds and what workers report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synthflow.contracts import SampleResult
from synthflow.execute.spending import SpendCap
from synthflow.execute.stopping import Stopper
from synthflow.spec.models import ExecutionSpec
from synthflow.stores.journal import JournalWriter


def cap(journal: Path, **execution: Any) -> tuple[SpendCap, Stopper]:
    stopper = Stopper()
    return SpendCap(ExecutionSpec(**execution), journal, stopper), stopper


def test_a_run_without_a_cap_reads_no_journal_and_never_stops(tmp_path: Path) -> None:
    found, stopper = cap(tmp_path / "none")
    found.counted({"tokens": 10**12})
    assert not found.reached and not stopper.asked


@pytest.mark.parametrize("n_tokens", [6, None])
def test_what_was_spent_before_counts_though_nobody_counted_it(n_tokens: int | None, tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, ["p_1"], 1)
    writer.append(SampleResult("r_1", "answer", "stop", n_tokens=n_tokens), "p_1")
    writer.close()
    assert cap(tmp_path, max_tokens=6)[0].reached
    found, stopper = cap(tmp_path, max_tokens=10)
    found.counted({"tokens": 1, "sampled": 3})
    assert not found.reached and not stopper.asked
    found.counted({"uncounted": 3})
    assert found.reached and stopper.asked
    assert "10 of the 10 tokens" in str(found.error(4)) and "4 units" in str(found.error(4))
