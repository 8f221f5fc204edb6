"""Judge the rollouts of a finished run again, with what is installed now or with another configuration.

Invariants: nothing is sampled. The new verdicts are judged from the run's own shards and committed beside the old ones,
under the fingerprint that they will have; a commit counts only when the plan says so, so that until `apply_rejudged`
opens an attempt with the new plan, the run is what it was. Old verdicts stay, and count again if the change is undone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthflow.contracts import StageInfo
from synthflow.errors import UserError
from synthflow.execute.recorded import recorded_identities, recorded_pipeline
from synthflow.execute.shard_inputs import ShardInputs
from synthflow.execute.tasks import RunContext, UnitTask
from synthflow.execute.unit import run_unit
from synthflow.plan.records import stage_record
from synthflow.registry import suggest
from synthflow.stores.files import write_text, written_aside
from synthflow.stores.lock import RunLock
from synthflow.stores.manifest import Commit, Graph, Manifest, StageRecord
from synthflow.stores.rundir import RunDirectory
from synthflow.verdicts.churn import Churn, ChurnWriter

if TYPE_CHECKING:
    from synthflow.execute.run import Display, RunResult
    from synthflow.execute.stopping import Stopper
    from synthflow.spec.pipeline import Pipeline

FOLDER = "churn"
EXAMPLES = 3


@dataclass(frozen=True)
class Rejudge:
    """What to judge again. None: the only verify stage, its own verifier, its own fields with `settings` over them."""

    root: Path
    stage: str | None = None
    verifier: str | None = None
    settings: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Rejudged:
    """What came out. `churn` is None where nothing would change: the same verifier, version and configuration.

    Attributes:
        changes: fields of the stage that differ from the recorded ones.
        below: stages that read the verdicts, and are made again when they are applied; `samplers`: those that sample.
        flips: the Parquet file with every rollout whose verdict or reason changes, relative to the run.
    """

    pipeline: Pipeline
    stage: str
    before: StageRecord
    now: StageRecord
    changes: Mapping[str, Any]
    below: tuple[str, ...]
    samplers: tuple[str, ...]
    churn: Churn | None = None
    flips: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "use_before": self.before.use,
            "use_now": self.now.use,
            "version_before": self.before.version,
            "version_now": self.now.version,
            "changes": dict(self.changes),
            "below": list(self.below),
            "samplers_below": list(self.samplers),
            "flips_file": self.flips,
            "churn": None if self.churn is None else self.churn.to_json(),
        }


def rejudge(asked: Rejudge, progress: Callable[[int, int], None] | None = None) -> Rejudged:
    """Judge again and compare; the run itself stays as it is.

    Args:
        progress: is told how many partitions of how many are judged.

    Raises:
        UserError: if the run is not finished, has no such stage, or what it needs is not installed.
        Mistakes: if a field is wrong.
        RunLocked: if a run is going on there.
        InfrastructureError: if the verifier cannot work, or would have to sample.
    """
    run = RunDirectory.existing(asked.root)
    with RunLock(run.root):
        manifest = run.manifest()
        name = _stage(manifest, asked)
        pipeline = recorded_pipeline(run, manifest, {name: _fields(manifest, name, asked)})
        found = _planned(run, manifest, pipeline, name)
        if found.now.fingerprint == found.before.fingerprint:
            return found
        context = _context(run, manifest, pipeline)
        return _compared(run, manifest, found, context, progress or (lambda done, of: None))


def apply_rejudged(
    found: Rejudged, root: Path, *, display: Display | None = None, stopper: Stopper | None = None
) -> RunResult:
    """Put the new verdicts in the place of the old, and make again what reads them. Samples nothing.

    Raises:
        Incomplete: if a stage below needs samples that are not in the journal; the verdicts are replaced then, and
            what could be made again is.
    """
    from synthflow.execute.run import run_pipeline

    identities = recorded_identities(RunDirectory.existing(root), found.pipeline)
    return run_pipeline(
        found.pipeline, root, display=display, stopper=stopper, identities=identities, journal_only=True
    )


def _stage(manifest: Manifest, asked: Rejudge) -> str:
    if not manifest.graph.stages:
        raise UserError(f"{asked.root}: no attempt was opened here; run its spec first")
    known = [name for name, record in manifest.graph.stages.items() if record.use.startswith("verify.")]
    if asked.stage is not None:
        if asked.stage not in known:
            hint = suggest(asked.stage, known) or f"verify stages: {', '.join(known) or 'none'}"
            raise UserError(f"{asked.root}: no verify stage is called {asked.stage!r}; {hint}")
        return asked.stage
    if not known:
        raise UserError(f"{asked.root}: the run has no verify stage, so there is nothing to judge again")
    same = [name for name in known if manifest.graph.stages[name].use == f"verify.{asked.verifier}"]
    likely = same or known
    if len(likely) > 1:
        raise UserError(f"{asked.root}: several verify stages: {', '.join(likely)}; say which with --stage NAME")
    return likely[0]


def _fields(manifest: Manifest, name: str, asked: Rejudge) -> dict[str, Any]:
    """What replaces the stage's recorded fields."""
    record, fields = manifest.graph.stages[name], dict(asked.settings or {})
    for fixed in ("use", "of"):
        if fixed in fields:
            raise UserError(f"--set {fixed}: not a field of the verifier; give --verifier NAME, or change the spec")
    if asked.verifier is not None and record.use != f"verify.{asked.verifier}":
        truncated = {key: value for key, value in record.config.items() if key == "truncated"}
        return {"use": f"verify.{asked.verifier}", **truncated, **fields}
    return fields


