"""docs/sandbox.md and docs/verify-code.md say what is so."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from support.attacks import ATTACKS
from synthflow.verifiers.code import CodeVerifier
from synthflow.verifiers.sandbox import LAYERS, STACKS, launch, seccomp

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "sandbox.md").read_text()


def test_the_example_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block, "docs/sandbox.md", "exec"), {})
    assert printed.getvalue().splitlines()[0] == "exited 0 42"
    assert '{"value": {"$tuple": [41, 1]}}' in printed.getvalue()


def test_layers_stacks_and_counts() -> None:
    for layer in LAYERS:
        assert f"| `{layer}` |" in TEXT
    for stack in STACKS:
        assert f"`{stack}`" in TEXT
    assert f"holds {len(ATTACKS)} attacks" in TEXT
    assert f"the {sum(a.slow for a in ATTACKS)}\nthat only wait" in TEXT
    assert launch.PREFIX and abs(len(seccomp.CALLS) + len(seccomp.PATH_CALLS) - 120) < 15


def test_every_field_and_reason_is_documented() -> None:
    section = (DOCS / "verify-code.md").read_text()
    for name, field in CodeVerifier.Config.model_fields.items():
        shown = f"`{field.default}`" if isinstance(field.default, str) else f"{field.default or 'none'}"
        shown = f"{field.default:g}" if isinstance(field.default, int | float) else shown
        assert f"| `{name}` | {shown} |" in section, name
    for reason in (CodeVerifier.__doc__ or "").partition("Unknown reasons: ")[2].strip(" .\n").split(", "):
        assert f"`{reason}`" in section
