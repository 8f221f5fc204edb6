"""From a pipeline to the stages of a plan, each with its fingerprint.

A fingerprint is H(use, version, configuration, parents' fingerprints, policies' identities, seed, round). It leaves
out what does not change rows: the names of parents, where a source's file lies, how the run is executed. Equal
fingerprints over equal inputs mean equal rows, so work is found again when a spec changes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from synthflow.contracts import ExportStage, PolicyIdentity, Stage
from synthflow.contracts.foreign import told_in_one_line, wraps
from synthflow.ids import content_id
from synthflow.schema import SCHEMA_VERSION
from synthflow.stages.source.base import Source
from synthflow.stores.graph import StageRecord

if TYPE_CHECKING:
    from synthflow.spec.nodes import Node
    from synthflow.spec.pipeline import Pipeline


def scope_of(stage: Stage) -> Literal["source", "partition", "whole"]:
    return "source" if isinstance(stage, Source) else stage.scope


def identity_config(stage: Stage) -> dict[str, Any]:
    """The part of a stage's configuration that can change its rows."""
    excluded = {"of", "use", *stage.identity_excludes, *_not_given(stage)}
    config: dict[str, Any] = stage.config.model_dump(mode="json") | dict(stage.identity())
    return {k: v for k, v in config.items() if k not in excluded}


def _not_given(stage: Stage) -> set[str]:
    """Fields that were added after runs were made, and have the values that mean what was done before."""
    added = set(stage.added)
    return added - set(stage.config.model_dump(include=added, exclude_defaults=True))


def stage_records(pipeline: Pipeline, identities: Mapping[str, PolicyIdentity]) -> list[StageRecord]:
    """Records of a pipeline's stages in topological order.

    Args:
        identities: the identity of every policy that some stage samples from, by its name in the spec.
    """
    records: dict[str, StageRecord] = {}
    for node in pipeline.nodes:
        policies = [identities[name].policy_id for name in type(node.stage).policies(node.config)]
        records[node.name] = stage_record(node, records, policies, pipeline.seed, pipeline.round)
    return list(records.values())


def stage_record(
    node: Node, records: Mapping[str, StageRecord], policies: Sequence[str], seed: int, round: int
) -> StageRecord:
    """The record of one stage.

    Args:
        records: those of its parents, at least.
        policies: ids of the policies that it samples from.
    """
    with told_in_one_line(f"stage {node.name!r} ({node.use}), asked for its version and identity,", *wraps(node.stage)):
        version, identity = node.stage.full_version(), identity_config(node.stage)
    fingerprint = content_id(
        "f",
        SCHEMA_VERSION,
        node.use,
        version,
        identity,
        [records[parent].fingerprint for parent in node.parents],
        policies,
        seed if policies else None,
        round if policies else None,
    )
    covers = node.stage.covers
    account = node.stage.account if isinstance(node.stage, ExportStage) else None
    return StageRecord(
        name=node.name,
        use=node.use,
        version=version,
        fingerprint=fingerprint,
        scope=scope_of(node.stage),
        parents=tuple(node.parents),
        writes=tuple(node.stage.writes),
        config=node.config.model_dump(mode="json", exclude=_not_given(node.stage)),
        covers=None
        if covers is None
        else {
            "input_table": covers.input_table,
            "input_key": covers.input_key,
            "outputs": dict(covers.outputs),
        },
        capabilities=tuple(sorted(type(node.stage).capabilities())),
        account=None if account is None else asdict(account),
    )
