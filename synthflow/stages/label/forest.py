"""The trees of a partition, from its rollouts: which ones are labelled together, and why others are not.

Invariants: a tree holds the whole rollouts (condition none or tree) of one problem, policy, round, prompt and stage,
added in the order of their ids, which its values do not depend on; every rollout that is read is labelled or has one
reason. What a filter drops still counts in its tree: filters say what to train on, not what the policy can do.

Reasons, the first that applies. Not in a tree: continuation (its whole path is), other_condition, no_verdict,
other_policy, no_token_ids, tokens_do_not_spell_text. In one, but not labelled: filtered, no_steps, unknown_verdict
(under rules that know right and wrong only), tree_all_correct, tree_all_wrong or tree_undecided (where mixed ones are
asked for), no_correct_path, not_selected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from synthflow import ids
from synthflow.contracts import Inputs, Renderer
from synthflow.rollouts.paths import CutPath, cut_path
from synthflow.rollouts.tree import Tree
from synthflow.rollouts.views import WHOLE, dropped, verdicts
from synthflow.stages.label.tree_config import TreeLabelConfig

COLUMNS = (
    "rollout_id", "problem_id", "policy_id", "round", "stage_id", "condition", "branch_token", "prompt", "completion",
    "prompt_token_ids", "token_ids",
)  # fmt: skip
Rejected = list[tuple[str, str, str]]
"""problem_id, rollout_id, reason."""


@dataclass(frozen=True, slots=True)
class LabelledTree:
    """A tree and those of its paths that are labelled."""

    tree: Tree
    paths: Sequence[CutPath]


def labelled_trees(
    inputs: Inputs, config: TreeLabelConfig, policy_id: str, renderer: Renderer | None
) -> tuple[list[LabelledTree], Rejected]:
    """Trees in the order of their problems, and what is left out.

    Args:
        policy_id: of the policy whose rollouts are labelled.
        renderer: None where nobody has the policy's tokenizer.
    """
    read = (
        inputs.frame("rollouts", COLUMNS, nearest=True)
        .unique("rollout_id", keep="first", maintain_order=True)
        .join(verdicts(inputs, config.verdicts).select("rollout_id", "verdict"), on="rollout_id", how="left")
        .join(dropped(inputs), on="rollout_id", how="left")
        .with_columns(_outside(policy_id, renderer is not None).alias("outside"), _silent(config).alias("silent"))
        .sort("problem_id", "rollout_id")
    )
    left_out: Rejected = (
        read.filter(pl.col("outside").is_not_null()).select("problem_id", "rollout_id", "outside").rows()
    )
    members: dict[tuple[str, str, int, str, str], list[tuple[CutPath, str | None]]] = {}
    for row in read.filter(pl.col("outside").is_null()).iter_rows(named=True):
        cut = None if renderer is None else cut_path(row, row["verdict"], config.cutter(), renderer)
        if cut is None:
            left_out.append((row["problem_id"], row["rollout_id"], "tokens_do_not_spell_text"))
        else:
            key = (row["problem_id"], row["policy_id"], row["round"], row["stage_id"], ids.problem_id(row["prompt"]))
            members.setdefault(key, []).append((cut, row["silent"]))
    found = []
    for key in sorted(members):
        tree = Tree()
        for path, _ in members[key]:
            tree.add(path.path)
        reason = _tree_reason(tree, config)
        speaking = [] if reason else [path for path, silent in members[key] if silent is None]
        kept = _thin(speaking, config.rollouts_per_problem)
        chosen = {path.path.rollout_id for path in kept}
        left_out += [
            (key[0], path.path.rollout_id, silent or reason or "not_selected")
            for path, silent in members[key]
            if path.path.rollout_id not in chosen
        ]
        if kept:
            found.append(LabelledTree(tree, kept))
    return found, left_out


def _outside(policy_id: str, has_tokenizer: bool) -> pl.Expr:
    """Why a rollout is in no tree."""
    no_tokens = pl.col("token_ids").is_null() | pl.col("prompt_token_ids").is_null() | pl.lit(not has_tokenizer)
    return _first(
        (pl.col("condition") == "prefix", "continuation"),
        (~pl.col("condition").is_in(WHOLE), "other_condition"),
        (pl.col("verdict").is_null(), "no_verdict"),
        (pl.col("policy_id") != policy_id, "other_policy"),
        (no_tokens, "no_token_ids"),
    )


def _silent(config: TreeLabelConfig) -> pl.Expr:
    """Why a rollout of a tree is not labelled."""
    knows_two = pl.lit(config.rule in ("hard", "rest_mcts"))
    return _first(
        (pl.lit(not config.include_dropped) & pl.col("dropped").is_not_null(), "filtered"),
        (pl.col("completion") == "", "no_steps"),
        (knows_two & (pl.col("verdict") == "unknown"), "unknown_verdict"),
    )


def _first(*rules: tuple[pl.Expr, str]) -> pl.Expr:
    return pl.coalesce(*(pl.when(applies).then(pl.lit(reason)) for applies, reason in rules))


def _tree_reason(tree: Tree, config: TreeLabelConfig) -> str | None:
    counts = tree.root.all
    if config.groups == "mixed" and not (counts.correct and counts.wrong):
        state = "undecided" if counts.judged < 2 else "all_correct" if counts.correct else "all_wrong"
        return f"tree_{state}"
    return "no_correct_path" if config.rule == "rest_mcts" and not counts.correct else None


def _thin(paths: Sequence[CutPath], most: int | None) -> list[CutPath]:
    """At most so many of a tree: wrong and correct in turn, wrong first, in the order of their ids (our default)."""
    if most is None:
        return list(paths)
    kinds = {"wrong": 0, "correct": 1}
    place = {"wrong": 0, "correct": 0, "unknown": 0}
    ordered = []
    for path in paths:
        verdict = path.path.verdict
        ordered.append((verdict == "unknown", place[verdict], kinds.get(verdict, 2), path.path.rollout_id, path))
        place[verdict] += 1
    chosen = {entry[3] for entry in sorted(ordered, key=lambda entry: entry[:4])[:most]}
    return [path for path in paths if path.path.rollout_id in chosen]
