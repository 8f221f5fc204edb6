"""Tiny random policies and tokenizers, made once per session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.tiny_policy import write_byte_level, write_metaspace, write_policy


@pytest.fixture(scope="session")
def policy_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_policy(tmp_path_factory.mktemp("policy") / "tiny")


@pytest.fixture(scope="session")
def make_policy() -> Callable[..., Path]:
    return write_policy


@pytest.fixture(scope="session")
def byte_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("byte")
    write_byte_level(directory)
    return directory


@pytest.fixture(scope="session")
def metaspace_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("metaspace")
    write_metaspace(directory)
    return directory
