"""What a run promises, checked from outside: files, lineage, journal and every row, in one pass."""

from synthflow.check.engine import check_run
from synthflow.check.report import CheckReport, Finding

__all__ = ["CheckReport", "Finding", "check_run"]
