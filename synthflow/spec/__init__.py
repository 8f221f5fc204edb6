"""The pipeline file: read it, check all of it, and build the graph of stages that it describes."""

from synthflow.spec.load import load_pipeline
from synthflow.spec.nodes import Node
from synthflow.spec.pipeline import Pipeline

__all__ = ["Node", "Pipeline", "load_pipeline"]
