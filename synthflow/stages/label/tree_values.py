"""What the nodes of a finished tree are worth.

Invariants: values depend on the set of paths only, not on their order; a correct leaf is worth 1 under every rule.

- `mean`: the mean of the outcomes of all paths through a node, which is MCTS's backup: the mean of the children's
  values weighted by their visits. Where the search went often below a node, its good children weigh more: the mean is
  that of the search.
- `policy`: the mean over the paths that were sampled at the node or above it. Nobody chose how these went on from the
  node, so it estimates the policy's chance from it, as `label.monte_carlo` does (ours). How many there are
  does depend on what the search saw, a small bias that every adaptive sampler has.
- `hard`: 1 if a correct leaf was found below the node, else 0: the hard estimate of Math-Shepherd (Wang et al. 2024).
- `rest_mcts`: ReST-MCTS* (Zhang et al. 2024), the form of its released code (`MCTS/base.py`): with V = 0 at the root,

      V(child) = max(0, V(parent) + (1 - V(parent)) r / m),

  r = 1 if a correct leaf is below the child or is it, else -1; m counts the steps from the child to the nearest correct
  leaf, the child included, and where there is none below it, m is that of its nearest ancestor that has one.
"""

from __future__ import annotations

from collections.abc import Sequence

from synthflow.rollouts.tree import Tree, TreeNode


def steps_to_correct(tree: Tree) -> list[int | None]:
    """By node: nodes from it to its nearest correct leaf, itself included (1 at a correct leaf); None where none is."""
    found: list[int | None] = [None] * len(tree.nodes)
    for node in reversed(tree.nodes):  # children come after their parents
        below = [found[child.index] for child in node.children.values()]
        known = [1 + m for m in below if m is not None]
        if node.ended.correct:
            known.append(1)
        found[node.index] = min(known, default=None)
    return found


def rest_mcts(tree: Tree) -> list[float]:
    """Values by node, in [0, 1].

    Raises:
        ValueError: for a tree without a correct leaf, of which the method says nothing.
    """
    nearest = steps_to_correct(tree)
    if nearest[0] is None:
        raise ValueError("a tree without a correct leaf has no values")
    value = [0.0] * len(tree.nodes)
    inherited = [nearest[0]] * len(tree.nodes)
    for node in tree.nodes[1:]:
        above = _parent(node).index
        own = nearest[node.index]
        inherited[node.index] = inherited[above] if own is None else own
        sign = -1 if own is None else 1
        value[node.index] = max(0.0, value[above] + (1 - value[above]) * sign / inherited[node.index])
    return value


def first_without_hope(way: Sequence[TreeNode], nearest: Sequence[int | None]) -> int | None:
    """Index of the first step of a path below which no correct leaf was found; None if there is none.

    Our default for `is_first_error` where values say only whether a correct leaf was found: it names a step the earlier
    the fewer paths go on from it.
    """
    return next((k for k, node in enumerate(way) if nearest[node.index] is None), None)


def _parent(node: TreeNode) -> TreeNode:
    assert node.parent is not None  # all but the root have one
    return node.parent
