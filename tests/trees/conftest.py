"""Makes `label_fakes` importable: test modules have no package to import it from."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

if "label_fakes" not in sys.modules:
    spec = importlib.util.spec_from_file_location("label_fakes", Path(__file__).parents[1] / "labels" / "fakes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["label_fakes"] = module
    spec.loader.exec_module(module)
