"""No connection draws a progress bar, wherever the program came from (findings/duckdb_progress_bar.sh)."""

from __future__ import annotations

import subprocess
import sys


def test_a_program_that_python_was_given_as_text_gets_no_bar() -> None:
    code = (
        "from synthflow.stores.database import connected; con = connected(settings={'threads': 1}); "
        "print(con.execute(\"SELECT current_setting('enable_progress_bar'), current_setting('threads')\").fetchone())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(False, 1)\n"
