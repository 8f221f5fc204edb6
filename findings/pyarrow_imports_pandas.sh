#!/usr/bin/env bash
# The first number that a program hands to PyArrow imports pandas, if pandas is there.
#
# Expected: PyArrow needs pandas for `to_pandas` and `from_pandas`, and loads it when one of them is called.
# Seen:     `pyarrow.scalar(1)`, `pyarrow.array([1])` and every `pyarrow.compute` function that is given a Python value
#           look whether the value is a Series, and import pandas for that, without a name of pandas in the program:
#           two to four tenths of a CPU second and some 50 MB in each process, so in each worker of a cluster.
#           Parquet is read, filtered and written without it as long as no Python value is given.
#               after import pyarrow, pyarrow.parquet: False; after pyarrow.scalar(1): True; 51 MB more
# With:     pyarrow 26.0.1, pandas 3.1.1, Python 3.11.
# Here:     synthflow/io/without_pandas.py lets PyArrow find no pandas at its first look (tests/io/test_without_pandas.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyarrow==26.0.1 pandas==3.1.1

cat > "$folder/looks.py" <<'PYTHON'
import sys
import pyarrow
import pyarrow.parquet

def megabytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) // 1024

before, size = "pandas" in sys.modules, megabytes()
pyarrow.scalar(1)
print(f"after import pyarrow, pyarrow.parquet: {before}; after pyarrow.scalar(1): {'pandas' in sys.modules}; "
      f"{megabytes() - size} MB more")
PYTHON
seen=$("$folder/venv/bin/python" "$folder/looks.py")
echo "pandas is loaded $seen"
case $seen in
  *"pyarrow.parquet: False; after pyarrow.scalar(1): True;"*) ;;
  *) echo "this has changed" >&2; exit 1 ;;
esac
