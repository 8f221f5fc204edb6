"""The command that starts a zygote: through bubblewrap, or directly where it isolates itself.

Invariants: the child gets an empty environment and no descriptors but its standard streams; it sees the interpreter,
the standard library, the packages that were named, and nothing else of the file system (with the layer `mount`). Our
own modules travel as text, so no folder of ours is visible in there.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from synthflow.errors import UserError
from synthflow.verifiers.sandbox import _kernel, seccomp
from synthflow.verifiers.sandbox.layers import Stack

PREFIX = "synthflow-box-"
"""Private directories are made under this name, in the system's temporary folder, where there is no mount namespace."""

# Imported before the fork, because most programs use them; with every path denied they are all that a program has.
COMMON = """
    math cmath collections itertools heapq bisect re random string functools operator fractions decimal statistics
    datetime typing copy queue array time threading dataclasses enum abc numbers contextlib traceback atexit textwrap
    calendar hashlib json pprint struct io types sys os zlib binascii unicodedata ast inspect timeit uuid
""".split()  # noqa: SIM905

_MODULES = ("_kernel", "_mounts", "_values", "_asking", "_nodes", "_site", "_program", "_zygote", "_supervisor")
_BOOT = """
import json, sys, types
sources, plan = json.loads(sys.argv[1]), sys.argv[2]
del sys.argv[1:]
path = "synthflow.verifiers.sandbox"
for name in ("synthflow", "synthflow.verifiers", path):
    sys.modules[name] = package = types.ModuleType(name)
    package.__path__ = []
for leaf, text in sources.items():
    name = path + "." + leaf
    sys.modules[name] = module = types.ModuleType(name)
    setattr(sys.modules[path], leaf, module)
    exec(compile(text, leaf + ".py", "exec"), module.__dict__)
sys.modules[path + "._supervisor"].start(plan)
"""
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache")
_ROOT_NEEDS = ("SYS_ADMIN", "SETUID", "SETGID", "SETPCAP", "KILL", "CHOWN", "DAC_READ_SEARCH")
_FIRST_UID, _BLOCKS, _BLOCK = 60_600, 60, 64


@cache
def _sources() -> str:
    folder = Path(__file__).parent
    return json.dumps({name: (folder / f"{name}.py").read_text() for name in _MODULES})


def interpreter() -> str:
    """The interpreter itself, behind the links of a virtual environment."""
    return os.path.realpath(sys.executable)


def package_folders(packages: Sequence[str]) -> list[str]:
    """The folders that hold some packages.

    Raises:
        UserError: if one is not installed.
    """
    folders = []
    for name in packages:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.origin:
            raise UserError(f"package {name!r} for programs is not installed here")
        place = Path(spec.origin).parent
        folders.append(str(place.parent if spec.submodule_search_locations else place))
    return list(dict.fromkeys(folders))


def readable(packages: Sequence[str] = ()) -> list[str]:
    """What a program may read: the interpreter, the libraries of the system, the packages."""
    library = str(Path(os.__file__).parent)
    paths = [*_SYSTEM, interpreter(), library, f"{sys.base_prefix}/lib", *package_folders(packages)]
    kept = list(dict.fromkeys(path for path in paths if Path(path).exists()))
    # A path below another one is there already, unless a link leads somewhere else.
    return [p for p in kept if not any(p != q and p.startswith(q + "/") and Path(q).is_dir() for q in kept)]


def program_uids() -> range:
    """The users that programs of this process run as, if we are root: one a worker, so that each counts its own."""
    first = _FIRST_UID + os.getpid() % _BLOCKS * _BLOCK
    return range(first, first + _BLOCK)


def plan(stack: Stack, layers: frozenset[str], packages: Sequence[str], processes: bool) -> dict[str, Any]:
    """Everything a zygote has to know, as JSON."""
    root = os.geteuid() == 0
    files_guarded = bool(layers & {"mount", "landlock"})
    wanted = set(layers)
    if stack != "landlock":
        wanted.add("uts")
    return {
        "parent": 0 if stack == "bubblewrap" else os.getpid(),
        "setup": stack,
        "layers": sorted(wanted),
        "uid": program_uids()[0] if root and "uid" in layers else 0,
        "search": "mount" not in layers and "landlock" in layers,
        "count_processes": ("uid" in layers) if root else stack != "landlock",
        "nest": not _kernel.capable_of_mounting(),
        "readable": readable(packages),
        "abi": _kernel.landlock_abi(),
        "filter": base64.b64encode(_filter(files_guarded, processes)).decode() if "seccomp" in layers else "",
        "preload": [*COMMON, *packages],
        "path": package_folders(packages),
        "tmp": tempfile.gettempdir(),
        "prefix": f"{PREFIX}{os.getpid()}-",
    }


@cache
def _filter(paths: bool, processes: bool) -> bytes:
    return seccomp.assemble(paths=paths, processes=processes)


def command(plan: dict[str, Any]) -> list[str]:
    """Raises: UserError: if bubblewrap is asked for and not installed."""
    # -s -S -P: no package folder and no working directory on the path; not -I, which would drop the hash seed.
    python = [interpreter(), "-s", "-S", "-P", "-B", "-X", "utf8", "-c", _BOOT, _sources(), json.dumps(plan)]
    return [*_bubblewrap(plan), *python] if plan["setup"] == "bubblewrap" else python


def _bubblewrap(plan: dict[str, Any]) -> list[str]:
    tool = shutil.which("bwrap")
    if tool is None:
        raise UserError("bubblewrap (bwrap) is not installed: apt-get install bubblewrap, or choose another stack")
    layers = plan["layers"]
    words = [tool, "--die-with-parent", "--unshare-uts", "--unshare-cgroup-try", "--hostname", "box"]
    words += [f"--unshare-{name}" for name in ("pid", "net", "ipc") if name in layers]
    if "mount" in layers:
        # Parents first: those that bubblewrap makes for a mount by itself may not be entered by others.
        parents = {str(parent) for path in plan["readable"] for parent in Path(path).parents} - {"/"}
        words += [word for path in sorted(parents) for word in ("--dir", path)]
        words += [word for path in plan["readable"] for word in ("--ro-bind", path, path)]
        words += [
            word for name in ("null", "zero", "urandom") for word in ("--dev-bind", f"/dev/{name}", f"/dev/{name}")
        ]
        words += ["--dir", "/box", "--dir", "/box/run"]
    else:
        words += ["--bind", "/", "/", "--dev-bind", "/dev", "/dev"]
    words += ["--proc", "/proc"] if "pid" in layers else ["--bind", "/proc", "/proc"]
    words += ["--remount-ro", "/"] if "mount" in layers else []
    if plan["nest"]:
        words += ["--unshare-user"]
    else:
        words += [word for name in _ROOT_NEEDS for word in ("--cap-add", f"CAP_{name}")]
    return [*words, "--"]
