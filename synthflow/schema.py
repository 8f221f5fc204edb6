"""The tables, declared once.

Every table has a name, a version, a key and columns with types and comments. Every table but the small reference
tables carries `problem_id`, so that any of them can be read for a partition of problems.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from synthflow.schema_agreement import AGREEMENT
from synthflow.tablespec import SCHEMA_VERSION, Column, TableSpec

__all__ = ["SCHEMA_VERSION", "TABLES", "Column", "TableSpec"]

STRING, I32, I64, F32, F64, BOOL = pa.string(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.bool_()
MESSAGES = pa.list_(pa.struct([pa.field("role", STRING), pa.field("content", STRING)]))
SPANS = pa.list_(pa.struct([pa.field("author", STRING), pa.field("start", I32), pa.field("end", I32)]))
I32S, F32S = pa.list_(I32), pa.list_(F32)


def _c(name: str, type_: pa.DataType, comment: str, nullable: bool = False) -> Column:
    return Column(name, type_, comment, nullable)


_PROBLEM_ID = _c("problem_id", STRING, "the problem this row belongs to")
_STAGE_ID = _c("stage_id", STRING, "H(stage name, fingerprint) of the stage that wrote this row")

PROBLEMS = TableSpec(
    "problems",
    "what is to be solved, one row a problem",
    ("problem_id",),
    (
        _c("problem_id", STRING, "H(messages)"),
        _c("prompt", MESSAGES, "chat messages: role and content"),
        _c("answer", STRING, "gold answer as given; null where there is none", True),
        _c("verifier", STRING, "verifier this problem asks for; null: the recipe's", True),
        _c("domain", STRING, "such as arithmetic, algebra, code", True),
        _c("source", STRING, "where it came from"),
        _c("split", STRING, "train, validation or test, as the source says", True),
        _c("metadata", STRING, "everything else the source said, one JSON object"),
        _c("content_hash", STRING, "H(every column above): a changed answer changes it, not the problem_id"),
        _c("seed_problem_id", STRING, "the problem this one was made from", True),
        _c("operator", STRING, "how it was made from its seed", True),
    ),
)

ROLLOUTS = TableSpec(
    "rollouts",
    "what policies wrote, one row a rollout; continuations of a prefix are rollouts too",
    ("rollout_id",),
    (
        _c("rollout_id", STRING, "H(problem, policy, round, sampling, prefix, index, run seed)"),
        _PROBLEM_ID,
        _c("policy_id", STRING, "H(weights, tokenizer, chat template)"),
        _c("round", I32, "self-improvement round, from 0"),
        _c("sampling_id", STRING, "H(sampling parameters, template, condition)"),
        _c("prefix_id", STRING, "H(problem, prefix tokens); x_none for a first rollout"),
        _c("index", I32, "which of the n samples, from 0"),
        _c("seed", I64, "from the rollout_id"),
        _STAGE_ID,
        _c(
            "parent_rollout_id",
            STRING,
            "the rollout whose prefix this one continues; of a tree's path, the continuation that it ends with",
            True,
        ),
        _c("branch_step", I32, "steps of the parent that are in the prefix; of a tree's path, its own steps", True),
        _c("branch_token", I32, "tokens of the parent that are in the prefix; of a tree's path, its own tokens", True),
        _c(
            "condition",
            STRING,
            "none, prefix, gold, hint, critique, feedback, scaffold; tree (a prefix and what continued it, as one) or "
            "spliced (parts of several), which were put together and not sampled",
        ),
        _c("artifact_id", STRING, "the artifact it was conditioned on", True),
        _c("turn", I32, "turn of a dialogue, from 0"),
        _c("prompt", MESSAGES, "the prompt as sampled"),
        _c("train_prompt", MESSAGES, "the prompt to be trained on; differs from prompt under a hint", True),
        _c("completion", STRING, "text after the prompt and the prefix, without the stop token"),
        _c("completion_hash", STRING, "H(completion)"),
        _c(
            "prompt_token_ids",
            I32S,
            "tokens of prompt and prefix, as sampled; null if the server tells none",
            True,
        ),
        _c(
            "token_ids",
            I32S,
            "tokens of the completion, the stop token kept; null if the server tells none",
            True,
        ),
        _c("logprobs", F32S, "log p of each token at temperature 1 before any truncation, in nats", True),
        _c("sampling_logprobs", F32S, "log p under the sampling distribution, where it differs", True),
        _c("author_spans", SPANS, "who wrote which characters, where not all is the policy's", True),
        _c("loss_mask", pa.list_(BOOL), "tokens to be trained on, where not all are", True),
        _c("finish_reason", STRING, "stop, length (truncated), refused, or poison (it kills the engine)"),
        _c("n_tokens", I32, "tokens of the completion"),
        _c("on_policy", BOOL, "sampled by the policy and prompt it is to train"),
    ),
)

SCORES = TableSpec(
    "scores",
    "what scorers said, long: many scorers write about one target",
    ("target_id", "scorer", "config_hash"),
    (
        _PROBLEM_ID,
        _c("target_kind", STRING, "rollout, problem, step or pair"),
        _c("target_id", STRING, "id of the target"),
        _c(
            "kind",
            STRING,
            "verdict (a verifier's), component (of a composed verdict; nothing counts it), "
            "filter (value 1 keeps, 0 drops) or measure",
        ),
        _c("scorer", STRING, "name of the verifier or filter"),
        _c("scorer_version", STRING, "its version, with that of the library behind it"),
        _c("config_hash", STRING, "H(its configuration)"),
        _c("verdict", STRING, "correct, wrong or unknown; null for a filter or measure", True),
        _c("value", F32, "1 correct, 0 wrong, null unknown; or the filter's or measure's value", True),
        _c("reason", STRING, "why, always given for unknown and for a dropped row", True),
        _c("detail", STRING, "what was compared or measured, such as the extracted answer", True),
        _STAGE_ID,
    ),
)

STEPS = TableSpec(
    "steps",
    "rollouts cut into steps that rejoin byte for byte",
    ("step_id",),
    (
        _c("step_id", STRING, "H(rollout, segmenter, index)"),
        _PROBLEM_ID,
        _c("rollout_id", STRING, "the rollout that was cut"),
        _c("parent_step_id", STRING, "the step before it; null for the first", True),
        _c("segmenter", STRING, "how it was cut"),
        _c("index", I32, "place in the rollout, from 0"),
        _c("char_start", I32, "first character, in Python code points of the completion"),
        _c("char_end", I32, "one past the last character"),
        _c("token_start", I32, "first token; tokens go to the step with the largest overlap", True),
        _c("token_end", I32, "one past the last token", True),
        _STAGE_ID,
    ),
)

STEP_VALUES = TableSpec(
    "step_values",
    "what steps are worth, long: many labelers write about one step",
    ("step_id", "labeler", "config_hash"),
    (
        _c("step_id", STRING, "the step"),
        _PROBLEM_ID,
        _c("rollout_id", STRING, "its rollout"),
        _c("index", I32, "the step's place in the rollout, from 0"),
        _c("labeler", STRING, "such as monte_carlo"),
        _c("labeler_version", STRING, "its version"),
        _c("config_hash", STRING, "H(its configuration)"),
        _c("policy_id", STRING, "the policy whose chances, or whose judgements, these are"),
        _c(
            "scale",
            STRING,
            "chance (of a correct end; the last is the verdict), score (from 0 to 1) or reward (any number)",
        ),
        _c(
            "value_before",
            F32,
            "value of the prefix before the step; the prompt's is the group's pass rate",
            True,
        ),
        _c("value", F32, "value of the prefix that ends with the step; the last one is the verdict", True),
        _c("n", I32, "continuations judged correct or wrong behind value; 0 for the last step's verdict"),
        _c("successes", I32, "of these, correct"),
        _c("n_unknown", I32, "continuations whose verdict is unknown, counted in neither"),
        _c("value_low", F32, "lower end of the 95% interval of value", True),
        _c("value_high", F32, "upper end", True),
        _c("advantage", F32, "value - value_before", True),
        _c("advantage_se", F32, "standard error of advantage", True),
        _c("is_first_error", BOOL, "the first step after which value stays low; null if undecided", True),
        _c("p_first_error", F32, "probability that it is the first error, where the labeler gives one", True),
        _c("tokens_spent", I64, "tokens sampled for value"),
        _STAGE_ID,
    ),
)

PAIRS = TableSpec(
    "pairs",
    "chosen against rejected",
    ("pair_id",),
    (
        _c("pair_id", STRING, "H(level, prefix, chosen, rejected, rule)"),
        _PROBLEM_ID,
        _c("level", STRING, "response, step, turn or judge"),
        _c("prompt", MESSAGES, "the prompt to be trained on"),
        _c(
            "prefix",
            STRING,
            "text after the prompt that chosen and rejected share; empty for a response pair",
        ),
        _c("chosen", STRING, "the better text after the prefix"),
        _c("rejected", STRING, "the worse text after the prefix"),
        _c("chosen_rollout_id", STRING, "where chosen comes from"),
        _c("rejected_rollout_id", STRING, "where rejected comes from"),
        _c("chosen_step_id", STRING, "for a step pair", True),
        _c("rejected_step_id", STRING, "for a step pair", True),
        _c("chosen_value", F32, "verdict or value of chosen", True),
        _c("rejected_value", F32, "verdict or value of rejected", True),
        _c("margin", F32, "chosen_value - rejected_value", True),
        _c("margin_se", F32, "standard error of margin; 0 for verdicts", True),
        _c("length_ratio", F32, "longer over shorter, in tokens or, without these, characters"),
        _c("visit_confidence", F32, "of siblings, 1 / (1 + n_worse / max(1, n_better)) from their visits", True),
        _c("rule", STRING, "the rule that mined it"),
        _c("interval_overlap", F32, "what both sides' 95% intervals share, of the shorter; 0: disjoint", True),
        _c("scorer_agreement", F32, "share of the stages above that judged both sides and agree with the order", True),
        _c("round_consistency", F32, "share of earlier rounds in which the order of the same texts held", True),
        _c("p_better", F32, "probability that the margin is above 0, by normal approximation", True),
        _STAGE_ID,
    ),
)

PROBLEM_STATS = TableSpec(
    "problem_stats",
    "pass rate and difficulty, of first rollouts only",
    ("problem_id", "policy_id", "round", "sampling_id"),
    (
        _PROBLEM_ID,
        _c("policy_id", STRING, "pass rate belongs to a policy, never to a problem alone"),
        _c("round", I32, "self-improvement round"),
        _c("sampling_id", STRING, "and to a way of sampling"),
        _c("n", I32, "rollouts: n_correct + n_wrong + n_unknown"),
        _c("n_correct", I32, "judged correct"),
        _c("n_wrong", I32, "judged wrong"),
        _c("n_unknown", I32, "not judged, truncated ones included"),
        _c("n_truncated", I32, "ended at the token limit"),
        _c("pass_rate", F32, "correct / (correct + wrong); null if none was judged", True),
        _c("pass_low", F32, "lower end of its Wilson 95% interval", True),
        _c("pass_high", F32, "upper end", True),
        _c("group_state", STRING, "all_right, mixed, all_wrong or undecided (too few judged)"),
        _c("difficulty", F32, "1 - pass_rate", True),
        _c("difficulty_bin", STRING, "named bin of the pass rate; undecided if there is none"),
        _c("curriculum_rank", I64, "place in the order; null until an order is asked for", True),
        _STAGE_ID,
    ),
)

ARTIFACTS = TableSpec(
    "artifacts",
    "hints, critiques, rubrics, behaviours, goals, reflections",
    ("artifact_id",),
    (
        _c("artifact_id", STRING, "H(kind, text, problem, source): sample_id, or source_rollout_id"),
        _PROBLEM_ID,
        _c("kind", STRING, "hint, critique, rubric, behaviour, goal or reflection"),
        _c("text", STRING, "what it says"),
        _c("source_rollout_id", STRING, "the rollout it was made from", True),
        _c("policy_id", STRING, "the policy that wrote it", True),
        _c("sample_id", STRING, "the id it was sampled and journaled under; null if nobody sampled it", True),
        _c("sampling_id", STRING, "how it was sampled", True),
        _c("prompt", MESSAGES, "the prompt as sampled", True),
        _c("finish_reason", STRING, "stop, length (truncated), or refused", True),
        _c("n_tokens", I32, "tokens of the text, as sampled", True),
        _c("details", STRING, "what it is about and what was read in it: one JSON object", True),
        _STAGE_ID,
    ),
)

REJECTS = TableSpec(
    "rejects",
    "what a stage left out, and why",
    ("target_id", "stage_id", "reason"),
    (
        _PROBLEM_ID,
        _c("target_kind", STRING, "problem, rollout, step or pair"),
        _c("target_id", STRING, "id of what was left out"),
        _c("reason", STRING, "why"),
        _c("score", F32, "the number that decided, where there is one", True),
        _STAGE_ID,
    ),
)

STATS = TableSpec(
    "stats",
    "mergeable measurements, one row a stage, metric and group: a sum over rows is the whole",
    ("stage", "axis", "metric", "slice_key", "slice_value", "problem_id"),
    (
        _c("problem_id", STRING, "the problem whose rollouts these accumulators cover; empty for a calibration"),
        _c("stage", STRING, "the stage after which this was measured; of a calibration, the scorer"),
        _c("axis", STRING, "quality, diversity, complexity or exploration"),
        _c("metric", STRING, "such as pass_rate or distinct_answers"),
        _c(
            "slice_key",
            STRING,
            "group, of which qdc_slices merges slices; of a calibration, against REFERENCE",
        ),
        _c("slice_value", STRING, "the group: policy_id/round/sampling_id; of a calibration, /difficulty_bin after it"),
        _c("count", F64, "observations"),
        _c("total", F64, "sum of the observations"),
        _c("total_sq", F64, "sum of their squares"),
        _c("minimum", F64, "smallest", True),
        _c("maximum", F64, "largest", True),
        _c("histogram", pa.list_(I64), "counts in fixed bins of the metric; null if it has none", True),
        _c(
            "sketch",
            pa.list_(I64),
            "62-bit hashes of a set, ascending; below the last one, the bound, none is missing",
            True,
        ),
        _STAGE_ID,
    ),
)

TELEMETRY = TableSpec(
    "telemetry",
    "elapsed times, workers, retries, cost: apart from all else, and never compared",
    ("target_id", "metric", "stage_id", "attempt"),
    (
        _PROBLEM_ID,
        _c("target_kind", STRING, "task, rollout or score"),
        _c("target_id", STRING, "id of the target"),
        _c("metric", STRING, "such as elapsed_s"),
        _c("value", F64, "value of the metric"),
        _c("worker", STRING, "who measured"),
        _c("attempt", I32, "attempt of the run, from 1"),
        _STAGE_ID,
    ),
)

POLICIES = TableSpec(
    "policies",
    "what a policy_id stands for",
    ("policy_id",),
    (
        _c("policy_id", STRING, "H(weights, tokenizer, chat template)"),
        _c("name", STRING, "its name in the spec"),
        _c("model", STRING, "model as the spec names it"),
        _c("backend", STRING, "backend of the latest attempt"),
        _c("weights_hash", STRING, "hash of the weights, or the declared name and revision"),
        _c("tokenizer_hash", STRING, "hash of the tokenizer's files"),
        _c("template_hash", STRING, "hash of the chat template"),
        _c("details", STRING, "dtype, revision, versions: one JSON object"),
    ),
)

SAMPLINGS = TableSpec(
    "samplings",
    "what a sampling_id stands for",
    ("sampling_id",),
    (
        _c("sampling_id", STRING, "H(sampling parameters, template, condition)"),
        _c("condition", STRING, "that of the rollouts, such as none or prefix; judge: of artifacts"),
        _c("template", STRING, "prompt template"),
        _c("temperature", F32, "softmax temperature"),
        _c("top_p", F32, "nucleus; 1 is off"),
        _c("top_k", I32, "0 is off"),
        _c("max_tokens", I32, "most tokens of a completion"),
        _c("params", STRING, "all parameters, one JSON object"),
    ),
)

STAGES = TableSpec(
    "stages",
    "what a stage_id stands for",
    ("stage_id",),
    (
        _c("stage_id", STRING, "H(stage name, fingerprint)"),
        _c("name", STRING, "its name in the spec"),
        _c("use", STRING, "the registered stage"),
        _c("version", STRING, "version of the stage's code"),
        _c("fingerprint", STRING, "H(use, version, configuration, parents' fingerprints)"),
        _c("parents", pa.list_(STRING), "names of the stages it reads"),
        _c("config", STRING, "its configuration, one JSON object"),
    ),
)

RUNS = TableSpec(
    "runs",
    "attempts on this run directory",
    ("run_id", "attempt"),
    (
        _c("run_id", STRING, "H(resolved spec)"),
        _c("attempt", I32, "from 1"),
        _c("name", STRING, "the pipeline's name"),
        _c("started_at", STRING, "UTC, ISO 8601"),
        _c("synthflow_version", STRING, "version of Synthflow"),
        _c("versions", STRING, "versions of the libraries that matter, one JSON object"),
        _c("spec", STRING, "the resolved spec, one JSON object"),
    ),
)

TABLES: Mapping[str, TableSpec] = {
    t.name: t
    for t in (
        PROBLEMS, ROLLOUTS, SCORES, STEPS, STEP_VALUES, PAIRS, PROBLEM_STATS, ARTIFACTS, REJECTS, STATS,
        AGREEMENT, TELEMETRY, POLICIES, SAMPLINGS, STAGES, RUNS,
    )
}  # fmt: skip
