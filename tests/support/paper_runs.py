"""A run of which nothing was executed: its sources are cut, its journal is written, and its stages are committed.

For whoever reads the manifest and the journal only, such as a plan.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from synthflow import ids
from synthflow.contracts import PolicyIdentity, SampleResult
from synthflow.execute.partition import cut_sources
from synthflow.plan.again import asked_again
from synthflow.plan.costs import Change, cost_of_change
from synthflow.plan.planned import PlannedRun, plan_run
from synthflow.plan.sources import SourceNow, read_sources, recorded_problems
from synthflow.rollouts.requests import RolloutIds
from synthflow.spec import Pipeline
from synthflow.stores.journal import JournalWriter
from synthflow.stores.manifest import Commit, Manifest
from synthflow.stores.shards import Shard

POLICY = {"backend": "transformers", "model": "demo"}
IDENTITIES = {"default": PolicyIdentity("m_1", "w", "t", "c")}
Stages = Mapping[str, Mapping[str, Any]]


def write_problems(path: Path, answers: Mapping[str, object]) -> Path:
    """A file of problems: answers by prompt."""
    lines = [json.dumps({"prompt": prompt, "answer": answer}) for prompt, answer in answers.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


class PaperRun:
    """A run directory of stages that read `problems.jsonl` beside it."""

    def __init__(
        self, root: Path, partition_size: int = 2, identities: Mapping[str, PolicyIdentity] = IDENTITIES, seed: int = 0
    ) -> None:
        self.root, self.size, self.identities, self.seed = root, partition_size, identities, seed
        root.mkdir(exist_ok=True)

    def planned(self, stages: Stages, policy: Mapping[str, Any] = POLICY) -> PlannedRun:
        execution = {"partition_size": self.size}
        pipeline = Pipeline.build("paper", stages, dict(policy), seed=self.seed, execution=execution)
        return plan_run(pipeline, Manifest(self.root), self.identities)

    def change(self, stages: Stages, policy: Mapping[str, Any] = POLICY, retry: Sequence[str] = ()) -> Change:
        """What a run of these stages would cost."""
        planned = self.planned(stages, policy)
        now = read_sources(planned, self.root)
        planned = _over(planned, now)
        return cost_of_change(planned, now, self.root, asked_again(planned, retry))

    def cut(self, stages: Stages) -> tuple[PlannedRun, dict[str, SourceNow]]:
        """Write the sources' partitions, and open an attempt."""
        planned = self.planned(stages)
        now = cut_sources(planned, self.root)
        planned = _over(planned, now)
        planned.manifest.open_attempt(planned.records, {"name": "paper", "spec": planned.pipeline.resolved()})
        for name, each in now.items():
            units = each.units
            planned.manifest.set_partitions(name, units.partitions, units.left_out, units.content)
        return planned, now

    def finish(self, stages: Stages, but: Sequence[str] = (), refused: int = 0) -> None:
        """An attempt that did all its work: rollouts are journaled and units committed; of stages in `but` no unit.

        Args:
            refused: problems of which the first rollout is refused.
        """
        planned, _ = self.cut(stages)
        manifest = planned.manifest
        for node in planned.pipeline.nodes:
            unanswered: Counter[str] = Counter()
            if node.stage.samples_groups:
                without = self._problems(planned, node.name).head(refused)
                unanswered.update(without["partition"])
                self.journal(planned, node.name, node.config.n, refused=set(without["problem_id"]))  # type: ignore[attr-defined]
            record = planned.graph.stages[node.name]
            shards = tuple(
                Shard(table, f"tables/{table}/{record.folder}/part-0.parquet", 32, 20_000, "0" * 64)
                for table in record.writes
            )
            for shard in shards:
                self._take_room(shard)
            for unit in planned.graph.units(node.name) if node.name not in but else ():
                if manifest.find(node.name, unit) is None:
                    work = (record.fingerprint, record.stage_id, unit, planned.graph.key(node.name, unit))
                    ended = {"refused": unanswered[unit]} if unanswered[unit] else {}
                    manifest.commit(Commit(node.name, *work, manifest.attempt, shards, {}, ended))
        if not but:
            manifest.append({"kind": "done", "attempt": manifest.attempt})

    def journal(
        self,
        planned: PlannedRun,
        stage: str,
        n: int,
        problems: Sequence[str] | None = None,
        refused: Collection[str] = (),
    ) -> None:
        """Answers to the first n rollouts of some problems, or of all; to the first one of `refused`, a refusal."""
        if problems is None:
            problems = self._problems(planned, stage)["problem_id"].to_list()
        [sampling] = planned.pipeline[stage].stage.samplings()
        rollouts = RolloutIds(self.identities["default"].policy_id, str(sampling["sampling_id"]), planned.pipeline.seed)
        writer = JournalWriter(self.root / "journal", problems, planned.manifest.attempt)
        for problem in problems:
            for index in range(n):
                rollout = rollouts.rollout_id(problem, 0, ids.NO_PREFIX, index)
                answer = SampleResult(rollout, "text", "stop", n_tokens=10)
                refusal = SampleResult(rollout, "", "refused", reason="no")
                writer.append(refusal if problem in refused and not index else answer, problem)
        writer.close()

    def _take_room(self, shard: Shard) -> None:
        """A file as long as the shard says, so that it is not lost."""
        path = self.root / shard.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as handle:
            handle.truncate(shard.bytes)

    def _problems(self, planned: PlannedRun, stage: str) -> pl.DataFrame:
        graph = planned.graph
        [source] = graph.sources_of(stage)
        return recorded_problems(self.root, planned.manifest, graph.stages[source], graph.partitions[source])


def _over(planned: PlannedRun, now: Mapping[str, SourceNow]) -> PlannedRun:
    return planned.with_sources({name: each.units for name, each in now.items()})
