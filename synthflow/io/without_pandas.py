"""Arrow without pandas, until somebody wants it.

Arrow imports pandas, where it is installed, as soon as it makes an array of Python's values, to see whether one of
them is a series of it: 55 MB and a third of a second of every process. Nothing of ours holds one. Whoever imports
pandas later, a plug-in say, has Arrow know of it from then on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

_PANDAS = "pandas"


class _Late(MetaPathFinder):
    """Hides pandas once, from Arrow; tells Arrow of it when it comes."""

    hides = True

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _PANDAS:
            return None
        if self.hides:
            raise ModuleNotFoundError("hidden from Arrow", name=fullname)
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Told(spec.loader)
        return spec


class _Told(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        import pyarrow as pa

        self._loader.exec_module(module)
        _ = pa.lib._pandas_api.pd  # looks again


def without_pandas() -> None:
    """Let Arrow find that there is no pandas, unless it is imported already. Idempotent."""
    if _PANDAS in sys.modules or any(isinstance(finder, _Late) for finder in sys.meta_path):
        return
    import pyarrow as pa

    late = _Late()
    sys.meta_path.insert(0, late)
    pa.scalar(0)
    late.hides = False
