#!/usr/bin/env bash
# DuckDB draws a progress bar into the output of a program that nobody is looking at.
#
# Expected: a bar is for a person at a prompt or in a notebook; a program whose standard output is a pipe gets none.
# Seen:     DuckDB takes every process whose `__main__` has no file for a prompt: also `python -c`, and what
#           `multiprocessing` starts from such a one. Over a query of more than two seconds it prints to standard
#           output, in the midst of a JSON document that is printed there. `connect` does not take the setting.
#               python -c: True
#               a file:    False
# With:     duckdb 2.0.0, Python 3.11.
# Here:     stores/database.py turns the bar off on every connection (tests/stores/test_database.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet duckdb==2.0.0

cat > "$folder/asks.py" <<'PYTHON'
import duckdb
print(duckdb.connect().execute("SELECT current_setting('enable_progress_bar')").fetchone()[0])
PYTHON
from_code=$("$folder/venv/bin/python" -c "$(cat "$folder/asks.py")" | cat)
from_file=$("$folder/venv/bin/python" "$folder/asks.py" | cat)
echo "enable_progress_bar, with its output in a pipe: python -c: $from_code; a file: $from_file"
[ "$from_code $from_file" = "True False" ] || { echo "this has changed" >&2; exit 1; }
