"""Where a run stands: in a folder here, and perhaps as a copy at a URL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synthflow.stores.remote import Remote


def place_of(out: str | None, name: str) -> tuple[Path, Remote | None]:
    """The run directory, and the copy where `out` is a URL: the run itself then stands in the default folder.

    Raises:
        UserError: if no file system is known for the URL.
    """
    from synthflow.stores.remote import Remote, is_url

    default = Path("runs") / name
    if out is not None and is_url(out):
        return default, Remote(out)
    return Path(out) if out else default, None
