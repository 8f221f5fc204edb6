"""The fields of a problem's metadata, which is one JSON object as text."""

from __future__ import annotations

import json
from typing import Any


def fields(metadata: str) -> dict[str, Any]:
    """The object; empty where the text is none, which whoever needs a field then says."""
    try:
        held = json.loads(metadata)
    except (ValueError, RecursionError):
        return {}
    return held if isinstance(held, dict) else {}
