"""A run started by a script: its workers are processes that do not start the script again.

Python starts a process by importing the script that started it, so a script without `if __name__ == "__main__":` would
begin anew in every worker. No worker needs anything of it: stages and verifiers of others come by entry point.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def workers_without_script() -> Iterator[None]:
    """Processes started meanwhile do not import `__main__`."""
    main = sys.modules["__main__"]
    hidden = {name: getattr(main, name) for name in ("__file__", "__spec__") if getattr(main, name, None) is not None}
    for name in hidden:
        setattr(main, name, None)
    try:
        yield
    finally:
        for name, value in hidden.items():
            setattr(main, name, value)
