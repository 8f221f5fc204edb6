"""Synthflow turns problems into training data: rollouts, verdicts, step advantages, pairs, curricula.

Importing this package is cheap; the heavy libraries (torch, vllm, transformers, dask) load inside what
needs them. What `use:` names stands in `stages`. `verifiers`, `filters`, `stores` and `pipelines` stand at the top of
the repository and are imported as `synthflow.verifiers` and so on. CONTRIBUTING.md has a sentence on every folder.
"""

__version__ = "0.1.0"
