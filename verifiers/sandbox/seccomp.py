"""Assembles the system-call filter: a list of what is allowed; everything else fails, and never kills.

Invariants: what is not listed fails with ENOSYS, so that libraries fall back and new kernels bring no new holes; calls
of another architecture (x32, 32-bit) fail too; threads may be made, processes only where the limits say so, namespaces
never; sockets exist as anonymous stream pairs only, because event loops need them. The numbers are checked against
libseccomp by a test.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# name: (x86_64, aarch64); None where the architecture has no such call.
CALLS: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "poll": (7, None), "lseek": (8, 62),
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214), "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "pread64": (17, 67), "pwrite64": (18, 68),
    "readv": (19, 65), "writev": (20, 66), "pipe": (22, None), "select": (23, None), "sched_yield": (24, 124),
    "mremap": (25, 216), "msync": (26, 227), "mincore": (27, 232), "madvise": (28, 233), "dup": (32, 23),
    "dup2": (33, None), "pause": (34, None), "nanosleep": (35, 101), "getitimer": (36, 102), "alarm": (37, None),
    "setitimer": (38, 103), "getpid": (39, 172), "sendfile": (40, 71), "recvfrom": (45, 207), "exit": (60, 93),
    "wait4": (61, 260), "uname": (63, 160), "flock": (73, 32), "fsync": (74, 82), "fdatasync": (75, 83),
    "ftruncate": (77, 46), "getdents": (78, None), "getcwd": (79, 17), "umask": (95, 166),
    "gettimeofday": (96, 169), "getrlimit": (97, 163), "getrusage": (98, 165), "sysinfo": (99, 179),
    "times": (100, 153), "getuid": (102, 174), "getgid": (104, 176), "geteuid": (107, 175), "getegid": (108, 177),
    "getppid": (110, 173), "getpgrp": (111, None), "getgroups": (115, 158), "getresuid": (118, 148),
    "getresgid": (120, 150), "capset": (126, 91),
    "getpgid": (121, 155), "getsid": (124, 156), "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133), "sigaltstack": (131, 132),
    "sched_getparam": (143, 121), "sched_getscheduler": (145, 120), "gettid": (186, 178), "time": (201, None),
    "futex": (202, 98), "sched_getaffinity": (204, 123), "getdents64": (217, 61), "set_tid_address": (218, 96),
    "restart_syscall": (219, 128), "fadvise64": (221, 223), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115), "exit_group": (231, 94), "epoll_wait": (232, None), "epoll_ctl": (233, 21),
    "waitid": (247, 95), "pselect6": (270, 72), "ppoll": (271, 73), "set_robust_list": (273, 99),
    "get_robust_list": (274, 100), "epoll_pwait": (281, 22), "eventfd2": (290, 19), "epoll_create1": (291, 20),
    "dup3": (292, 24), "pipe2": (293, 59), "preadv": (295, 69), "pwritev": (296, 70), "getcpu": (309, 168),
    "getrandom": (318, 278), "membarrier": (324, 283), "copy_file_range": (326, 285), "rseq": (334, 293),
    "close_range": (436, 436),
}  # fmt: skip

# What takes a path: denied where nothing else keeps the program from the files of the machine.
PATH_CALLS: dict[str, tuple[int | None, int | None]] = {
    "open": (2, None), "stat": (4, None), "lstat": (6, None), "access": (21, None), "truncate": (76, 45),
    "chdir": (80, 49), "fchdir": (81, 50), "rename": (82, None), "mkdir": (83, None), "rmdir": (84, None),
    "creat": (85, None), "unlink": (87, None), "readlink": (89, None), "statfs": (137, 43), "fstatfs": (138, 44),
    "openat": (257, 56), "mkdirat": (258, 34), "newfstatat": (262, 79), "unlinkat": (263, 35), "renameat": (264, 38),
    "readlinkat": (267, 78), "faccessat": (269, 48), "utimensat": (280, 88), "renameat2": (316, 276),
    "statx": (332, 291), "faccessat2": (439, 439),
}  # fmt: skip

# What depends on its arguments; see `_conditions`.
CONDITIONAL: dict[str, tuple[int | None, int | None]] = {
    "clone": (56, 220), "fork": (57, None), "vfork": (58, None), "ioctl": (16, 29), "fcntl": (72, 25),
    "prlimit64": (302, 261), "socketpair": (53, 199), "sendto": (44, 206),
}  # fmt: skip

_ARCH = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_LOAD, _JUMP_EQ, _JUMP_GE, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_CLONE_THREAD, _CLONE_NEW = 0x00010000, 0x7E020080
_AF_UNIX = 1
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX, _F_NOTIFY = 8, 10, 15, 1026  # they make the kernel send signals to others
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # is it a terminal, its size, bytes to read, flags


_RLIMIT_STACK = 3


class _Op(NamedTuple):
    code: int
    value: int
    yes: int = 0
    no: int = 0


_EACCES = _Op(_RETURN, _ERRNO | errno.EACCES)


def supported() -> bool:
    """Whether the filter knows this machine's architecture."""
    return os.uname().machine in _ARCH


