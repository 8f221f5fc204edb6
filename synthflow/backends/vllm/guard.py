"""Keeps vLLM's engine from outliving the process that started it.

Invariant: when the owner is gone, however it went, the engine's worker kills itself, and the engine core with it.
vLLM loads `Guard` into its workers (`worker_extension_cls`); a worker that starts after the owner's death finds
nobody and ends at once. The kernel tells of the death through a pidfd: nothing polls. (An idle engine of vLLM
0.32's CPU build was seen to end by itself when its parent was killed; the guard relies on no executor for it.)
"""

from __future__ import annotations

import os
import select
import signal
import threading

OWNER = "SYNTHFLOW_ENGINE_OWNER"
"""Environment variable that holds the owner's process id."""


class Guard:
    """A vLLM worker extension without methods: importing this module is all that is wanted."""


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)  # an engine without an owner has nothing to say to anybody


def _wait_for_end(owner: int) -> None:
    try:
        watched = os.pidfd_open(owner)
    except ProcessLookupError:
        _end()
        return
    select.select([watched], [], [])
    _end()


def end_with(owner: int) -> None:
    """Watch a process from a thread, and kill this one when it is gone. Only where the kernel has pidfds."""
    if hasattr(os, "pidfd_open"):
        threading.Thread(target=_wait_for_end, args=(owner,), name="synthflow-guard", daemon=True).start()


def watch() -> None:
    """Watch the owner, if this process is not the owner itself."""
    owner = os.environ.get(OWNER, "")
    if owner.isdecimal() and int(owner) != os.getpid():
        end_with(int(owner))


watch()