def _planned(run: RunDirectory, manifest: Manifest, pipeline: Pipeline, name: str) -> Rejudged:
    graph, node, before = manifest.graph, pipeline[name], manifest.graph.stages[name]
    policies = []
    if type(node.stage).policies(node.config):
        identities = recorded_identities(run, pipeline)
        policies = [identities[policy].policy_id for policy in type(node.stage).policies(node.config)]
    # The parents as the run has them: what else the installed code would do otherwise is not asked here.
    now = stage_record(node, graph.stages, policies, pipeline.seed, pipeline.round)
    owed = [s for s in [*graph.ancestors_of(name), name] if any(manifest.find(s, u) is None for u in graph.units(s))]
    if owed:
        raise UserError(f"{run.root}: stage {owed[0]!r} is not finished; run its spec to the end first")
    below = tuple(other for other in graph.stages if name in graph.ancestors_of(other))
    recorded = {**before.config, "use": before.use}
    differ = {k: v for k, v in now.config.items() if k != "of" and recorded.get(k) != v}
    return Rejudged(
        pipeline=pipeline,
        stage=name,
        before=before,
        now=now,
        changes=differ,
        below=below,
        samplers=tuple(o for o in below if type(pipeline[o].stage).policies(pipeline[o].config)),
    )


def _context(run: RunDirectory, manifest: Manifest, pipeline: Pipeline) -> RunContext:
    return RunContext(
        root=run.root.resolve(),
        attempt=manifest.attempt,
        run_seed=pipeline.seed,
        round=pipeline.round,
        policies=pipeline.policies,
        identities=recorded_identities(run, pipeline),
        journal_only=True,
    )


def _compared(
    run: RunDirectory, manifest: Manifest, found: Rejudged, context: RunContext, tell: Callable[[int, int], None]
) -> Rejudged:
    graph, name = manifest.graph, found.stage
    records = [found.now if record.name == name else record for record in graph.stages.values()]
    planned = Graph(records, graph.partitions, graph.left_out)
    flips = run.root / FOLDER / f"{name}-{found.before.fingerprint[2:10]}-{found.now.fingerprint[2:10]}.parquet"
    mains = (found.before.use.removeprefix("verify."), found.now.use.removeprefix("verify."))
    units = graph.units(name)
    with written_aside(flips) as aside:
        writer = ChurnWriter(run.root, aside, EXAMPLES, mains)
        for done, unit in enumerate(units):
            tell(done, len(units))
            task = _task(manifest, planned, context, found.now, unit)
            now = manifest.find(name, unit, planned)
            if now is None:
                now = run_unit(task)
                manifest.commit(now)
            before = manifest.find(name, unit)
            assert before is not None  # `_planned` looked
            shown = writer.add(before.shards, now.shards)
            if shown.height:
                inputs = _inputs(task)
                rollouts = inputs.frame("rollouts", ["rollout_id", "completion"]).unique("rollout_id")
                problems = inputs.frame("problems", ["problem_id", "answer"]).unique("problem_id")
                writer.show(shown, rollouts, problems)
        tell(len(units), len(units))
        writer.close()
    made = Rejudged(
        **{
            **{field: getattr(found, field) for field in Rejudged.__dataclass_fields__},
            "churn": writer.churn,
            "flips": str(flips.relative_to(run.root)),
        }
    )
    write_text(flips.with_suffix(".json"), json.dumps(made.to_json(), ensure_ascii=False, indent=1, default=str))
    return made


def _task(manifest: Manifest, planned: Graph, context: RunContext, record: StageRecord, unit: str) -> UnitTask:
    graph = manifest.graph
    done: dict[str, dict[str, Commit]] = {}
    for above in graph.ancestors_of(record.name):
        is_partition = unit in graph.units(above)
        commits = ((u, manifest.find(above, u)) for u in ([unit] if is_partition else graph.units(above)))
        done[above] = {u: commit for u, commit in commits if commit is not None}
    return UnitTask(
        context=context,
        record=record,
        ancestors=tuple(_infos(graph, record.name)),
        sources=tuple(graph.sources_of(record.name)),
        unit=unit,
        key=planned.key(record.name, unit),
        done=done,
    )


def _infos(graph: Graph, name: str) -> Iterator[StageInfo]:
    for above in graph.ancestors_of(name):
        record = graph.stages[above]
        yield StageInfo(above, record.use, record.writes, record.parents, record.config)


def _inputs(task: UnitTask) -> ShardInputs:
    return ShardInputs(task.context.root, task.ancestors, task.record.parents, task.done, task.sources, task.unit)
