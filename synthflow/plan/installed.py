"""Packages that what is planned will import, found missing before anything runs.

Invariant: nothing is imported to find out. Only stages that have something left to do are asked, since a run that
samples nothing needs no engine.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from synthflow import registry
from synthflow.contracts.foreign import told_in_one_line, wraps
from synthflow.errors import Mistake, Mistakes

if TYPE_CHECKING:
    from synthflow.spec.pipeline import Pipeline


def check_installed(pipeline: Pipeline, stages: Collection[str]) -> None:
    """See that this machine can run some stages of a pipeline.

    Raises:
        Mistakes: naming each package that is missing, who needs it, and what to install.
    """
    found = []
    for where, packages in _needed(pipeline, stages):
        for package, extra in packages.items():
            if find_spec(package) is None:
                found.append(
                    Mistake(where, f"needs the package {package!r}, which is not installed", f"install {extra}")
                )
    if found:
        raise Mistakes(list(dict.fromkeys(found)), f"the pipeline {pipeline.name!r}, on this machine")


def _needed(pipeline: Pipeline, stages: Collection[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    nodes = [node for node in pipeline.nodes if node.name in stages]
    for name in sorted({name for node in nodes for name in type(node.stage).policies(node.config)}):
        policy = pipeline.policies[name]
        backend = registry.load("backends", policy.backend)
        with told_in_one_line(f"backend {policy.backend!r}, asked for its packages,", backend):
            packages = backend.packages(policy)
        yield f"policies.{name}.backend", packages
    for node in nodes:
        with told_in_one_line(f"stage {node.name!r} ({node.use}), asked for its packages,", *wraps(node.stage)):
            packages = type(node.stage).packages()
        yield f"stages.{node.name}.use", packages
