"""A run of which nothing was executed: its sources are cut, its journal is written, and its stages are committed.

For whoever reads the manifest and the journal only, such as a plan.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synthflow import ids
from synthflow.contracts import PolicyIdentity, SampleResult
from synthflow.execute.partition import cut_sources
from synthflow.plan.costs import Change, cost_of_change
from synthflow.plan.planned import PlannedRun, plan_run
from synthflow.plan.sources import SourceNow, read_sources
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

    def planned(self, stages: Stages) -> PlannedRun:
        execution = {"partition_size": self.size}
        pipeline = Pipeline.build("paper", stages, POLICY, seed=self.seed, execution=execution)
        return plan_run(pipeline, Manifest(self.root), self.identities)

    def change(self, stages: Stages) -> Change:
        """What a run of these stages would cost."""
        planned = self.planned(stages)
        now = read_sources(planned, self.root)
        return cost_of_change(_over(planned, now), now, self.root)

    def cut(self, stages: Stages) -> tuple[PlannedRun, dict[str, SourceNow]]:
        """Write the sources' partitions, and open an attempt."""
        planned = self.planned(stages)
        now = cut_sources(planned, self.root)
        planned = _over(planned, now)
        planned.manifest.open_attempt(planned.records, {"name": "paper"})
        for name, each in now.items():
            units = each.units
            planned.manifest.set_partitions(name, units.partitions, units.left_out, units.content)
        return planned, now

    def finish(self, stages: Stages, but: Sequence[str] = ()) -> None:
        """An attempt that did all its work: rollouts are journaled and units committed, of `but` nothing."""
        planned, _ = self.cut(stages)
        for node in planned.pipeline.nodes:
            if node.name in but:
                continue
            if node.stage.samples_groups:
                self.journal(planned, node.name, node.config.n)  # type: ignore[attr-defined]
            record = planned.graph.stages[node.name]
            shards = tuple(
                Shard(table, f"tables/{table}/{record.folder}/part-0.parquet", 32, 20_000, "0" * 64)
                for table in record.writes
            )
            for unit in planned.graph.units(node.name):
                if planned.manifest.find(node.name, unit) is None:
                    key = planned.graph.key(node.name, unit)
                    attempt = planned.manifest.attempt
                    planned.manifest.commit(
                        Commit(node.name, record.fingerprint, record.stage_id, unit, key, attempt, shards, {})
                    )

    def journal(self, planned: PlannedRun, stage: str, n: int, problems: Sequence[str] | None = None) -> None:
        """Answers to the first n rollouts of some problems, or of all."""
        from synthflow.plan.sources import recorded_problems

        graph = planned.graph
        [source] = graph.sources_of(stage)
        if problems is None:
            held = recorded_problems(self.root, planned.manifest, graph.stages[source], graph.partitions[source])
            problems = held["problem_id"].to_list()
        [sampling] = planned.pipeline[stage].stage.samplings()
        rollouts = RolloutIds(self.identities["default"].policy_id, str(sampling["sampling_id"]), planned.pipeline.seed)
        writer = JournalWriter(self.root / "journal", problems, planned.manifest.attempt)
        for problem in problems:
            for index in range(n):
                rollout = rollouts.rollout_id(problem, 0, ids.NO_PREFIX, index)
                writer.append(SampleResult(rollout, "text", "stop", n_tokens=10), problem)
        writer.close()


def _over(planned: PlannedRun, now: Mapping[str, SourceNow]) -> PlannedRun:
    return planned.with_sources({name: each.units for name, each in now.items()})
