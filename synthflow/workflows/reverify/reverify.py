"""Judge the rollouts of a finished run again, with what is installed now or with another configuration.

Invariants: nothing is sampled. The new verdicts are judged from the run's own shards and committed beside the old ones,
under the fingerprint that they will have; a commit counts only when the plan says so, so that until `apply_rejudged`
opens an attempt with the new plan, the run is what it was. Old verdicts stay, and count again if the change is undone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from synthflow.contracts import PolicyIdentity
from synthflow.contracts.stage_info import verifier_of, verifier_stage
from synthflow.errors import UserError, suggest
from synthflow.execute.services import close_shared
from synthflow.execute.shard_inputs import ShardInputs
from synthflow.execute.tasks import RunContext, UnitTask
from synthflow.execute.unit import run_unit
from synthflow.plan.records import stage_record
from synthflow.stores.files import write_text, written_aside
from synthflow.stores.graph import ALL, Graph, StageRecord
from synthflow.stores.lock import RunLock
from synthflow.stores.manifest import Commit, Manifest
from synthflow.stores.rundir import RunDirectory
from synthflow.workflows.reverify.churn import Churn, ChurnWriter
from synthflow.workflows.reverify.extracted import PROBLEM, ROLLOUT, extracted_by
from synthflow.workflows.reverify.run_as_pipeline import recorded_identities, recorded_pipeline

if TYPE_CHECKING:
    from synthflow.execute.run import Display, RunResult
    from synthflow.execute.stopping import Stopper
    from synthflow.spec.pipeline import Pipeline

FOLDER = "churn"
EXAMPLES = 3


@dataclass(frozen=True)
class Rejudge:
    """What to judge again.

    Attributes:
        stage: None means every verify stage that the installed code would make anew; to change a field or the verifier,
            the only one there is.
        verifier: None means its own.
        settings: fields over its own, or over the defaults of another verifier.
    """

    root: Path
    stage: str | None = None
    verifier: str | None = None
    settings: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Rejudged:
    """One stage, judged again. `changes` are its fields that differ from the recorded ones.

    `flips` is the Parquet file with every rollout whose verdict or reason changes, relative to the run.
    """

    stage: str
    before: StageRecord
    now: StageRecord
    changes: Mapping[str, Any]
    churn: Churn
    flips: str

    def to_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "use_before": self.before.use,
            "use_now": self.now.use,
            "version_before": self.before.version,
            "version_now": self.now.version,
            "changes": dict(self.changes),
            "flips_file": self.flips,
            **self.churn.to_json(),
        }


@dataclass(frozen=True)
class Rerun:
    """What came out. `stages` is empty where nothing would change: the same verifiers, versions and configurations.

    Attributes:
        pipeline: the recorded one with the asked changes.
        looked_at: verify stages as they would be now.
        redone: what `apply_rejudged` makes again besides: stages that read the verdicts, and stages whose own version
            is another one now; `samplers` are those of them that sample.
    """

    pipeline: Pipeline
    stages: tuple[Rejudged, ...]
    looked_at: tuple[StageRecord, ...]
    redone: tuple[str, ...]
    samplers: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "stages": [one.to_json() for one in self.stages],
            "redone": list(self.redone),
            "samplers": list(self.samplers),
        }


def rejudge(asked: Rejudge, progress: Callable[[int, int], None] | None = None) -> Rerun:
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
        changes = {name: _fields(manifest, name, asked)} if name is not None else {}
        pipeline = recorded_pipeline(run, manifest, changes)
        identities = recorded_identities(run, pipeline)
        now = {one: _record(manifest, pipeline, identities, one) for one in manifest.graph.stages}
        differ = [one for one, record in now.items() if record.fingerprint != manifest.graph.stages[one].fingerprint]
        verify = [one for one in differ if _judges_again(now[one])]
        for one in verify:
            _check_finished(run, manifest, one)
        context = _context(run, manifest, pipeline, identities)
        tell = progress or (lambda done, of: None)
        try:
            found = tuple(_compared(run, manifest, now[one], pipeline[one].config, context, tell) for one in verify)
        finally:
            close_shared()
        graph = manifest.graph
        redone = [s for s in graph.stages if s not in verify and {s, *graph.ancestors_of(s)}.intersection(differ)]
        looked_at = [record for record in now.values() if _judges_again(record)]
    samplers = [s for s in redone if type(pipeline[s].stage).policies(pipeline[s].config)]
    return Rerun(pipeline, found, tuple(looked_at), tuple(redone) if found else (), tuple(samplers))


def apply_rejudged(
    found: Rerun, root: Path, *, display: Display | None = None, stopper: Stopper | None = None
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


def _judges_again(record: StageRecord) -> bool:
    """Whether a stage judges rollouts of another one; a tree's verdicts are part of how it was sampled."""
    return record.has("gives_verdicts") and not record.has("writes_rollouts")


