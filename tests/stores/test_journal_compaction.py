"""Segments of a journal put together say what they said, wherever a kill comes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from synthflow.contracts import SampleResult
from synthflow.stores import journal_compaction
from synthflow.stores.journal import JournalWriter, attempt_of, lookup
from synthflow.stores.journal_compaction import compact_journal, drop_journal

PROBLEMS = [f"p_{number:024x}" for number in range(0, 1 << 92, 1 << 88)]


def result(rollout: str, text: str) -> SampleResult:
    return SampleResult(f"r_{rollout:0>24}", text, "stop", token_ids=(1, 2), n_tokens=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two attempts: the second sampled the first problem's rollout again."""
    for attempt in (1, 2):
        for number, problem in enumerate(PROBLEMS):
            if attempt == 1 or number == 0:
                writer = JournalWriter(tmp_path, [problem], attempt)
                writer.append(result(f"{number:x}", f"of attempt {attempt}"), problem)
                writer.close()
    return tmp_path


def said(folder: Path) -> dict[str, str]:
    wanted = [result(f"{number:x}", "").rollout_id for number in range(len(PROBLEMS))]
    found = lookup(folder, PROBLEMS, wanted)
    results = found[0] if isinstance(found, tuple) else found
    return {rollout: results[rollout].text for rollout in results}


def test_attempts_stay_apart_and_every_problem_finds_its_segment(folder: Path) -> None:
    before = said(folder)
    assert len(before) == len(PROBLEMS) and before[result("0", "").rollout_id] == "of attempt 1"
    compact_journal(folder)
    assert sorted(attempt_of(path.name) for path in folder.iterdir()) == [1, 2]
    assert said(folder) == before
    compact_journal(folder)
    assert len(list(folder.iterdir())) == 2


def test_torn_lines_go(folder: Path) -> None:
    before = said(folder)
    torn = min(folder.iterdir())
    torn.write_bytes(torn.read_bytes() + b"12345678 {")
    compact_journal(folder)
    assert said(folder) == before
    assert b"12345678 {" not in b"".join(path.read_bytes() for path in folder.iterdir())


def test_segments_are_closed_at_their_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = min(path.stat().st_size for path in folder.iterdir())
    monkeypatch.setattr(journal_compaction, "SEGMENT_BYTES", 2 * size)
    before, segments = said(folder), len(list(folder.iterdir()))
    compact_journal(folder)
    assert said(folder) == before
    assert len(list(folder.iterdir())) == pytest.approx(segments / 2, abs=2)


def test_a_kill_before_the_old_segments_go_changes_nothing(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = said(folder)
    copy = Path(shutil.copytree(folder, tmp_path_factory.mktemp("copy") / "journal"))
    compact_journal(copy)
    for path in copy.iterdir():
        shutil.copy(path, folder)
    assert said(folder) == before
    compact_journal(folder)
    assert said(folder) == before


def test_a_dropped_journal_is_empty(folder: Path) -> None:
    drop_journal(folder)
    assert said(folder) == {}
