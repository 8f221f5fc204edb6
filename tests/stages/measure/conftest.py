"""The made-up run that the measuring tests read, and what a stage asks of the engine."""

from __future__ import annotations

import pytest

from support.made_up_run import FakeServices, World, made_up_world


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.fixture
def world() -> World:
    return made_up_world()
