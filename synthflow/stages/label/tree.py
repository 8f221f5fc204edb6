"""`label.tree`: what every step is worth, from the rollouts that share prefixes. It samples nothing.

Invariants: every whole rollout with a verdict (first ones, and paths of `sample.tree`) has all of its steps and a row
of values for each, or a row in `rejects`; a step after one prefix has one value, in whichever rollouts it stands; rows
depend on the rollouts of one problem only. A flat group is the depth-1 case: where its rollouts part, each is alone.

Trees are kept apart by problem, policy, round, prompt and the stage that sampled; `trees.values` has the rules. `mean`
and `policy` are chances: their last value is the verdict, and counts, intervals and `is_first_error` are those of
`label.monte_carlo`; the counts of `mean` are no independent draws once a search has chosen among them, so its intervals
are too narrow. `hard` and `rest_mcts` are scores without intervals, and the first error is the first step below which
no correct path was found (our default).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from synthflow.contracts import Coverage, Estimate, Inputs, Services, Stage, StageInfo
from synthflow.rollouts.paths import CutPath
from synthflow.rollouts.step_rows import Values, reject_rows, step_rows, value_row
from synthflow.rollouts.tree import Counts, Tree, TreeNode
from synthflow.rollouts.views import check_verdicts, verdict_scorers
from synthflow.schema import STEP_VALUES, STEPS
from synthflow.stages.label.forest import LabelledTree, labelled_trees
from synthflow.stages.label.tree_config import TreeLabelConfig
from synthflow.stages.label.tree_values import first_without_hope, rest_mcts, steps_to_correct
from synthflow.stages.label.values import Evidence, step_columns, without_intervals

LABELER, LABELER_VERSION = "tree", "1"
GUESSED_STEPS = 8
"""For estimates before a run: steps of a rollout."""


class LabelTree(Stage):
    """Value every step by the rollouts that pass it."""

    use = "label.tree"
    version = LABELER_VERSION
    needs_tokens = True
    Config = TreeLabelConfig
    reads = ("rollouts", "scores")
    writes = ("steps", "step_values")
    covers = Coverage("rollouts", "rollout_id", {"step_values": "rollout_id"})
    summary = "Value every step by the outcomes of the rollouts that pass it: MCTS means, ReST-MCTS*, hard estimates."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        return check_verdicts(ancestors, self.config.verdicts)

    def estimate(self, upstream: Estimate) -> Estimate:
        rows = upstream.rollouts * min(GUESSED_STEPS, self.config.max_steps)
        note = f"guessed: {GUESSED_STEPS} steps a rollout, all labelled"
        return Estimate(upstream.problems, upstream.rollouts, rows={"steps": rows, "step_values": rows}, note=note)

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Steps, their values, and rejects."""
        config: TreeLabelConfig = self.config
        renderer = services.renderer(config.policy)
        policy_id = services.identity(config.policy).policy_id
        found, left_out = labelled_trees(inputs, config, policy_id, renderer)
        common = {
            "labeler": LABELER,
            "labeler_version": LABELER_VERSION,
            "config_hash": config.labeler_hash(*verdict_scorers(inputs, config.verdicts)),
            "policy_id": policy_id,
            "scale": "chance" if config.rule in ("mean", "policy") else "score",
            "stage_id": services.stage_id,
        }
        values = [row | common for labelled in found for row in _value_rows(labelled, config.rule)]
        cuts = [path.cut for labelled in found for path in labelled.paths]
        services.count(rows=len(values), labelled=len(cuts), rejected=len(left_out))
        return {
            "steps": STEPS.from_rows([row for cut in cuts for row in step_rows(cut, services.stage_id)]),
            "step_values": STEP_VALUES.from_rows(values),
            "rejects": reject_rows(left_out, services.stage_id),
        }


def _value_rows(labelled: LabelledTree, rule: str) -> Iterable[dict[str, Any]]:
    columns = _columns_of(labelled.tree, rule)
    for path in labelled.paths:
        way = list(labelled.tree.way(path.path))
        values = columns(path, way)
        for index, node in enumerate(way):
            counts = node.fair if rule == "policy" else node.all
            is_verdict = index == len(way) - 1 and rule in ("mean", "policy") and path.path.verdict != "unknown"
            yield value_row(path.cut, index, values) | {
                "n": 0 if is_verdict else counts.judged,
                "successes": 0 if is_verdict else counts.correct,
                "n_unknown": 0 if is_verdict else counts.unknown,
                "tokens_spent": 0,
            }


def _columns_of(tree: Tree, rule: str) -> Callable[[CutPath, Sequence[TreeNode]], Values]:
    """Columns of one path of the tree, by its nodes."""
    if rule in ("mean", "policy"):
        return lambda path, way: _chances(tree, path, way, rule)
    nearest = steps_to_correct(tree)
    if rule == "rest_mcts":
        worth = rest_mcts(tree)
    else:
        worth = [float(m is not None) for m in nearest]
    return lambda path, way: _scores(path, way, worth, nearest)


def _chances(tree: Tree, path: CutPath, way: Sequence[TreeNode], rule: str) -> Values:
    def evidence(counts: Counts, source: Any = "continuations") -> Evidence:
        return Evidence(counts.correct, counts.judged, source)

    steps = [evidence(node.fair if rule == "policy" else node.all) for node in way]
    verdict = path.path.verdict
    if verdict != "unknown":
        steps[-1] = Evidence(int(verdict == "correct"), 1, "verdict")
    prompt = evidence(tree.root.fair if rule == "policy" else tree.root.all, "prompt")
    return step_columns(prompt, steps, verdict)


def _scores(path: CutPath, way: Sequence[TreeNode], worth: Sequence[float], nearest: Sequence[int | None]) -> Values:
    value = np.array([worth[0], *(worth[node.index] for node in way)])
    right = path.path.verdict == "correct"
    return without_intervals(value, -1 if right else first_without_hope(way, nearest))
