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
from typing import Any

import pyarrow as pa

from synthflow import ids
from synthflow.contracts import Judgement, SampleRequest, SampleResult, Services
from synthflow.errors import InvariantBroken
from synthflow.rollouts.paths import CutPath, Cutter, joined
from synthflow.rollouts.prefixes import prefix_id
from synthflow.rollouts.rows import Drawn, rollout_rows, utf8
from synthflow.rollouts.tree import Tree, TreeNode
from synthflow.rollouts.verdicts import Asked, Judging, elapsed_rows, verdict_rows
from synthflow.schema import ROLLOUTS, SCORES
from synthflow.stages.sample.tree_config import TreeSearchConfig
from synthflow.stages.sample.tree_select import select

Messages = tuple[tuple[str, str], ...]


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
class Ask:
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
        self._referee = Judging(config.verifier, config.verifier_options, config.truncated)
        self._sampled: dict[str, list[tuple[Drawn, SampleResult]]] = {"none": [], "prefix": []}
        self._whole: list[dict[str, Any]] = []
        self._scores: list[dict[str, Any]] = []
        self._judged: list[tuple[str, str, Judgement]] = []

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
        messages = tuple((m["role"], m["content"]) for m in problem["prompt"])
        tokens = None if self._renderer is None else tuple(self._renderer.render(messages))
        return ProblemSearch(problem, messages, tokens, Tree(self._config.length_power))

    def _next(self, search: ProblemSearch) -> Iterator[Ask]:
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

    def _asks(self, search: ProblemSearch, node: TreeNode, n: int) -> Iterator[Ask]:
        """n requests from one node, next to each other so that they share its prefill."""
        config, services, problem = self._config, self._services, search.problem["problem_id"]
        parent = None if node.path is None else search.paths[node.path.rollout_id]
        prefix = ids.NO_PREFIX if parent is None else prefix_id(search.problem, node.tokens)
        tokens = None if search.prompt_tokens is None else (*search.prompt_tokens, *node.tokens)
        sampling = config.sampling_id("none" if parent is None else "prefix")
        start = search.drawn.get(prefix, 0)
        search.drawn[prefix] = start + n
        for index in range(start, start + n):
            rollout = ids.rollout_id(
                problem, self._policy_id, services.round, sampling, prefix, index, services.run_seed
            )
            seed = ids.rollout_seed(rollout)
            request = SampleRequest(rollout, problem, search.messages, tokens, config.params(), seed)
            yield Ask(search, parent, node.depth, prefix, index, request)

    def _wave(self, asks: Sequence[Ask]) -> None:
        """Sample and judge, and let the trees grow by what came."""
        results = self._services.sample([ask.request for ask in asks], self._config.policy) if asks else []
        if len(results) != len(asks):
            raise InvariantBroken(f"{len(asks)} samples asked for, {len(results)} came back")
        texts = [ask.prefix_text + utf8(result.text) for ask, result in zip(asks, results, strict=True)]
        judgements, who = self._referee.judge(
            [
                Asked(ask.request.rollout_id, text, result.finish_reason, ask.search.problem)
                for ask, result, text in zip(asks, results, texts, strict=True)
            ],
            self._services,
        )
        for ask, result, text, judgement in zip(asks, results, texts, judgements, strict=True):
            self._take(ask, result, text, judgement, who)

    def _take(self, ask: Ask, result: SampleResult, text: str, judgement: Judgement, who: Mapping[str, str]) -> None:
        search, problem, rollout = ask.search, ask.request.problem_id, ask.request.rollout_id
        search.spent += result.n_tokens
        drawn = _drawn(ask)
        self._sampled[drawn.condition].append((drawn, result))
        self._scores += verdict_rows(problem, rollout, judgement, who, self._services.stage_id)
        self._judged.append((problem, rollout, judgement))
        row = self._whole_row(ask, result, text)
        cut = None if row is None else self._cutter().cut(row, judgement.verdict)
        if row is None or cut is None:
            return
        search.paths[row["rollout_id"]] = cut
        search.tree.add(cut.path)
        if ask.parent is not None:
            self._whole.append(row)
            self._scores += verdict_rows(problem, row["rollout_id"], judgement, who, self._services.stage_id)

    def _cutter(self) -> Cutter:
        assert self._renderer is not None  # without one no row has tokens
        return Cutter(self._renderer, self._config.segmenter, self._config.max_steps, "tail")

    def _whole_row(self, ask: Ask, result: SampleResult, text: str) -> dict[str, Any] | None:
        """The whole path that ends with a sample, as a row of rollouts; None for one without tokens or an ending."""
        if self._renderer is None or result.token_ids is None or result.finish_reason not in ("stop", "length"):
            return None
        search, prefix = ask.search, ask.prefix_tokens
        if ask.parent is None:
            rollout = ask.request.rollout_id
            above: Mapping[str, Any] = {"logprobs": (), "sampling_logprobs": ()}
        else:
            sampling = self._config.sampling_id("tree")
            rollout = ids.rollout_id(
                ask.request.problem_id,
                self._policy_id,
                self._services.round,
                sampling,
                ask.prefix_id,
                ask.index,
                self._services.run_seed,
            )
            above = ask.parent.cut.row
        tokens = (*prefix, *result.token_ids)
        return {
            "rollout_id": rollout,
            "problem_id": ask.request.problem_id,
            "policy_id": self._policy_id,
            "round": self._services.round,
            "sampling_id": self._config.sampling_id("tree"),
            "prefix_id": ask.prefix_id,
            "index": ask.index,
            "seed": ids.rollout_seed(rollout),
            "stage_id": self._services.stage_id,
            "parent_rollout_id": ask.request.rollout_id,
            "branch_step": _branch_step(ask),
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
        verdicts = [judgement.verdict for _, _, judgement in self._judged]
        counts = {name: verdicts.count(name) for name in ("correct", "wrong", "unknown")}
        self._services.count(rows=len(verdicts), paths=len(self._whole), **counts)
        return {
            "rollouts": pa.concat_tables([*sampled, ROLLOUTS.from_rows(self._whole)]),
            "scores": SCORES.from_rows(self._scores),
            "telemetry": elapsed_rows(self._judged, self._services),
        }


def _branch_step(ask: Ask) -> int | None:
    """Steps in the prefix; None where a token straddles its end."""
    return ask.depth if ask.parent is not None and ask.parent.is_aligned(ask.depth) else None


def _drawn(ask: Ask) -> Drawn:
    if ask.parent is None:
        return Drawn(ask.request, ask.index, ids.NO_PREFIX)
    return Drawn(
        ask.request,
        ask.index,
        ask.prefix_id,
        condition="prefix",
        parent_rollout_id=ask.parent.path.rollout_id,
        branch_step=_branch_step(ask),
        branch_token=len(ask.prefix_tokens),
    )
