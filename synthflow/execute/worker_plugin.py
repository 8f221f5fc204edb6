"""What every worker of a local cluster does when it starts and when it ends."""

from __future__ import annotations

import gc
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin

from synthflow.backends.vllm.guard import end_with
from synthflow.execute.engines import close_engines
from synthflow.execute.log_limit import LogLimit
from synthflow.execute.services import close_shared
from synthflow.io.without_pandas import without_pandas


class PrintToFile(WorkerPlugin):  # type: ignore[misc]
    """What a worker and its children (engines, verifiers) print goes to a file of bounded size; at the end they are
    closed."""

    name = "synthflow-print-to-file"
    idempotent = True

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def setup(self, worker: Any) -> None:
        without_pandas()
        # Ctrl-C in a terminal reaches the whole process group; the driver alone decides what it means. So workers, and
        # the engines they start (vLLM's ends at SIGINT, whatever we say), are a group of their own, and end with it.
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        end_with(os.getppid())
        with suppress(OSError):  # a session's leader
            os.setpgid(0, 0)
        path = Path(self.folder) / f"{worker.name}.log"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        os.close(fd)
        self.limit = LogLimit(path)
        _collect_rarely()

    def teardown(self, worker: Any) -> None:
        self.limit.close()
        close_engines()
        close_shared()


def _collect_rarely() -> None:
    """Python's collector leaves out what is loaded already, and looks for circles among so many new objects at once:
    its walks over libraries took a tenth of the CPU stages' time."""
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