def _stage(manifest: Manifest, asked: Rejudge) -> str | None:
    if not manifest.graph.stages:
        raise UserError(f"{asked.root}: no attempt was opened here; run its spec first")
    known = [name for name, record in manifest.graph.stages.items() if _judges_again(record)]
    if not known:
        raise UserError(f"{asked.root}: the run has no verify stage, so there is nothing to judge again")
    if asked.stage is not None:
        if asked.stage not in known:
            hint = suggest(asked.stage, known) or f"verify stages: {', '.join(known)}"
            raise UserError(f"{asked.root}: no verify stage is called {asked.stage!r}; {hint}")
        return asked.stage
    if asked.verifier is None and not asked.settings:
        return None
    same = [name for name in known if verifier_of(manifest.graph.stages[name].use) == asked.verifier]
    likely = same or known
    if len(likely) > 1:
        raise UserError(f"{asked.root}: several verify stages: {', '.join(likely)}; say which with --stage NAME")
    return likely[0]


def verify_stage(manifest: Manifest, asked: Rejudge) -> str:
    """The one verify stage that is meant.

    Raises:
        UserError: if there is none, or several and `asked` does not say which.
    """
    named = _stage(manifest, asked)
    if named is not None:
        return named
    known = [name for name, record in manifest.graph.stages.items() if _judges_again(record)]
    if len(known) > 1:
        raise UserError(f"{asked.root}: several verify stages: {', '.join(known)}; say which with --stage NAME")
    return known[0]


def _fields(manifest: Manifest, name: str, asked: Rejudge) -> dict[str, Any]:
    """What replaces the stage's recorded fields."""
    record, fields = manifest.graph.stages[name], dict(asked.settings or {})
    for fixed in ("use", "of"):
        if fixed in fields:
            raise UserError(f"--set {fixed}: not a field of the verifier; give --verifier NAME, or change the spec")
    if asked.verifier is not None and verifier_of(record.use) != asked.verifier:
        truncated = {key: value for key, value in record.config.items() if key == "truncated"}
        return {"use": verifier_stage(asked.verifier), **truncated, **fields}
    return fields


def _record(manifest: Manifest, pipeline: Pipeline, identities: Mapping[str, PolicyIdentity], name: str) -> StageRecord:
    """A stage as the installed code would make it, from its parents as the run has them."""
    node = pipeline[name]
    policies = [identities[policy].policy_id for policy in type(node.stage).policies(node.config)]
    return stage_record(node, manifest.graph.stages, policies, pipeline.seed, pipeline.round)


def _check_finished(run: RunDirectory, manifest: Manifest, name: str) -> None:
    graph = manifest.graph
    for stage in [*graph.ancestors_of(name), name]:
        if any(manifest.find(stage, unit) is None for unit in graph.units(stage)):
            raise UserError(f"{run.root}: stage {stage!r} is not finished; run its spec to the end first")


def _context(
    run: RunDirectory, manifest: Manifest, pipeline: Pipeline, identities: Mapping[str, PolicyIdentity]
) -> RunContext:
    return RunContext(
        root=run.root.resolve(),
        attempt=manifest.attempt,
        run_seed=pipeline.seed,
        round=pipeline.round,
        policies=pipeline.policies,
        identities=identities,
        journal_only=True,
    )


