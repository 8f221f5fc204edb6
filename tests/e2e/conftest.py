"""A finished small run on the demo policy, made once; others replay it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from support.runs import SMALL, run_ok, with_changes, write_spec


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


@pytest.fixture(scope="session")
def replay_run(replay_spec: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`replay_spec` run to its end on a local cluster: the rows that every other cluster must give."""
    folder = tmp_path_factory.mktemp("replay")
    run_ok(write_spec(folder / "spec.yaml", replay_spec), folder / "run")
    return folder / "run"


@pytest.fixture
def free_port() -> int:
    """A port of this machine that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
