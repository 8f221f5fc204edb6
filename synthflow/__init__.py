"""Synthflow turns problems into training data: rollouts, verdicts, step advantages, pairs, curricula.

Importing this package is cheap; the heavy libraries (torch, vllm, transformers, dask) load inside what
needs them.
"""

__version__ = "0.1.0"
