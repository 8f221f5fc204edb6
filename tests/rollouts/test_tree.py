"""Trees, selection and values on cases worked out by hand."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.rollouts.tree import Path, Tree, step_prior
from synthflow.stages.label.tree_values import first_without_hope, rest_mcts, steps_to_correct
from synthflow.stages.sample.tree_select import Selection, puct, select, uct, worth


def path(steps, verdict, sampled_from=0, name=None, logprobs=None):
    """A path whose steps are words: every letter is a token."""
    words = steps.split()
    tokens = tuple(map(ord, "".join(words)))
    return Path(name or steps, tokens, tuple(itertools.accumulate(map(len, words))), verdict, sampled_from, logprobs)


def tree_of(*paths):
    tree = Tree()
    for one in paths:
        tree.add(one)
    return tree


def value_of(tree, values, one):
    return [values[node.index] for node in tree.way(one)]


# -- ReST-MCTS* --------------------------------------------------------------------------------------------------------

RIGHT = path("a b c", "correct")


def test_rest_mcts_on_a_correct_path_of_three_steps():
    tree = tree_of(RIGHT)
    assert value_of(tree, rest_mcts(tree), RIGHT) == pytest.approx([1 / 3, 2 / 3, 1])


def test_rest_mcts_on_wrong_children():
    of_first, of_root, deep = path("a x", "wrong"), path("y z", "wrong"), path("a b w v", "wrong")
    tree = tree_of(RIGHT, of_first, of_root, deep)
    values = rest_mcts(tree)
    assert value_of(tree, values, RIGHT) == pytest.approx([1 / 3, 2 / 3, 1])
    assert value_of(tree, values, of_first) == pytest.approx([1 / 3, 1 / 9])
    assert value_of(tree, values, of_root) == [0, 0]
    # After b, m is 2: 2/3 - (1/3)/2 = 1/2, and below it again with m = 2: 1/2 - (1/2)/2 = 1/4.
    assert value_of(tree, values, deep) == pytest.approx([1 / 3, 2 / 3, 1 / 2, 1 / 4])


def test_rest_mcts_takes_the_nearest_correct_leaf():
    """A second way of two steps: m of a is 2, so V(a) = 1/2, and b, two steps from its leaf, 1/2 + (1/2)/2 = 3/4."""
    tree = tree_of(RIGHT, path("a d", "correct"))
    assert steps_to_correct(tree)[:2] == [3, 2]
    values = rest_mcts(tree)
    assert value_of(tree, values, RIGHT) == pytest.approx([1 / 2, 3 / 4, 1])
    assert value_of(tree, values, path("a d", "correct")) == pytest.approx([1 / 2, 1])


def test_a_tree_without_a_correct_leaf_has_no_values():
    with pytest.raises(ValueError, match="correct leaf"):
        rest_mcts(tree_of(path("a b", "wrong"), path("c", "unknown")))


PATHS = st.lists(
    st.tuples(
        st.lists(st.sampled_from("abc"), min_size=1, max_size=5), st.sampled_from(["correct", "wrong", "unknown"])
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(PATHS, st.randoms())
def test_values_lie_between_0_and_1_and_do_not_depend_on_order(made, random):
    # A stop token that tells the verdict keeps leaves apart from nodes, as real stop tokens do.
    paths = [path(" ".join([*steps, {"correct": "R", "wrong": "W", "unknown": "U"}[v]]), v) for steps, v in made]
    tree = tree_of(*paths)
    other = list(paths)
    random.shuffle(other)
    twin = tree_of(*other)
    for one in paths:
        assert [n.all.visits for n in tree.way(one)] == [n.all.visits for n in twin.way(one)]
    for node in tree.nodes:
        assert node.all.visits == node.ended.visits + sum(c.all.visits for c in node.children.values())
    if any(p.verdict == "correct" for p in paths):
        values, again = rest_mcts(tree), rest_mcts(twin)
        assert all(0 <= v <= 1 for v in values)
        for one in paths:
            assert value_of(tree, values, one) == value_of(twin, again, one)
            assert (value_of(tree, values, one)[-1] == 1) == (one.verdict == "correct")


def test_the_first_step_without_hope():
    wrong = path("a x y", "wrong")
    tree = tree_of(RIGHT, wrong)
    nearest = steps_to_correct(tree)
    assert first_without_hope(list(tree.way(wrong)), nearest) == 1
    assert first_without_hope(list(tree.way(RIGHT)), nearest) is None


# -- counts ------------------------------------------------------------------------------------------------------------


def test_means_of_a_search_and_of_the_policy():
    """Two first rollouts through a; from `a b`, two continuations. The mean of a is 3/4, the policy's chance 1/2."""
    tree = tree_of(
        path("a b c", "correct"), path("a x", "wrong"), path("a b d", "correct", 2), path("a b e", "correct", 2)
    )
    a, b = itertools.islice(tree.way(RIGHT), 2)
    assert (a.all.correct, a.all.judged, a.fair.correct, a.fair.judged) == (3, 4, 1, 2)
    assert (b.all.correct, b.all.judged, b.fair.correct, b.fair.judged) == (3, 3, 3, 3)
    assert (tree.root.fair.judged, tree.root.all.judged) == (2, 4)


