"""Makes the helpers beside the tests importable: test modules have no package to import them from."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

for name, file in (("label_fakes", "fakes.py"), ("search_world", "search_world.py")):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(file))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
