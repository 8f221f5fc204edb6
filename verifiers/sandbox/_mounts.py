"""Builds a root directory that holds the interpreter, its libraries, and nothing else, without bubblewrap's help.

Invariants: after `isolate` the old root is detached, so that no path leads out; everything that was bound is read-only,
without set-uid and devices (but the few device nodes themselves). The new root itself is read-only.
"""

from __future__ import annotations

import os
from typing import Any

from synthflow.verifiers.sandbox import _kernel

_STAGE = "/tmp"  # hidden in our own mount namespace only
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
# What a mount has that a user namespace may not take away: bits of statvfs(3) to bits of mount(2).
_KEPT = {2: 2, 4: 4, 8: 8, 1024: 1024, 2048: 2048, 4096: 1 << 21}


def isolate(plan: dict[str, Any]) -> None:
    """Enter the namespaces among the plan's layers; with `mount`, exchange the root for one with `plan["readable"]`.

    Raises:
        OSError: if the kernel refuses.
    """
    kinds = {"mount": _kernel.CLONE_NEWNS, "net": _kernel.CLONE_NEWNET, "ipc": _kernel.CLONE_NEWIPC}
    kinds["uts"] = _kernel.CLONE_NEWUTS
    flags = sum(flag for name, flag in kinds.items() if name in plan["layers"])
    if not _kernel.capable_of_mounting():
        uid, gid = os.geteuid(), os.getegid()
        _kernel.unshare(flags | _kernel.CLONE_NEWUSER)
        _kernel.map_ids(uid, gid)
    else:
        _kernel.unshare(flags)
    if "mount" in plan["layers"]:
        _new_root(plan["readable"])


def _new_root(readable: list[str]) -> None:
    quiet = _kernel.MS_NOSUID | _kernel.MS_NODEV
    _kernel.mount("none", "/", "", _kernel.MS_REC | _kernel.MS_PRIVATE)
    _kernel.mount("tmpfs", _STAGE, "tmpfs", quiet, "size=1m,mode=0755")
    for name in ("old", "new"):
        os.mkdir(f"{_STAGE}/{name}")
    _kernel.pivot_root(_STAGE, f"{_STAGE}/old")
    os.chdir("/")
    _kernel.mount("tmpfs", "/new", "tmpfs", quiet, "size=1m,mode=0755")
    for path in readable:
        _bind(path, _kernel.MS_RDONLY | quiet)
    for path in _DEVICES:
        _bind(path, _kernel.MS_RDONLY | _kernel.MS_NOSUID)
    _bind("/proc", quiet)
    os.makedirs("/new/box/run")
    _kernel.mount("none", "/new", "", _kernel.MS_REMOUNT | _kernel.MS_BIND | _kernel.MS_RDONLY | quiet)
    os.chdir("/new")
    _kernel.pivot_root(".", ".")
    _kernel.detach(".")
    os.chdir("/")


def _bind(path: str, flags: int) -> None:
    source, target = "/old" + path, "/new" + path
    try:
        is_dir = os.path.isdir(_inside(path))
        os.stat(_inside(path))
    except OSError:
        return
    source = _inside(path)
    os.makedirs(target if is_dir else os.path.dirname(target), exist_ok=True)
    if not is_dir and not os.path.exists(target):
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    _kernel.mount(source, target, "", _kernel.MS_BIND | _kernel.MS_REC)
    have = os.statvfs(target).f_flag
    kept = sum(bit for flag, bit in _KEPT.items() if have & flag)
    _kernel.mount("none", target, "", _kernel.MS_REMOUNT | _kernel.MS_BIND | flags | kept)


def _inside(path: str) -> str:
    """Where a path of the old root is now; absolute links on the way are followed below `/old`."""
    at, rest, hops = "/old", path.strip("/").split("/"), 0
    while rest:
        step = f"{at}/{rest.pop(0)}"
        if os.path.islink(step) and hops < 40:
            hops += 1
            link = os.readlink(step)
            if link.startswith("/"):
                at, rest = "/old", [*link.strip("/").split("/"), *rest]
            else:
                rest = [*link.split("/"), *rest]
            continue
        at = os.path.normpath(step)
    return at
