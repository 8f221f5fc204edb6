"""Growing the trees of a partition, in waves.

Invariants: a wave holds one selection of every problem that has budget left, so that an engine sees them all at once,
and what a problem's tree becomes depends on that problem alone. Every expansion samples to the end: each sample is a
rollout with a verdict, and its steps are nodes. Ids, and with them seeds, come from the prefix and a count of its
samples, so a search that is resumed asks for the same again and finds it in the journal. A budget in tokens is looked
at before every wave, in a search and in best-of-n alike: neither begins one beyond it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from synthflow import ids, registry
from synthflow.contracts import Judgement, SampleRequest, SampleResult, Services
from synthflow.rollouts.cutting import StepCutter
from synthflow.rollouts.paths import CutPath, cut_path, joined
from synthflow.rollouts.prefixes import prefix_id
from synthflow.rollouts.requests import Messages, RolloutIds, ask, messages_of
from synthflow.rollouts.rows import Drawn, rollout_rows, utf8
from synthflow.rollouts.score_rows import verdict_counts, verdict_table
from synthflow.rollouts.tree import Tree, TreeNode
from synthflow.rollouts.verdicts import Judged, Judging, ToJudge
from synthflow.schema import ROLLOUTS
from synthflow.stages.sample.tree_config import TreeSearchConfig
from synthflow.stages.sample.tree_select import select


@dataclass(slots=True)
class ProblemSearch:
    """The search for one problem: its tree, its whole paths by rollout_id, and what it has used."""

    problem: Mapping[str, Any]
    messages: Messages
    prompt_tokens: tuple[int, ...] | None
    tree: Tree
    paths: dict[str, CutPath] = field(default_factory=dict)
    drawn: dict[str, int] = field(default_factory=dict)
    spent: int = 0
    selections: int = 0


@dataclass(frozen=True, slots=True)
class PathRequest:
    """A wanted sample: from the prompt, or from the first `depth` steps of `parent`."""

    search: ProblemSearch
    parent: CutPath | None
    depth: int
    prefix_id: str
    index: int
    request: SampleRequest

    @property
    def prefix_text(self) -> str:
        return "" if self.parent is None else self.parent.prefix_text(self.depth)

    @property
    def prefix_tokens(self) -> tuple[int, ...]:
        return () if self.parent is None else self.parent.path.tokens[: self.parent.path.ends[self.depth - 1]]


class Forest:
    """Grows one tree a problem, and keeps the rows that come of it."""

    def __init__(self, config: TreeSearchConfig, services: Services) -> None:
        self._config, self._services = config, services
        self._policy_id = services.identity(config.policy).policy_id
        self._renderer = services.renderer(config.policy)
        self._cutter = StepCutter(config.segmenter, config.max_steps, "tail")
        needs_answer = registry.load("verifiers", config.verifier).needs_answer
        self._judging = Judging(config.verifier, config.verifier_options, config.truncated, needs_answer)
        self._sampled: dict[str, list[tuple[Drawn, SampleResult]]] = {"none": [], "prefix": []}
        self._whole: list[dict[str, Any]] = []
        self._of_whole: list[Judgement] = []
        self._judged: list[Judged] = []

    def grow(self, problems: Iterable[Mapping[str, Any]]) -> None:
        """Sample, judge and select until every problem's budget is used.

        Raises:
            InfrastructureError: if some samples are still owed.
        """
        searches = [self._open(problem) for problem in problems]
        self._wave([ask for s in searches for ask in self._asks(s, s.tree.root, self._config.first)])
        while asks := [ask for s in searches for ask in self._next(s)]:
            self._wave(asks)

    def _open(self, problem: Mapping[str, Any]) -> ProblemSearch:
        messages = messages_of(problem["prompt"])
        tokens = None if self._renderer is None else tuple(self._renderer.render(messages))
        return ProblemSearch(problem, messages, tokens, Tree(self._config.length_power))

    def _next(self, search: ProblemSearch) -> Iterator[PathRequest]:
        config = self._config
        over = config.tokens is not None and search.spent >= config.tokens
        if over or search.selections >= config.iterations:
            return
        search.selections += 1
        node = search.tree.root
        if config.search != "best_of_n":
            node = select(search.tree, config.selection())
            node.expanded = True
        yield from self._asks(search, node, config.branch)

    def _asks(self, search: ProblemSearch, node: TreeNode, n: int) -> Iterator[PathRequest]:
        """n requests from one node, next to each other so that they share its prefill."""
        config, services, problem = self._config, self._services, search.problem["problem_id"]
        parent = None if node.path is None else search.paths[node.path.rollout_id]
        prefix = ids.NO_PREFIX if parent is None else prefix_id(search.problem, node.tokens)
        tokens = None if search.prompt_tokens is None else (*search.prompt_tokens, *node.tokens)
        rollout_ids = self._ids("none" if parent is None else "prefix")
        start = search.drawn.get(prefix, 0)
        search.drawn[prefix] = start + n
        for index in range(start, start + n):
            request = rollout_ids.request(
                problem, services.round, prefix, index, search.messages, tokens, config.params()
            )
            yield PathRequest(search, parent, node.depth, prefix, index, request)

    def _ids(self, condition: Literal["none", "prefix", "tree"]) -> RolloutIds:
        return RolloutIds(self._policy_id, self._config.sampling_id(condition), self._services.run_seed)

    def _wave(self, asks: Sequence[PathRequest]) -> None:
        """Sample and judge, and let the trees grow by what came."""
        results = ask([one.request for one in asks], self._config.policy, self._services)
        texts = [
            ToJudge(
                one.request.rollout_id, one.prefix_text + utf8(result.text), result.finish_reason, one.search.problem
            )
            for one, result in zip(asks, results, strict=True)
        ]
        judged = self._judging.judge(texts, self._services)
        self._judged.append(judged)
        for one, result, text, judgement in zip(asks, results, texts, judged.judgements, strict=True):
            self._take(one, result, text.text, judgement)

    def _take(self, wanted: PathRequest, result: SampleResult, text: str, judgement: Judgement) -> None:
        search = wanted.search
        search.spent += result.n_tokens or 0
        drawn = _drawn(wanted)
        self._sampled[drawn.condition].append((drawn, result))
        row = self._whole_row(wanted, result, text)
        if row is None or self._renderer is None:
            return
        cut = cut_path(row, judgement.verdict, self._cutter, self._renderer)
        if cut is None:
            return
        search.paths[row["rollout_id"]] = cut
        search.tree.add(cut.path)
        if wanted.parent is not None:
            self._whole.append(row)
            self._of_whole.append(judgement)

    def _whole_row(self, wanted: PathRequest, result: SampleResult, text: str) -> dict[str, Any] | None:
        """The whole path that ends with a sample, as a row of rollouts; None for one without tokens or an ending."""
        if self._renderer is None or result.token_ids is None or result.finish_reason not in ("stop", "length"):
            return None
        search, prefix = wanted.search, wanted.prefix_tokens
        if wanted.parent is None:
            rollout = wanted.request.rollout_id
            above: Mapping[str, Any] = {"logprobs": (), "sampling_logprobs": ()}
        else:
            where = (wanted.request.problem_id, self._services.round, wanted.prefix_id, wanted.index)
            rollout = self._ids("tree").rollout_id(*where)
            above = wanted.parent.cut.row
        tokens = (*prefix, *result.token_ids)
        return {
            "rollout_id": rollout,
            "problem_id": wanted.request.problem_id,
            "policy_id": self._policy_id,
            "round": self._services.round,
            "sampling_id": self._config.sampling_id("tree"),
            "prefix_id": wanted.prefix_id,
            "index": wanted.index,
            "seed": ids.rollout_seed(rollout),
            "stage_id": self._services.stage_id,
            "parent_rollout_id": wanted.request.rollout_id,
            "branch_step": _branch_step(wanted),
            "branch_token": len(prefix),
            "condition": "tree",
            "turn": 0,
            "prompt": search.problem["prompt"],
            "completion": text,
            "completion_hash": ids.text_hash(text),
            "prompt_token_ids": search.prompt_tokens,
            "token_ids": tokens,
            "logprobs": joined(above["logprobs"], len(prefix), result.logprobs),
            "sampling_logprobs": joined(above["sampling_logprobs"], len(prefix), result.sampling_logprobs),
            "finish_reason": result.finish_reason,
            "n_tokens": len(tokens),
            "on_policy": True,
        }

    def tables(self) -> dict[str, pa.Table]:
        """Rollouts (first ones, continuations, whole paths), their verdicts, and the seconds these took."""
        sampled = [
            rollout_rows(
                [drawn for drawn, _ in found],
                [result for _, result in found],
                policy_id=self._policy_id,
                round_=self._services.round,
                sampling=self._config.sampling_id("none" if condition == "none" else "prefix"),
                stage_id=self._services.stage_id,
            )
            for condition, found in self._sampled.items()
        ]
        judgements = [judgement for judged in self._judged for judgement in judged.judgements]
        self._services.count(rows=len(judgements), paths=len(self._whole), **verdict_counts(judgements))
        stage_id = self._services.stage_id
        problems, rollouts = [row["problem_id"] for row in self._whole], [row["rollout_id"] for row in self._whole]
        whole = verdict_table(problems, rollouts, self._of_whole, self._judged[0].scorer, stage_id)
        return {
            "rollouts": pa.concat_tables([*sampled, ROLLOUTS.from_rows(self._whole)]),
            "scores": pa.concat_tables([*(judged.scores(stage_id) for judged in self._judged), whole]),
            "telemetry": pa.concat_tables(judged.telemetry(self._services) for judged in self._judged),
        }


def _branch_step(wanted: PathRequest) -> int | None:
    """Steps in the prefix; None where a token straddles its end."""
    return wanted.depth if wanted.parent is not None and wanted.parent.is_aligned(wanted.depth) else None


def _drawn(wanted: PathRequest) -> Drawn:
    if wanted.parent is None:
        return Drawn(wanted.request, wanted.index, ids.NO_PREFIX)
    return Drawn(
        wanted.request,
        wanted.index,
        wanted.prefix_id,
        condition="prefix",
        parent_rollout_id=wanted.parent.path.rollout_id,
        branch_step=_branch_step(wanted),
        branch_token=len(wanted.prefix_tokens),
    )