def assemble(*, paths: bool = True, processes: bool = False, machine: str | None = None) -> bytes:
    """The filter as bytes of `struct sock_filter`.

    Args:
        paths: allow the calls that take a path (something else, mounts or Landlock, guards the files).
        processes: allow to fork; programs are never started by exec.
        machine: `x86_64` or `aarch64`; this machine by default.

    Raises:
        ValueError: if the architecture is another.
    """
    machine = machine or os.uname().machine
    if machine not in _ARCH:
        raise ValueError(f"no system-call table for {machine}; known: {', '.join(_ARCH)}")
    column, arch = _ARCH[machine]
    actions: dict[int, tuple[_Op, ...]] = {}
    for names, action in ((CALLS, _Op(_RETURN, _ALLOW)), (PATH_CALLS, _Op(_RETURN, _ALLOW) if paths else _EACCES)):
        actions |= {number: (action,) for numbers in names.values() if (number := numbers[column]) is not None}
    for name, body in _conditions(processes).items():
        if (number := CONDITIONAL[name][column]) is not None:
            actions[number] = tuple(body)
    ops = [_Op(_LOAD, 4), _Op(_JUMP_EQ, arch, 1, 0), _deny(errno.ENOSYS), _Op(_LOAD, 0), *_search(_ranges(actions))]
    return b"".join(struct.pack("<HBBI", op.code, op.yes, op.no, op.value) for op in ops)


def _ranges(actions: Mapping[int, tuple[_Op, ...]]) -> list[tuple[int, tuple[_Op, ...]]]:
    """First numbers of ranges of calls that are treated alike, ascending from 0, each with what is done."""
    nothing = (_deny(errno.ENOSYS),)
    found = [(0, actions.get(0, nothing))]
    for number in range(1, max(actions) + 2):
        if (action := actions.get(number, nothing)) != found[-1][1]:
            found.append((number, action))
    return found


def _search(ranges: Sequence[tuple[int, tuple[_Op, ...]]]) -> list[_Op]:
    """A binary search: the kernel walks the filter once for every call there is when it is installed."""
    if len(ranges) == 1:
        return list(ranges[0][1])
    half = len(ranges) // 2
    below = _search(ranges[:half])
    return [_Op(_JUMP_GE, ranges[half][0], len(below), 0), *below, *_search(ranges[half:])]


def _deny(number: int) -> _Op:
    return _Op(_RETURN, _ERRNO | number)


def _conditions(processes: bool) -> dict[str, Sequence[_Op]]:
    """What to do once a call's number matched; each ends in a return on every way. Argument n is at 16 + 8 n."""
    allow, deny = _Op(_RETURN, _ALLOW), _deny(errno.EPERM)
    if processes:
        fork: Sequence[_Op] = [allow]
        clone: Sequence[_Op] = [_Op(_LOAD, 16), _Op(_JUMP_SET, _CLONE_NEW, 0, 1), deny, allow]
    else:
        fork = [_deny(errno.EAGAIN)]
        clone = [_Op(_LOAD, 16), _Op(_JUMP_SET, _CLONE_NEW, 2, 0), _Op(_JUMP_SET, _CLONE_THREAD, 0, 1), allow]
        clone = [*clone, _deny(errno.EAGAIN)]
    commands = (_F_SETOWN, _F_SETSIG, _F_SETOWN_EX, _F_NOTIFY)
    return {
        "clone": clone,
        "fork": fork,
        "vfork": fork,
        "ioctl": [_Op(_LOAD, 24), *_each(_IOCTLS, allow), _deny(errno.ENOTTY)],
        "fcntl": [_Op(_LOAD, 24), *_each(commands, deny), allow],
        "prlimit64": _prlimit(allow, deny),
        "socketpair": [_Op(_LOAD, 16), _Op(_JUMP_EQ, _AF_UNIX, 1, 0), deny, allow],
        # An address would reach the sockets of others: its pointer, both halves, must be null.
        "sendto": [_Op(_LOAD, 48), _Op(_JUMP_EQ, 0, 0, 2), _Op(_LOAD, 52), _Op(_JUMP_EQ, 0, 1, 0), deny, allow],
    }


def _prlimit(allow: _Op, deny: _Op) -> list[_Op]:
    """Its own limits only; of them it may set that of the stack, and so cannot have the kernel kill it."""
    resource, new = 24, 32
    return [
        *(_Op(_LOAD, 16), _Op(_JUMP_EQ, 0, 1, 0), deny),
        *(_Op(_LOAD, resource), _Op(_JUMP_EQ, _RLIMIT_STACK, 4, 0)),
        *(_Op(_LOAD, new), _Op(_JUMP_EQ, 0, 0, 3), _Op(_LOAD, new + 4), _Op(_JUMP_EQ, 0, 0, 1)),
        *(allow, deny),
    ]


def _each(values: Sequence[int], action: _Op) -> list[_Op]:
    return [op for value in values for op in (_Op(_JUMP_EQ, value, 0, 1), action)]
