"""System calls that the standard library lacks, for the processes inside a sandbox.

Invariants: nothing of Synthflow is imported here, because these modules are sent as text into a process that sees no
files of ours; a call that fails raises OSError with its name; nothing here decides, it does what it is told.
Sources: landlock(7), seccomp(2), prctl(2), capabilities(7), mount(2), pivot_root(2).
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import Any

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_KEEPCAPS, CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN = 8, 1 << 2, 1 << 21
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 4096, 16384, 1 << 18, 2

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_PIVOT_ROOT = 41 if os.uname().machine == "aarch64" else 155
# Bits of LANDLOCK_ACCESS_FS_*: execute, write_file, read_file, read_dir, ..., and what each ABI added.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_ALL_FS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_FILES_ONLY = _EXECUTE | _WRITE_FILE | _READ_FILE | (1 << 14) | (1 << 15)
_SPECIAL = (1 << 6) | (1 << 9) | (1 << 10) | (1 << 11) | (1 << 12)  # make char, sock, fifo, block, symlink
_NET_BOTH, _SCOPE_BOTH = 3, 3

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _syscall(what: str, number: int, *args: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    whole = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return _check(_libc.syscall(ctypes.c_long(number), *whole), what)


def prctl(option: int, value: int = 0, third: int = 0) -> None:
    _check(_libc.prctl(option, value, third, 0, 0), "prctl")


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    texts = [text.encode() for text in (source, target, kind)]
    _check(_libc.mount(*texts, ctypes.c_ulong(flags), data.encode()), f"mount {target}")


def detach(target: str) -> None:
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def enter(namespace: int) -> None:
    """Be in the namespace of a descriptor; for one of processes: the children are."""
    _check(_libc.setns(namespace, 0), "setns")


def pivot_root(new: str, old: str) -> None:
    _syscall("pivot_root", _PIVOT_ROOT, new.encode() + b"\0", old.encode() + b"\0")


def map_ids(uid: int, gid: int) -> None:
    """In a new user namespace, be the same user and group as outside, and nobody else."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def bound_capabilities() -> None:
    """No program that is started from here on gets a capability."""
    for capability in range(64):
        if _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break  # past the last one the kernel knows, or not ours to drop
    _libc.prctl(PR_CAP_AMBIENT, 4, 0, 0, 0)


def keep_capabilities(keep: int) -> None:
    """Give up every capability but those of the mask."""
    header, sets = struct.pack("Ii", 0x20080522, 0), struct.pack("6I", keep, keep, 0, 0, 0, 0)
    _check(_libc.capset(header, sets), "capset")


def capable_of_mounting() -> bool:
    """Whether this process has CAP_SYS_ADMIN in its user namespace."""
    header, sets = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0)), ctypes.create_string_buffer(24)
    _check(_libc.capget(header, sets), "capget")
    return bool(struct.unpack_from("I", sets.raw)[0] & CAP_SYS_ADMIN)


def landlock_abi() -> int:
    """Version of Landlock that the kernel has, 0 for none."""
    return max(0, int(_libc.syscall(ctypes.c_long(_LANDLOCK_CREATE), None, ctypes.c_long(0), ctypes.c_long(1))))


def landlock(plan: dict[str, Any], writable: str) -> int:
    """A set of rules for `restrict`: read what the plan says, read and write plain files below a folder, nothing else.

    With ABI 4 no TCP, with ABI 6 no signals and no abstract sockets out of this domain. No symbolic links, devices,
    sockets or pipes can be made anywhere. Paths that do not exist are passed over.
    """
    abi = plan["abi"]
    handled = _ALL_FS[min(abi, 5)]
    attributes = struct.pack("QQQ", handled, _NET_BOTH if abi >= 4 else 0, _SCOPE_BOTH if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = _syscall("landlock_create_ruleset", _LANDLOCK_CREATE, attributes, size, 0)
    reading = _EXECUTE | _READ_FILE | _READ_DIR
    rules = [(path, reading) for path in (*plan["readable"], "/dev/zero", "/dev/urandom")]
    for path, access in [*rules, (writable, handled & ~_SPECIAL), ("/dev/null", reading | handled & ~_SPECIAL)]:
        _allow(ruleset, path, access & handled)
    return ruleset


def restrict(ruleset: int) -> None:
    """Live under a set of rules from here on. It cannot be undone."""
    _syscall("landlock_restrict_self", _LANDLOCK_RESTRICT, ruleset, 0)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            access &= _FILES_ONLY
        rule = struct.pack("=Qi", access, fd)
        _syscall(f"landlock_add_rule {path}", _LANDLOCK_ADD, ruleset, 1, rule, 0)
    finally:
        os.close(fd)


class Filter:
    """A classic BPF filter, as `seccomp.assemble` makes it. Once installed it cannot be undone."""

    def __init__(self, program: bytes) -> None:
        self._code = ctypes.create_string_buffer(program, len(program))
        header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(self._code))
        self._header = ctypes.create_string_buffer(header, len(header))
        self._address = ctypes.addressof(self._header)

    def install(self) -> None:
        prctl(PR_SET_SECCOMP, 2, self._address)


def cpu_seconds(pid: int) -> float:
    """CPU time that a live process (all its threads) has used; 0 if it is gone."""
    import time

    try:
        return time.clock_gettime((~pid << 3) | 2)  # the clock id of a process: see clock_getcpuclockid(3)
    except OSError:
        return 0.0


if sys.byteorder != "little":  # struct layouts above, and the order of halves in seccomp arguments
    raise ImportError("the sandbox knows little-endian machines only")
