"""What code of somebody else's raises becomes one line: which plug-in, what it did, on which row.

Invariant: an error that was meant for a person (`SynthflowError`) passes unchanged; a mistake in our own code keeps its
traceback, for it is ours to mend; that of a plug-in goes to the log of the process that it happened in.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from synthflow.errors import PluginFailed, SynthflowError

_OURS = "synthflow"
_LONGEST = 300


def is_foreign(*parts: object) -> bool:
    """Whether one of some objects or classes is not ours."""
    classes = (part if isinstance(part, type) else type(part) for part in parts)
    return any(cls.__module__.partition(".")[0] != _OURS for cls in classes)


def said(error: BaseException) -> str:
    """`ValueError: its first words`, in one line."""
    words = " ".join(str(error).split())[:_LONGEST].encode("utf-8", "replace").decode()
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def log_traceback(error: BaseException) -> None:
    """Write it to this process's standard error, whatever characters its message has."""
    sys.stderr.write("".join(traceback.format_exception(error)).encode("utf-8", "replace").decode())


@contextmanager
def told_in_one_line(what: str, *parts: object, log: bool = False) -> Iterator[None]:
    """Whatever the block raises is told as `what` and the error, if one of `parts` is foreign.

    Args:
        what: such as `stage 'tags' (my.tags)`.
        parts: the objects whose code the block runs.
        log: write the traceback to this process's standard error, which on a worker is its log.

    Raises:
        PluginFailed: in place of an error of a plug-in.
    """
    try:
        yield
    except SynthflowError:
        raise
    except Exception as error:
        if not is_foreign(*parts):
            raise
        if log:
            log_traceback(error)
        raise PluginFailed(f"{what} raised {said(error)}") from error


def wraps(stage: Any) -> tuple[Any, ...]:
    """A stage, and the plug-in that it is made of."""
    return (stage, *filter(None, [getattr(type(stage), "wrapped", None)]))
