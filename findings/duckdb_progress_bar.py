"""DuckDB draws a progress bar into the output of a program that nobody is looking at.

Expected: a bar is for a person at a prompt or in a notebook; a program whose standard output is a pipe gets none.
Seen: DuckDB takes every process whose `__main__` has no file for a prompt, so also `python -c` and processes that are
    started by `multiprocessing` from such a one. Over a query of more than two seconds it prints to standard output,
    in the midst of a JSON document that is printed there. `connect` does not take the setting.
With: duckdb 2.0.0, Python 3.11.
Synthflow: `stores/database.py` turns the bar off on every connection (`tests/stores/test_database.py`).
"""

from __future__ import annotations

import subprocess
import sys

QUERY = "SELECT current_setting('enable_progress_bar')"
CODE = f'import duckdb; print(duckdb.connect().execute("{QUERY}").fetchone()[0])'


def main() -> int:
    from_code = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout.strip()
    from_file = subprocess.run([sys.executable, "/dev/stdin"], input=CODE, capture_output=True, text=True, check=True)
    print(f"enable_progress_bar with its output in a pipe: python -c {from_code}, a file {from_file.stdout.strip()}")
    return 0 if from_code == "True" else 1


if __name__ == "__main__":
    sys.exit(main())
