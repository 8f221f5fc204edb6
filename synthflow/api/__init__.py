"""Pipelines in Python: what the command line does, in a script or a notebook."""

from synthflow.api.finished import Run
from synthflow.api.pipeline import Pipeline

__all__ = ["Pipeline", "Run"]
