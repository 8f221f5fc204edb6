"""Whether a run directory holds the run of another pipeline, which this one would take over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synthflow.stores.manifest import Manifest

if TYPE_CHECKING:
    from synthflow.spec.pipeline import Pipeline


def other_run(pipeline: Pipeline, manifest: Manifest) -> str | None:
    """What is there, in a few words; None if it is nothing, or an earlier attempt at the same.

    A pipeline is the same if it has the name of the latest attempt and at least one of its stages: of that name, and
    doing the same kind of work.
    """
    latest = manifest.graph.stages.values()
    name = manifest.latest_attempt.get("name", pipeline.name)
    shared = {(s.name, s.use) for s in latest} & {(node.name, node.use) for node in pipeline.nodes}
    if not latest or (name == pipeline.name and shared):
        return None
    done = len(manifest.active())
    return f"holds the run of {name!r} (attempt {manifest.attempt}, {len(latest)} stages, {done} units of work done)"
