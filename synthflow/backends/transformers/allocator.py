"""The C library's allocator, told to keep what an engine frees, since the next step takes as much again.

Dask tells it the contrary for its workers (give back every 64 KiB): then a step's memory comes from the kernel page by
page, zeroed, and goes back, which can take longer than computing.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's names for what `mallopt` sets."""
KEPT_BYTES, MAPPED_BYTES = 64 << 20, 32 << 20
"""Free memory that is kept at the end of a heap, and the size from which a block is the kernel's: glibc's largest."""


def keep_memory() -> None:
    """Keep freed memory in this process; nothing where the C library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
