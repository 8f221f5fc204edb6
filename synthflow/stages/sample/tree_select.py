"""Which node of a tree is continued next.

Invariants: selection reads counts and priors only, so it depends on one problem's tree; ties go to the child that was
sampled first. A node is worth continuing while it is open: somebody may still go on from it, and no more than
`max_depth` steps lead to it. The root is always open: where nothing below it is, it gets more children.

Sources. UCT: Kocsis and Szepesvari 2006, in the form of ReST-MCTS*'s released code, V + c sqrt(2 ln N / n). PUCT: Q +
c p sqrt(N) / (1 + n), in the form of MCTS-DPO's released code. Every expansion samples to the end, so that every node
has at least one visit when it is first compared, and no term is infinite. The value mixes the mean and the best outcome
below a node as ReST-MCTS*'s rollouts mix V and the best value seen: V (1 - a) + best a; with a = 0, our default, it is
MCTS's mean. That a mean of outcomes stands where they have a value model is our adaptation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

from synthflow.rollouts.tree import Tree, TreeNode

Rule = Literal["uct", "puct"]


@dataclass(frozen=True, slots=True)
class Selection:
    """How a leaf is chosen: the rule, its exploration constant, the share of the best outcome, the depth limit."""

    rule: Rule
    exploration: float
    best_share: float
    max_depth: int


def worth(node: TreeNode, best_share: float) -> float:
    """Value of a node for the search: (1 - a) mean + a best of the outcomes below it; its parent's where none is known.

    What is not known of the root is one half (our default).
    """
    seen: TreeNode | None = node
    while seen is not None and not seen.all.judged:
        seen = seen.parent
    if seen is None:
        return 0.5
    mean = seen.all.correct / seen.all.judged
    return (1 - best_share) * mean + best_share * float(seen.all.correct > 0)


def uct(value: float, parent_visits: int, visits: int, exploration: float) -> float:
    """V + c sqrt(2 ln N / n)."""
    return value + exploration * math.sqrt(2 * math.log(max(parent_visits, 1)) / max(visits, 1))


def puct(value: float, prior: float, parent_visits: int, visits: int, exploration: float) -> float:
    """Q + c p sqrt(N) / (1 + n)."""
    return value + exploration * prior * math.sqrt(parent_visits) / (1 + visits)


def select(tree: Tree, how: Selection) -> TreeNode:
    """The node to continue: from the root down to the best open child, until one was never continued itself."""
    is_open = _open(tree, how.max_depth)
    node = tree.root
    while True:
        children = [child for child in node.children.values() if is_open[child.index]]
        if not children:
            return node
        node = max(children, key=partial(_urgency, node, how))  # the first of equals
        if not node.expanded and not _adds_nothing(node):
            return node


def _urgency(parent: TreeNode, how: Selection, child: TreeNode) -> float:
    value, above, visits = worth(child, how.best_share), parent.all.visits, child.all.visits
    if how.rule == "uct":
        return uct(value, above, visits, how.exploration)
    return puct(value, child.prior, above, visits, how.exploration)


def _adds_nothing(node: TreeNode) -> bool:
    """A step without tokens of its own: to continue it is to continue its parent."""
    return node.parent is not None and node.end == node.parent.end


def _open(tree: Tree, max_depth: int) -> list[bool]:
    """By node: whether it, or one below it, can be continued for the first time."""
    found = [False] * len(tree.nodes)
    for node in reversed(tree.nodes):
        below = any(found[child.index] for child in node.children.values())
        is_leaf = not node.children
        fresh = not node.expanded and not is_leaf and not _adds_nothing(node)
        found[node.index] = node.depth <= max_depth and (below or fresh)
    found[tree.root.index] = True
    return found
