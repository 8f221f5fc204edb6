"""Which layers of isolation there are, what each keeps a program from, and whether those at hand suffice.

Invariant: `strict` accepts a set of layers only if every threat is covered by at least one of them; a layer is counted
only if the kernel took it on in a trial run, never because a program of its name is installed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Literal

from synthflow.verifiers.sandbox import _kernel, seccomp

Stack = Literal["bubblewrap", "unshare", "landlock"]
Isolation = Literal["strict", "weak", "none"]

STACKS: tuple[Stack, ...] = ("bubblewrap", "unshare", "landlock")
NAMESPACES = ("mount", "pid", "net", "ipc")
KERNEL = ("landlock", "seccomp", "rlimits", "no_new_privs", "uid")
LAYERS = (*NAMESPACES, *KERNEL)

# What each threat is kept out by: any one of these suffices. Without mount and landlock, seccomp denies every path.
# Time, memory and output are watched by the supervisor under any layers.
COVERS: dict[str, tuple[str, ...]] = {
    "files": ("mount", "landlock", "seccomp"),
    "network": ("net", "seccomp"),
    "other processes": ("pid", "seccomp"),
    "descendants": ("pid", "seccomp"),
    "disk": ("mount", "rlimits"),
}


def uncovered(layers: Iterable[str], threats: Iterable[str] = COVERS) -> list[str]:
    """Threats that no layer of these keeps out, each with what would."""
    have = set(layers)
    return [f"{t} (needs {' or '.join(COVERS[t])})" for t in threats if not have & set(COVERS[t])]


def expected(stack: Stack) -> frozenset[str]:
    """The layers a stack has on this kernel, if its namespaces can be made: a trial run has the last word."""
    found = {"rlimits", "no_new_privs"}
    if stack != "landlock":
        found |= set(NAMESPACES)
    if _kernel.landlock_abi():
        found.add("landlock")
    if seccomp.supported():
        found.add("seccomp")
    if os.geteuid() == 0:
        found.add("uid")
    return frozenset(found)
