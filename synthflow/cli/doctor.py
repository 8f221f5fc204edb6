"""`synthflow doctor`."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from synthflow.cli.text import console, echo_json, size
from synthflow.errors import ExitCode

EPILOG = """\b
Examples:
  synthflow doctor
  synthflow doctor --json
"""

_OPTIONAL = {
    "torch": ("the transformers backend, the demo policy", "transformers"),
    "transformers": ("the transformers backend, the demo policy", "transformers"),
    "vllm": ("the vllm backend", "vllm"),
    "aiohttp": ("the openai backend", "openai"),
    "datasets": ("source.datasets", "datasets"),
    "datatrove": ("filter.repetition", "datatrove"),
    "re2": ("verify.regex", "verifiers"),
    "jsonschema": ("verify.json", "verifiers"),
    "trl": ("training on releases", "trainers"),
    "gguf": ("model: smollm2", "smollm2"),
    "reasoning_gym": ("source.reasoning_gym and verify.reasoning_gym", "reasoning-gym"),
}
_LOW_DISK = 5 << 30


@dataclass(frozen=True)
class Check:
    """One thing looked at. `state` is ok, note (works without it) or problem."""

    name: str
    state: str
    says: str
    fix: str = ""


@click.command(epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def doctor(as_json: bool) -> int:
    """What this machine has, what it lacks, and what to do."""
    checks = [*_machine(), *_packages(), *_isolation()]
    if as_json:
        echo_json([asdict(c) for c in checks])
    else:
        screen = console()
        marks = {"ok": "[green]✓[/]", "note": "[yellow]·[/]", "problem": "[red]✗[/]"}
        for c in checks:
            screen.print(f" {marks[c.state]} [bold]{c.name:<20}[/] ", end="")
            screen.print(c.says + (f"; {c.fix}" if c.fix else ""), markup=False)
    bad = any(c.state == "problem" for c in checks)
    return int(ExitCode.FAILED if bad else ExitCode.OK)


def _machine() -> list[Check]:
    import psutil

    cores, memory = os.cpu_count() or 1, psutil.virtual_memory()
    free = shutil.disk_usage(Path.cwd()).free
    supported = sys.version_info >= (3, 11)
    return [
        Check(
            "python",
            "ok" if supported else "problem",
            platform.python_version(),
            "" if supported else "Synthflow needs 3.11 or newer",
        ),
        Check("cores", "ok", f"{cores} ({platform.machine()})"),
        Check("memory", "ok", f"{size(memory.available)} free of {size(memory.total)}"),
        Check(
            "disk",
            "ok" if free > _LOW_DISK else "note",
            f"{size(free)} free here",
            "" if free > _LOW_DISK else "a run keeps every token it sampled: make room",
        ),
        _gpu(),
    ]


def _gpu() -> Check:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Check("gpu", "note", "none found", "sampling runs on the CPU")
    import subprocess

    asked = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (subprocess.SubprocessError, OSError) as error:
        return Check("gpu", "note", f"nvidia-smi failed ({error})", "look at the driver")
    return Check("gpu", "ok", said.replace("\n", "; "))


def _packages() -> list[Check]:
    checks = []
    for module, (use, extra) in _OPTIONAL.items():
        if importlib.util.find_spec(module) is None:
            fix = f"pip install 'synthflow[{extra}]'"
            checks.append(Check(module, "note", f"not installed ({use})", fix))
        else:
            checks.append(Check(module, "ok", f"{_version(module)} ({use})"))
    return checks


def _version(module: str) -> str:
    for name in (module, f"{module}-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown version"


def _isolation() -> list[Check]:
    """What a program of a model would run under here: tried, not guessed."""
    from synthflow.verifiers.sandbox import describe

    bwrap = shutil.which("bwrap")
    fix = "" if bwrap else "verify.code prefers it: apt-get install bubblewrap"
    checks = [Check("bubblewrap", "ok" if bwrap else "note", bwrap or "not installed", fix)]
    stacks = describe()
    checks += [
        Check(f"isolation {name}", "note" if found.problem else "ok", found.problem or ", ".join(found.layers))
        for name, found in stacks.items()
    ]
    if all(found.problem for found in stacks.values()):
        fix = "install bubblewrap, or use a kernel with seccomp and Landlock; or see `isolation` in docs/sandbox.md"
        checks.append(Check("verify.code", "note", "would refuse to run: no stack has enough layers", fix))
    else:
        chosen = next(name for name, found in stacks.items() if not found.problem)
        checks.append(Check("verify.code", "ok", f"would run under {chosen}"))
    return checks