def _compared(
    run: RunDirectory,
    manifest: Manifest,
    record: StageRecord,
    config: Any,
    context: RunContext,
    tell: Callable[[int, int], None],
) -> Rejudged:
    graph, name = manifest.graph, record.name
    recorded = graph.stages[name]
    planned = Graph([record if s.name == name else s for s in graph.stages.values()], graph.partitions, graph.left_out)
    flips = run.root / FOLDER / f"{name}-{recorded.fingerprint[2:10]}-{record.fingerprint[2:10]}.parquet"
    mains = (verifier_of(recorded.use), verifier_of(record.use))
    units = graph.units(name)
    above = {stage: dict.fromkeys(graph.units(stage)) for stage in graph.ancestors_of(name)}
    with written_aside(flips) as aside:
        writer = ChurnWriter(run.root, aside, EXAMPLES, mains)
        for done, unit in enumerate(units):
            tell(done, len(units))
            task = _task(manifest, planned, context, record, unit, above)
            now = manifest.find(name, unit, planned)
            if now is None:
                now = run_unit(task)
                manifest.commit(now)
            before = manifest.find(name, unit)
            assert before is not None  # `_check_finished` looked
            shown = writer.add(before.shards, now.shards)
            if shown.height:
                rollouts, problems = _texts(task, shown)
                writer.show(shown, rollouts, problems, extracted_by(record.info(), rollouts, problems))
        tell(len(units), len(units))
        writer.close()
    changes = _changes(recorded, record, config)
    made = Rejudged(name, recorded, record, changes, writer.churn, str(flips.relative_to(run.root)))
    write_text(flips.with_suffix(".json"), json.dumps(made.to_json(), ensure_ascii=False, indent=1, default=str))
    return made


def _changes(recorded: StageRecord, record: StageRecord, config: Any) -> dict[str, Any]:
    """Fields that differ; one that the recorded version did not have yet is none where it has its default."""
    were, fields = {**recorded.config, "use": recorded.use}, type(config).model_fields
    new = {name for name in record.config if name not in were and name in fields}
    same = {name for name in new if getattr(config, name) == fields[name].get_default(call_default_factory=True)}
    return {k: v for k, v in record.config.items() if k != "of" and k not in same and were.get(k) != v}


def _task(
    manifest: Manifest,
    planned: Graph,
    context: RunContext,
    record: StageRecord,
    unit: str,
    above: Mapping[str, Mapping[str, None]],
) -> UnitTask:
    """One partition. `above` holds the units of every stage above."""
    graph = manifest.graph
    done: dict[str, dict[str, Commit]] = {}
    for stage, units in above.items():
        commits = ((u, manifest.find(stage, u)) for u in ([unit] if unit in units else units))
        done[stage] = {u: commit for u, commit in commits if commit is not None}
    return UnitTask(
        context=context,
        record=record,
        ancestors=tuple(graph.stages[a].info() for a in graph.ancestors_of(record.name)),
        sources=tuple(graph.sources_of(record.name)),
        unit=unit,
        key=planned.key(record.name, unit),
        done=done,
    )


def _texts(task: UnitTask, flips: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rollouts of some flips, and their problems."""
    units = None if task.unit == ALL else [task.unit]
    inputs = ShardInputs(task.context.root, task.ancestors, task.record.parents, task.done, task.sources, units)
    rollouts, problems = [], []
    for part in inputs.partitions():
        texts, gold = (
            part.frame("rollouts", list(ROLLOUT)),
            part.frame("problems", list(PROBLEM)),
        )
        rollouts.append(texts.filter(pl.col("rollout_id").is_in(flips["target_id"].implode())))
        problems.append(gold.filter(pl.col("problem_id").is_in(flips["problem_id"].implode())))
    return pl.concat(rollouts).unique("rollout_id"), pl.concat(problems).unique("problem_id")
