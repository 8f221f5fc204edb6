"""The blocks of docs/python.md, one after the other, are a script that runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.pages import DOCS, blocks


@pytest.mark.slow
def test_the_page_is_a_script(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("\n".join(blocks(DOCS / "python.md", "python")))
    done = subprocess.run(
        [sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith("runs/mine/exports/sft")
    assert "share" in done.stdout and "completion" in done.stdout
