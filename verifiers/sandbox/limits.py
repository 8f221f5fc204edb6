"""What one run of a program may use."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one run: seconds of CPU time and of the clock between two answers, and of the whole; MiB; counts.

    `cpu_s` is what a slow program meets on a machine of any load; `wall_s` is for one that waits, and `program_s` for
    the whole: neither counts time for which the program was ready and had no core. `memory_mb` is address space of each
    process, and resident memory of all of them. `output_kb` counts standard output and answers, each, between two
    answers; standard error is cut to its last 4 KiB. `inodes` is the number of files it may make, `files` the
    descriptors it may hold, `disk_mb` what its files may hold.
    """

    cpu_s: float = 4.0
    wall_s: float = 12.0
    program_s: float = 60.0
    memory_mb: int = 1024
    output_kb: int = 512
    disk_mb: int = 16
    inodes: int = 256
    files: int = 64
    processes: int = 1
    threads: int = 32

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
