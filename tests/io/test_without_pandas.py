"""Arrow does without pandas until somebody imports it, and then knows it."""

from __future__ import annotations

import subprocess
import sys

BEFORE = """
import sys
from synthflow.io.without_pandas import without_pandas
without_pandas()
without_pandas()
import pyarrow as pa, pyarrow.compute as pc
pc.equal(pa.array(["a"]), "a")
assert "pandas" not in sys.modules
"""
AFTER = """
import pandas as pd
assert pd.__spec__.origin.endswith("pandas/__init__.py")
assert pa.array(pd.Series([1, None])).to_pylist() == [1, None], "a series has nulls where a sequence has NaN"
assert not any(type(finder).__name__ == "_Late" for finder in sys.meta_path)
"""
ARROW = """
frame = pa.table({"a": [1]}).to_pandas()
assert "pandas" in sys.modules and pa.Table.from_pandas(frame).num_rows == 1
"""


def test_arrow_does_without_pandas_until_somebody_imports_it() -> None:
    for after in (AFTER, ARROW):
        done = subprocess.run([sys.executable, "-c", BEFORE + after], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_where_pandas_is_imported_nothing_changes() -> None:
    told = "import pandas\n" + BEFORE.replace("not in", "in") + AFTER
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
