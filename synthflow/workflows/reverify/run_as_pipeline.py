"""A finished run as a pipeline, from nothing but its directory: no spec, no input file and no model is needed.

Invariant: the pipeline has the stages, fields and problems that the run recorded, so its fingerprints are those of the
run as far as the installed code is that which ran. Problems come from the run's own shards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from synthflow.contracts import Inputs, PolicyIdentity, Services
from synthflow.errors import InvariantBroken, Mistakes, UserError
from synthflow.execute.unit import build_stage
from synthflow.schema import REJECTS
from synthflow.stages.source.base import Source
from synthflow.stages.source.stand_in import StandIn
from synthflow.stores.manifest import Commit, Manifest
from synthflow.stores.rundir import RunDirectory
from synthflow.stores.shards import Shard, read_shard

if TYPE_CHECKING:
    from synthflow.spec.pipeline import Pipeline


class RecordedProblems(StandIn):
    """A source whose problems and rejects are those that a run has; everything else about it is as it was."""

    def __init__(self, source: Source, root: Path, commits: Sequence[Commit]) -> None:
        super().__init__(source)
        self._root = root
        self._shards = [shard for commit in commits for shard in commit.shards]

    def _of(self, table: str) -> list[Shard]:
        return [shard for shard in self._shards if shard.table == table]

    def batches(self) -> Iterator[pa.Table]:
        for shard in self._of("problems"):
            yield read_shard(self._root, shard)

    def rejects(self, stage_id: str) -> pa.Table:
        rows = [row for shard in self._of("rejects") for row in read_shard(self._root, shard).to_pylist()]
        return REJECTS.from_rows([{**row, "stage_id": stage_id} for row in rows])

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, Any]:
        return {"problems": pa.concat_tables(list(self.batches())), "rejects": self.rejects(services.stage_id)}

    def count_rows(self) -> tuple[float, str]:
        """Problems of the run."""
        return float(sum(shard.rows for shard in self._of("problems"))), ""


def recorded_pipeline(run: RunDirectory, manifest: Manifest, changes: Mapping[str, Mapping[str, Any]]) -> Pipeline:
    """The pipeline of the latest attempt.

    Args:
        changes: stage -> fields that replace its recorded ones; `use` among them replaces them all.

    Raises:
        Mistakes: if a changed field is wrong.
        UserError: if a stage or backend of the run is not installed here.
    """
    from synthflow.spec.document import Document, check_values
    from synthflow.spec.models import PipelineSpec
    from synthflow.spec.pipeline import Pipeline
    from synthflow.spec.policies import read_policies

    spec = json.loads(json.dumps(manifest.latest_attempt["spec"]))
    for name, fields in changes.items():
        kept = {"of": spec["stages"][name]["of"]} if "use" in fields else spec["stages"][name]
        spec["stages"][name] = {**kept, **fields}
    document = Document(f"the recorded spec of {run.root}", spec)
    check_values(document)
    policies, written_out, _ = read_policies(document, Path.cwd())
    nodes = {name: _node(document, run, manifest, name, name in changes) for name in spec["stages"]}
    found = {name: node for name, node in nodes.items() if node is not None}
    if document.found:
        raise Mistakes(document.in_order(), document.label)
    fields = {key: value for key, value in spec.items() if key in PipelineSpec.model_fields and key != "policies"}
    text = run.root / "spec.yaml"
    spec_text = text.read_text(encoding="utf-8") if text.is_file() else ""
    return Pipeline(PipelineSpec.model_validate(fields), policies, written_out, found, spec_text)


def _node(document: Any, run: RunDirectory, manifest: Manifest, name: str, is_changed: bool) -> Any:
    from pydantic import ValidationError

    from synthflow.spec.explain import explain
    from synthflow.spec.nodes import Node
    from synthflow.stages.adapters import stage_class

    record = manifest.graph.stages[name]
    given = document.data["stages"][name]
    if not is_changed:
        stage = build_stage(name, record.use, record.config)
        if isinstance(stage, Source):
            units = (manifest.find(name, unit) for unit in manifest.graph.units(name))
            stage = RecordedProblems(stage, run.root, [commit for commit in units if commit is not None])
        return Node(name, record.use, stage, record.parents, stage.config, given)
    try:
        cls = stage_class(str(given.get("use", record.use)))
        fields = {"use": record.use, **given}
        config = cls.Config.model_validate(fields)
    except ValidationError as error:
        explain(document, ("stages", name), error, cls.Config)
        return None
    return Node(name, fields["use"], cls(name, config), record.parents, config, config.model_dump(mode="json"))


def recorded_identities(run: RunDirectory, pipeline: Pipeline) -> dict[str, PolicyIdentity]:
    """Identities of the policies that stages sample from, as the run recorded them.

    Raises:
        InvariantBroken: if the run's own table cannot be read.
        UserError: if it lacks one of them.
    """
    try:
        summary = json.loads((run.root / "manifest.json").read_bytes())
        shards = [Shard.from_json(s) for s in summary["reference"] if s["table"] == "policies"]
        rows = [row for shard in shards for row in read_shard(run.root, shard).to_pylist()]
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise InvariantBroken(f"{run.root}: its table of policies cannot be read ({error}); see `check`") from error
    used = {name for node in pipeline.nodes for name in type(node.stage).policies(node.config)}
    found: dict[str, PolicyIdentity] = {}
    for name in sorted(used):
        config = pipeline.policies[name]
        # Two names of one model are one row, under the first name.
        row = next((r for r in rows if r["name"] == name), None) or next(
            (r for r in rows if (r["model"], r["backend"]) == (config.model, config.backend)), None
        )
        if row is None:
            raise UserError(f"{run.root}: the run has not recorded what policy {name!r} is; run its spec again")
        found[name] = PolicyIdentity(
            row["policy_id"], row["weights_hash"], row["tokenizer_hash"], row["template_hash"], _details(row["details"])
        )
    return found


def _details(text: str) -> dict[str, Any]:
    """What the backend said of itself; the options, which `finish_run` puts beside it, are added by it again."""
    found: dict[str, Any] = json.loads(text)
    found.pop("options", None)
    return found