def test_exact_duplicates_are_one_node():
    tree = tree_of(RIGHT, path("a b c", "correct", name="again"), path("ab c", "wrong"))
    assert len(tree.nodes) == 1 + 3 + 2 and len(tree.root.children) == 2
    assert next(tree.way(RIGHT)).all.visits == 2


def test_priors():
    assert step_prior((-0.5, -1.5), 1.0) == pytest.approx(math.exp(-1.0))
    assert step_prior((-0.5, -1.5), 1.25) == pytest.approx(math.exp(-2 / 2**1.25))
    assert step_prior(None, 1.0) is step_prior((), 1.0) is step_prior((-1.0, float("nan")), 1.0) is None


# -- selection ---------------------------------------------------------------------------------------------------------


def test_the_formulas():
    assert uct(0.5, 8, 2, 0.7) == pytest.approx(0.5 + 0.7 * math.sqrt(2 * math.log(8) / 2))
    assert puct(0.25, 0.4, 9, 2, 1.5) == pytest.approx(0.25 + 1.5 * 0.4 * 3 / 3)


UCT = Selection("uct", 0.7, 0.0, 16)


def test_uct_goes_to_the_better_then_to_the_neglected():
    tree = tree_of(path("a b c", "correct"), path("d e f", "wrong"))
    a, d = tree.root.children.values()
    assert select(tree, UCT) is a
    a.expanded = True
    for k in range(6):
        tree.add(path(f"a b c{k}", "wrong" if k else "correct", 1))
    # a: 2 of 7, n = 7; d: 0 of 1, n = 1; N = 8. UCT(a) = .286 + .7 sqrt(2 ln 8 / 7) = .825; UCT(d) = 1.43.
    assert select(tree, UCT) is d
    # Without exploration the search stays with a, and goes below it since a itself was continued.
    assert select(tree, Selection("uct", 0.0, 0.0, 16)).depth == 2


def test_puct_prefers_what_the_policy_finds_likely():
    tree = Tree()
    tree.add(path("a b", "wrong", logprobs=(-3.0, -0.1)))
    tree.add(path("c d", "wrong", logprobs=(-0.1, -0.1)))
    assert select(tree, Selection("puct", 1.0, 0.0, 16)) is tree.root.children[(ord("c"),)]


def test_the_best_outcome_counts_where_it_is_asked_for():
    tree = tree_of(path("a b", "correct"), path("a c", "wrong"), path("a d", "wrong"), path("a e", "wrong"))
    (a,) = tree.root.children.values()
    assert worth(a, 0.0) == 0.25 and worth(a, 0.5) == 0.5 * 0.25 + 0.5 * 1
    unknown = tree_of(path("a b", "correct"), path("c d", "unknown"))
    assert worth(unknown.root.children[(ord("c"),)], 0.0) == 1.0 and worth(Tree().root, 0.0) == 0.5


def test_leaves_deep_nodes_and_exhausted_trees():
    assert select(tree_of(path("a", "wrong"), path("b", "correct")), UCT).depth == 0, (
        "nothing to continue but the prompt"
    )
    tree = tree_of(path("a b c d", "correct"))
    shallow = Selection("uct", 0.7, 0.0, 2)
    for depth in (1, 2, 0, 0):
        node = select(tree, shallow)
        assert node.depth == depth
        node.expanded = True
