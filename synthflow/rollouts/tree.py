"""The tree that rollouts with shared prefixes form. A node is a prefix that ends with a step; the root is the prompt.

Invariants: nodes are known by the tokens of their steps as they were sampled, so that exact duplicates are one node; a
path that is added passes through one node a step; the counts of a node are those of the paths through it, so the visits
of a node are those of its children plus the paths that end at it. Nothing is sampled, drawn or hashed here: the same
paths in the same order give the same tree. A flat group of rollouts is a tree that branches where two of them part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Path:
    """A whole rollout as a way from the root to a leaf.

    `tokens` are those of the completion, the stop token kept; `ends[k]` is how many of them the steps 0 to k take.
    `sampled_from` counts the tokens at the beginning that were given to the sampler: 0 for a first rollout.
    `logprobs`, nats, one a token, where the server told them.
    """

    rollout_id: str
    tokens: Tokens
    ends: tuple[int, ...]
    verdict: str
    sampled_from: int = 0
    logprobs: Sequence[float] | None = None


@dataclass(slots=True)
class Counts:
    """Paths by verdict; the mean of the outcomes is correct / (correct + wrong)."""

    correct: int = 0
    wrong: int = 0
    unknown: int = 0

    def add(self, verdict: str) -> None:
        if verdict == "correct":
            self.correct += 1
        elif verdict == "wrong":
            self.wrong += 1
        else:
            self.unknown += 1

    @property
    def judged(self) -> int:
        return self.correct + self.wrong

    @property
    def visits(self) -> int:
        return self.correct + self.wrong + self.unknown


@dataclass(slots=True)
class TreeNode:
    """A prefix.

    `end` is its length in tokens, and `path` the first path through it: where its tokens are read. `all` counts the
    paths through it; `fair` those of them that were sampled at it or above it, whose way on from here nobody chose;
    `ended` those that end at it. `prior` is the chance of its step under the policy, as `step_prior` takes it.
    """

    index: int
    parent: TreeNode | None
    depth: int
    end: int
    path: Path | None
    prior: float
    children: dict[Tokens, TreeNode] = field(default_factory=dict)
    all: Counts = field(default_factory=Counts)
    fair: Counts = field(default_factory=Counts)
    ended: Counts = field(default_factory=Counts)
    expanded: bool = False

    @property
    def tokens(self) -> Tokens:
        return () if self.path is None else self.path.tokens[: self.end]


def step_prior(logprobs: Sequence[float] | None, power: float) -> float | None:
    """exp(sum of log p / len ** power): the geometric mean of the tokens' chances where power is 1.

    Power 1.25 is that of MCTS-DPO's released code (Xie et al. 2024, list of methods); 1 is our default. None where
    there are no log probabilities, or one of them is no number.
    """
    if not logprobs or not all(map(math.isfinite, logprobs)):
        return None
    return math.exp(min(sum(logprobs), 0.0) / len(logprobs) ** power)


class Tree:
    """Paths of one prompt by one policy.

    Args:
        length_power: of `step_prior`.
    """

    def __init__(self, length_power: float = 1.0) -> None:
        self._power = length_power
        self.root = TreeNode(0, None, 0, 0, None, 1.0, expanded=True)
        self.nodes: list[TreeNode] = [self.root]
        """Parents before their children."""

    def add(self, path: Path) -> list[TreeNode]:
        """Add a path; its nodes, one a step, the leaf last."""
        node, start, found = self.root, 0, []
        self._count(node, path)
        for end in path.ends:
            step = path.tokens[start:end]
            child = node.children.get(step)
            if child is None:
                child = self._grow(node, step, path, start, end)
            self._count(child, path)
            node, start = child, end
            found.append(child)
        node.ended.add(path.verdict)
        return found

    def _grow(self, parent: TreeNode, step: Tokens, path: Path, start: int, end: int) -> TreeNode:
        prior = step_prior(None if path.logprobs is None else path.logprobs[start:end], self._power)
        node = TreeNode(len(self.nodes), parent, parent.depth + 1, end, path, 1.0 if prior is None else prior)
        parent.children[step] = node
        self.nodes.append(node)
        return node

    @staticmethod
    def _count(node: TreeNode, path: Path) -> None:
        node.all.add(path.verdict)
        if path.sampled_from <= node.end:
            node.fair.add(path.verdict)

    def way(self, path: Path) -> Iterator[TreeNode]:
        """Nodes of a path that was added, one a step.

        Raises:
            KeyError: if it was not.
        """
        node, start = self.root, 0
        for end in path.ends:
            node, start = node.children[path.tokens[start:end]], end
            yield node
