"""What a change costs: of every stage what is kept, what is owed and why, what becomes stale, and what will be asked.

Invariants: requests that depend on nothing sampled (the first rollouts of a group) are counted to the last one, against
the journal; work that some attempt did before, under whatever name of the stage, asks for nothing, unless what had no
answer is asked again; for every other stage the number is the most that there can be (`at_most`). Nothing is written,
and no model is loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from synthflow import ids
from synthflow.plan.again import standing_of, units_without_answers
from synthflow.plan.earlier import Pace, pace_of
from synthflow.plan.planned import PlannedRun
from synthflow.plan.reasons import gone_stages, why_owed
from synthflow.plan.sources import SourceNow, is_changed, partition_sizes, problems_of, recorded_problems
from synthflow.plan.volumes import volumes
from synthflow.rollouts.requests import RolloutIds
from synthflow.spec.nodes import Node
from synthflow.stores.graph import ALL, Graph
from synthflow.stores.journal import answered, place

Places = NDArray[np.uint64]


@dataclass(frozen=True)
class StageCost:
    """One stage.

    Attributes:
        kept, owed: units of work that are done, and that are not; `why` says of the owed ones what made them so.
        stale: units that the latest attempt's plan counted, and this one does not.
        requests: what will be asked that was never answered; `at_most` if that is a bound and no count.
        journaled: requests of the owed units that were answered before; only of a count.
        tokens: the most that the requests can take; `expected_tokens` as many as such rollouts took before, and
            `expected_s` the seconds at the pace of then; null where nobody knows.
    """

    stage: str
    use: str
    kept: int
    owed: int
    stale: int
    why: str
    requests: int
    at_most: bool
    journaled: int
    tokens: float
    expected_tokens: float | None
    expected_s: float | None


@dataclass(frozen=True)
class Change:
    """A plan against the latest attempt; `attempt` is that one's number, 0 if there was none.

    `gone` are stages of the latest attempt that the plan has no more: name, use, units, and whether it has a release.
    """

    attempt: int
    problems: Mapping[str, int]
    stages: tuple[StageCost, ...]
    gone: tuple[Mapping[str, Any], ...]
    price_per_million_tokens: float | None = None

    @property
    def owed(self) -> int:
        return sum(stage.owed for stage in self.stages)

    def to_json(self) -> dict[str, Any]:
        asking = [stage for stage in self.stages if stage.requests]
        tokens = sum(s.tokens for s in asking)
        price = self.price_per_million_tokens
        return {
            "since_attempt": self.attempt,
            "problems": dict(self.problems),
            "stages": [asdict(stage) for stage in self.stages],
            "gone": [dict(stage) for stage in self.gone],
            "total": {
                "kept": sum(s.kept for s in self.stages),
                "owed": self.owed,
                "stale": sum(s.stale for s in self.stages) + sum(s["units"] for s in self.gone),
                "requests": sum(s.requests for s in asking),
                "at_most": any(s.at_most for s in asking),
                "tokens": tokens,
                "cost": None if price is None else tokens / 1e6 * price,
                "expected_tokens": _sum(s.expected_tokens for s in asking),
                "expected_s": _sum(s.expected_s for s in asking),
            },
        }


def cost_of_change(
    planned: PlannedRun, now: Mapping[str, SourceNow], root: Path, again: Mapping[str, Collection[str]]
) -> Change:
    """What a run of this plan will cost.

    Args:
        planned: over what the sources hold now.
        now: the sources.
        again: what is asked again if it had no answer (`asked_again`).
    """
    latest = planned.manifest.graph
    asked = _Asked(planned, now, root, again)
    stages = tuple(_stage(planned, node, asked, pace_of(root, planned.manifest.attempt, node.name))
                   for node in planned.pipeline.nodes)  # fmt: skip
    return Change(
        attempt=planned.manifest.attempt,
        problems=_problem_changes(planned, now, root),
        stages=stages,
        gone=gone_stages(latest, planned.graph, planned.manifest),
        price_per_million_tokens=planned.pipeline.execution.price_per_million_tokens,
    )


def _stage(planned: PlannedRun, node: Node, asked: _Asked, pace: Pace | None) -> StageCost:
    graph, manifest = planned.graph, planned.manifest
    units = graph.units(node.name)
    owed = [u for u in units if asked.is_again(node.name, u) or manifest.find(node.name, u, graph) is None]
    work = [u for u in owed if asked.is_again(node.name, u) or not manifest.was_done(*_work(graph, node.name, u))]
    requests, journaled, tokens, at_most = asked.of(node, work)
    expected = None if pace is None else requests * pace.tokens_per_request
    return StageCost(
        stage=node.name,
        use=node.use,
        kept=len(units) - len(owed),
        owed=len(owed),
        stale=_stale(planned, node.name),
        why=why_owed(planned, node.name, owed, asked.again) if owed else "",
        requests=requests,
        at_most=at_most and requests > 0,
        journaled=journaled,
        tokens=tokens,
        expected_tokens=expected if requests else 0.0,
        expected_s=0.0 if not requests else None if expected is None or pace is None else expected / pace.tokens_per_s,
    )


def _stale(planned: PlannedRun, name: str) -> int:
    """Units that were done under the latest plan, and are of no use to this one."""
    latest, manifest = planned.manifest.graph, planned.manifest
    if name not in latest.stages:
        return 0
    done = {_work(latest, name, unit) for unit in latest.units(name) if manifest.find(name, unit) is not None}
    return len(done - {_work(planned.graph, name, unit) for unit in planned.graph.units(name)})


def _work(graph: Graph, name: str, unit: str) -> tuple[str, str]:
    return graph.stages[name].fingerprint, graph.key(name, unit)


class _Asked:
    """Requests of stages, each counted once though two stages ask for it."""

    def __init__(
        self, planned: PlannedRun, now: Mapping[str, SourceNow], root: Path, again: Mapping[str, Collection[str]]
    ) -> None:
        self._planned, self._now, self._root, self._endings = planned, now, root, again
        self.again = units_without_answers(planned, again)
        taken_back = planned.manifest.made_of(planned.graph, self.again)
        self._taken_back = {(commit.fingerprint, commit.key) for commit in taken_back}
        self._claimed = np.empty(0, np.uint64)
        self._drawn = Counter(drawn for node in planned.pipeline.nodes if (drawn := self._drawn_by(node)) is not None)

    def is_again(self, stage: str, unit: str) -> bool:
        """Whether a unit is done, and made again for what is asked again."""
        return _work(self._planned.graph, stage, unit) in self._taken_back

    def of(self, node: Node, work: Sequence[str]) -> tuple[int, int, float, bool]:
        """(requests, journaled ones, most tokens, whether that is a bound) of some units of a stage."""
        if not work or not type(node.stage).policies(node.config):
            return 0, 0, 0.0, False
        bound = volumes(self._planned.pipeline, self._sizes(node, work), most=True)[node.name]
        exact = self._first_rollouts(node, work)
        if exact is None:
            return int(np.ceil(bound.requests)), 0, bound.tokens, True
        requests, journaled = exact
        per_request = bound.tokens / bound.requests if bound.requests else 0.0
        return requests, journaled, requests * per_request, False

    def _first_rollouts(self, node: Node, work: Sequence[str]) -> tuple[int, int] | None:
        """Of a stage that samples whole groups: those that are not journaled, and those that are."""
        planned, rollouts, n = self._planned, self._drawn_by(node), getattr(node.config, "n", None)
        if rollouts is None or not isinstance(n, int):
            return None
        problems = self._problem_ids(node.name, work)
        [policy] = type(node.stage).policies(node.config)
        journaled = answered(self._root / "journal", problems, standing_of(planned, policy, self._endings))
        if not len(journaled) and self._drawn[rollouts] == 1:
            return len(problems) * n, 0  # none was answered, and no other stage asks for them: no need of their ids
        wanted = np.fromiter(
            (place(rollouts.rollout_id(problem, planned.pipeline.round, ids.NO_PREFIX, index))
             for problem in problems for index in range(n)),
            np.uint64,
        )  # fmt: skip
        known = np.union1d(journaled, self._claimed)
        owed = np.setdiff1d(wanted, known)
        self._claimed = np.union1d(self._claimed, owed)
        return len(owed), len(wanted) - len(owed)

    def _drawn_by(self, node: Node) -> RolloutIds | None:
        """What tells the first rollouts of a stage, that samples whole groups of one kind, from those of others."""
        samplings, policies = [*node.stage.samplings()], type(node.stage).policies(node.config)
        if not node.stage.samples_groups or len(samplings) != 1 or len(policies) != 1:
            return None
        policy = self._planned.identities[policies[0]].policy_id
        return RolloutIds(policy, str(samplings[0]["sampling_id"]), self._planned.pipeline.seed)

    def _sizes(self, node: Node, work: Sequence[str]) -> dict[str, int]:
        """Problems of every source that some units of a stage can read: under a stage of the whole run, all."""
        graph = self._planned.graph
        whole = {ALL} & set(work) or any(graph.stages[a].scope == "whole" for a in graph.ancestors_of(node.name))
        wanted = set(work)
        return {
            source: sum(n for pid, n in self._sizes_of(source).items() if whole or pid in wanted)
            for source in graph.sources_of(node.name)
        }

    def _sizes_of(self, source: str) -> dict[str, int]:
        return partition_sizes(self._planned, source, self._now[source])

    def _problem_ids(self, stage: str, work: Sequence[str]) -> list[str]:
        planned, wanted = self._planned, set(work)
        found: list[str] = []
        for source in planned.graph.sources_of(stage):
            now, record = self._now[source], planned.graph.stages[source]
            if ALL in wanted:
                found += problems_of(planned, source, now, self._root)["problem_id"].to_list()
                continue
            kept = tuple(pid for pid in now.kept if pid in wanted)
            found += recorded_problems(self._root, planned.manifest, record, kept)["problem_id"].to_list()
            found += [p for pid, part in now.new_partitions() if pid in wanted for p in part["problem_id"]]
        return found


def _problem_changes(planned: PlannedRun, now: Mapping[str, SourceNow], root: Path) -> dict[str, int]:
    """Problems in all, and how many of them were added and edited since the latest attempt, and how many removed."""
    manifest, latest = planned.manifest, planned.manifest.graph
    same = {name for name, each in now.items() if not is_changed(planned, name, each)}
    old = [
        recorded_problems(root, manifest, record, latest.partitions.get(name, ()))
        for name, record in latest.stages.items()
        if record.scope == "source" and name not in same
    ]
    new = [problems_of(planned, name, each, root) for name, each in now.items() if name not in same]
    total = sum(sum(partition_sizes(planned, name, each).values()) for name, each in now.items())
    if not old or not new:
        return {"total": total, "added": sum(f.height for f in new), "edited": 0, "removed": sum(f.height for f in old)}
    before, after = pl.concat(old).select("problem_id", "content_hash"), pl.concat(new)
    both = after.join(before, on="problem_id", how="inner", suffix="_before")
    return {
        "total": total,
        "added": after.height - both.height,
        "edited": both.filter(pl.col("content_hash") != pl.col("content_hash_before")).height,
        "removed": before.height - both.height,
    }


def _sum(numbers: Iterable[float | None]) -> float | None:
    known = list(numbers)
    return None if None in known else float(sum(n for n in known if n is not None))
