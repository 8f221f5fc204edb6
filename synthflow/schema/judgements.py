"""What is thought of the graph: scores, step values, pairs, pass rates, and what was left out."""

from __future__ import annotations

from synthflow.schema.spec import Column, TableSpec
from synthflow.schema.types import BOOL, F32, I32, I64, MESSAGES, PROBLEM_ID, STAGE_ID, STRING

SCORES = TableSpec(
    "scores",
    "what scorers said, long: many scorers write about one target",
    ("target_id", "scorer", "config_hash"),
    (
        PROBLEM_ID,
        Column("target_kind", STRING, "rollout, problem, step or pair"),
        Column("target_id", STRING, "id of the target"),
        Column(
            "kind",
            STRING,
            "verdict (a verifier's), component (of a composed verdict; nothing counts it), "
            "filter (value 1 keeps, 0 drops) or measure",
        ),
        Column("scorer", STRING, "name of the verifier or filter"),
        Column("scorer_version", STRING, "its version, with that of the library behind it"),
        Column("config_hash", STRING, "H(its configuration)"),
        Column("verdict", STRING, "correct, wrong or unknown; null for a filter or measure", True),
        Column("value", F32, "1 correct, 0 wrong, null unknown; or the filter's or measure's value", True),
        Column("reason", STRING, "why, always given for unknown and for a dropped row", True),
        Column("detail", STRING, "what was compared or measured, such as the extracted answer", True),
        STAGE_ID,
    ),
)

STEP_VALUES = TableSpec(
    "step_values",
    "what steps are worth, long: many labelers write about one step",
    ("step_id", "labeler", "config_hash"),
    (
        Column("step_id", STRING, "the step"),
        PROBLEM_ID,
        Column("rollout_id", STRING, "its rollout"),
        Column("index", I32, "the step's place in the rollout, from 0"),
        Column("labeler", STRING, "such as monte_carlo"),
        Column("labeler_version", STRING, "its version"),
        Column("config_hash", STRING, "H(its configuration)"),
        Column("policy_id", STRING, "the policy whose chances, or whose judgements, these are"),
        Column(
            "scale",
            STRING,
            "chance (of a correct end; the last is the verdict), score (from 0 to 1) or reward (any number)",
        ),
        Column(
            "value_before",
            F32,
            "value of the prefix before the step; the prompt's is the group's pass rate",
            True,
        ),
        Column("value", F32, "value of the prefix that ends with the step; the last one is the verdict", True),
        Column("n", I32, "continuations judged correct or wrong behind value; 0 for the last step's verdict"),
        Column("successes", I32, "of these, correct"),
        Column("n_unknown", I32, "continuations whose verdict is unknown, counted in neither"),
        Column("value_low", F32, "lower end of the 95% interval of value", True),
        Column("value_high", F32, "upper end", True),
        Column("advantage", F32, "value - value_before", True),
        Column("advantage_se", F32, "standard error of advantage", True),
        Column("is_first_error", BOOL, "the first step after which value stays low; null if undecided", True),
        Column("p_first_error", F32, "probability that it is the first error, where the labeler gives one", True),
        Column("tokens_spent", I64, "tokens sampled for value"),
        STAGE_ID,
    ),
)

PAIRS = TableSpec(
    "pairs",
    "chosen against rejected",
    ("pair_id",),
    (
        Column("pair_id", STRING, "H(level, prefix, chosen, rejected, rule)"),
        PROBLEM_ID,
        Column("level", STRING, "response, step, turn or judge"),
        Column("prompt", MESSAGES, "the prompt to be trained on"),
        Column(
            "prefix",
            STRING,
            "text after the prompt that chosen and rejected share; empty for a response pair",
        ),
        Column("chosen", STRING, "the better text after the prefix"),
        Column("rejected", STRING, "the worse text after the prefix"),
        Column("chosen_rollout_id", STRING, "where chosen comes from"),
        Column("rejected_rollout_id", STRING, "where rejected comes from"),
        Column("chosen_step_id", STRING, "for a step pair", True),
        Column("rejected_step_id", STRING, "for a step pair", True),
        Column("chosen_value", F32, "verdict or value of chosen", True),
        Column("rejected_value", F32, "verdict or value of rejected", True),
        Column("margin", F32, "chosen_value - rejected_value", True),
        Column("margin_se", F32, "standard error of margin; 0 for verdicts", True),
        Column("length_ratio", F32, "longer over shorter, in tokens or, without these, characters"),
        Column("visit_confidence", F32, "of siblings, 1 / (1 + n_worse / max(1, n_better)) from their visits", True),
        Column("rule", STRING, "the rule that mined it"),
        Column("interval_overlap", F32, "what both sides' 95% intervals share, of the shorter; 0: disjoint", True),
        Column(
            "scorer_agreement", F32, "share of the stages above that judged both sides and agree with the order", True
        ),
        Column("round_consistency", F32, "share of earlier rounds in which the order of the same texts held", True),
        Column("p_better", F32, "probability that the margin is above 0, by normal approximation", True),
        STAGE_ID,
    ),
)

PROBLEM_STATS = TableSpec(
    "problem_stats",
    "pass rate and difficulty, of first rollouts only",
    ("problem_id", "policy_id", "round", "sampling_id"),
    (
        PROBLEM_ID,
        Column("policy_id", STRING, "pass rate belongs to a policy, never to a problem alone"),
        Column("round", I32, "self-improvement round"),
        Column("sampling_id", STRING, "and to a way of sampling"),
        Column("n", I32, "rollouts: n_correct + n_wrong + n_unknown"),
        Column("n_correct", I32, "judged correct"),
        Column("n_wrong", I32, "judged wrong"),
        Column("n_unknown", I32, "not judged, truncated ones included"),
        Column("n_truncated", I32, "ended at the token limit"),
        Column("pass_rate", F32, "correct / (correct + wrong); null if none was judged", True),
        Column("pass_low", F32, "lower end of its Wilson 95% interval", True),
        Column("pass_high", F32, "upper end", True),
        Column("group_state", STRING, "all_correct, mixed, all_wrong or undecided (too few judged)"),
        Column("difficulty", F32, "1 - pass_rate", True),
        Column("difficulty_bin", STRING, "named bin of the pass rate; undecided if there is none"),
        Column("curriculum_rank", I64, "place in the order; null until an order is asked for", True),
        STAGE_ID,
    ),
)

REJECTS = TableSpec(
    "rejects",
    "what a stage left out, and why",
    ("target_id", "stage_id", "reason"),
    (
        PROBLEM_ID,
        Column("target_kind", STRING, "problem, rollout, step or pair; or column, of a source's metadata"),
        Column("target_id", STRING, "id of what was left out"),
        Column("reason", STRING, "why"),
        Column("score", F32, "the number that decided, where there is one", True),
        STAGE_ID,
    ),
)
