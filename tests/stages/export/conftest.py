from __future__ import annotations

from typing import Any

import pytest

from support import export_world


@pytest.fixture(scope="session")
def world() -> Any:
    """The module of the made-up run that is exported."""
    return export_world


@pytest.fixture(scope="session")
def tables() -> Any:
    return export_world.make_tables(24)
