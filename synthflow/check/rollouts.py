"""Every rollout knows where it comes from, and its token arrays have one length.

Invariants: policy, sampling and prompt are given; a first rollout continues nothing; a continuation names its parent,
and was asked for with the parent's prompt and the first tokens of its completion, as they were sampled (one that is
not on policy, such as after a forced stop, may have more after these); a tree's path is its prompt and tokens what the
continuation that it ends with was asked for and wrote; what is spliced begins as its parent does; token_ids, logprobs
and masks, where known, have n_tokens entries each.
"""

from __future__ import annotations

from synthflow.check.database import Rows

_BUG = "the stage or backend that wrote it is at fault: report it, with the stage's name and version"
_CONDITIONS = "('none', 'prefix', 'gold', 'hint', 'critique', 'feedback', 'scaffold', 'tree', 'spliced')"
_ARRAYS = ("token_ids", "logprobs", "sampling_logprobs", "loss_mask")


def check_rollouts(rows: Rows) -> None:
    """Provenance and token arrays row by row, then continuations against their parents."""
    if not rows.count("provenance", "rollouts"):
        return
    rows.count("token_arrays", "rollouts")
    view = rows.view("rollouts")
    rows.faults(
        "provenance",
        "rollout_id",
        f"""SELECT sf_path, rollout_id AS id, CASE
              WHEN policy_id = '' OR sampling_id = '' THEN 'names no policy or no sampling'
              WHEN len(prompt) = 0 THEN 'has no prompt'
              WHEN round < 0 OR turn < 0 OR "index" < 0 THEN 'round, turn or index is negative'
              WHEN condition NOT IN {_CONDITIONS} THEN 'has the unknown condition ' || condition
              WHEN finish_reason NOT IN ('stop', 'length', 'refused', 'failed', 'poison')
                THEN 'finish_reason is ' || finish_reason
              WHEN condition = 'none' AND coalesce(parent_rollout_id, artifact_id) IS NOT NULL
                THEN 'is a first rollout (condition none), but names what it continues'
              WHEN condition = 'prefix' AND (parent_rollout_id IS NULL OR branch_token IS NULL)
                THEN 'continues a prefix, but does not say which'
              WHEN condition IN ('tree', 'spliced') AND (parent_rollout_id IS NULL OR branch_token IS NULL)
                THEN 'was put together, but does not say of what'
              WHEN condition = 'spliced' AND (loss_mask IS NULL OR author_spans IS NULL)
                THEN 'is spliced, but does not say who wrote what, or what is to be trained on'
              END AS what FROM {view} WHERE what IS NOT NULL""",
        _BUG,
    )
    lengths = " ".join(
        f"WHEN len({name}) <> n_tokens THEN '{name} has ' || len({name}) || ' entries, n_tokens is ' || n_tokens"
        for name in _ARRAYS
    )
    rows.faults(
        "token_arrays",
        "rollout_id",
        f"""SELECT sf_path, rollout_id AS id, CASE {lengths} WHEN n_tokens < 0 THEN 'n_tokens is negative' END AS what
            FROM {view} WHERE what IS NOT NULL""",
        _BUG,
    )
    _check_continuations(rows)
    _check_put_together(rows)


def _check_continuations(rows: Rows) -> None:
    rows.faults(
        "prefix",
        "rollout_id",
        f"""SELECT DISTINCT c.sf_path, c.rollout_id AS id,
                   'its prompt is not the prompt and the first ' || c.branch_token || ' tokens of its parent '
                   || c.parent_rollout_id AS what
            FROM {rows.view("rollouts")} c JOIN {rows.view("rollouts")} p ON c.parent_rollout_id = p.rollout_id
            WHERE c.condition = 'prefix' AND c.prompt_token_ids IS NOT NULL AND p.prompt_token_ids IS NOT NULL
              AND p.token_ids IS NOT NULL
              AND (c.problem_id <> p.problem_id OR c.round <> p.round OR c.prompt <> p.prompt
                OR CASE WHEN c.on_policy THEN c.prompt_token_ids
                     ELSE c.prompt_token_ids[1:len(p.prompt_token_ids) + c.branch_token] END
                   <> list_concat(p.prompt_token_ids, p.token_ids[1:c.branch_token]))""",
        _BUG,
    )


def _check_put_together(rows: Rows) -> None:
    rows.faults(
        "put_together",
        "rollout_id",
        f"""SELECT DISTINCT c.sf_path, c.rollout_id AS id, CASE c.condition
                   WHEN 'tree' THEN 'its prompt and tokens are not those that its continuation ' || c.parent_rollout_id
                     || ' was asked for and wrote'
                   ELSE 'its first ' || c.branch_token || ' tokens are not those of its parent ' || c.parent_rollout_id
                   END AS what
            FROM {rows.view("rollouts")} c JOIN {rows.view("rollouts")} p ON c.parent_rollout_id = p.rollout_id
            WHERE c.condition IN ('tree', 'spliced')
              AND (c.problem_id <> p.problem_id OR c.round <> p.round OR c.prompt <> p.prompt
                OR CASE c.condition
                  WHEN 'tree' THEN list_concat(c.prompt_token_ids, c.token_ids)
                      IS DISTINCT FROM list_concat(p.prompt_token_ids, p.token_ids)
                    OR NOT ends_with(c.completion, p.completion)
                  ELSE c.token_ids[1:c.branch_token] IS DISTINCT FROM p.token_ids[1:c.branch_token] END)""",
        _BUG,
    )
