"""A finished small run on the demo policy, made once; others replay it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from support import SMALL, run_ok, with_changes, write_spec


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small pipeline, run to its end with the transformers backend on the demo policy."""
    folder = tmp_path_factory.mktemp("small")
    run_ok(write_spec(folder / "small.yaml", SMALL), folder / "run")
    return folder / "run"


@pytest.fixture(scope="session")
def replay_spec(small_run: Path) -> dict[str, object]:
    """The small pipeline answered from what `small_run` recorded."""
    policy = {"backend": "replay", "model": str(small_run), "tokenizer": "demo"}
    return with_changes(SMALL, policy=policy)
