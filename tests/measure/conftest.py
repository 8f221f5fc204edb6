"""Fixtures of the measuring tests; the made-up run is importable, for the catalog's tests too."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from made_up_run import FakeServices, World, made_up_world


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.fixture
def world() -> World:
    return made_up_world()
