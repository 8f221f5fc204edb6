"""The rollout graph: problems, what was sampled of them, the steps it falls into, and what models wrote about it."""

from __future__ import annotations

import pyarrow as pa

from synthflow.schema.spec import Column, TableSpec
from synthflow.schema.types import BOOL, F32S, I32, I32S, I64, MESSAGES, PROBLEM_ID, SPANS, STAGE_ID, STRING

PROBLEMS = TableSpec(
    "problems",
    "what is to be solved, one row a problem",
    ("problem_id",),
    (
        Column("problem_id", STRING, "H(messages)"),
        Column("prompt", MESSAGES, "chat messages: role and content"),
        Column("answer", STRING, "gold answer as given; null where there is none", True),
        Column("verifier", STRING, "verifier this problem asks for; null: the recipe's", True),
        Column("domain", STRING, "such as arithmetic, algebra, code", True),
        Column("source", STRING, "where it came from"),
        Column("split", STRING, "train, validation or test, as the source says", True),
        Column("metadata", STRING, "everything else the source said, one JSON object"),
        Column("content_hash", STRING, "H(every column above): a changed answer changes it, not the problem_id"),
        Column("seed_problem_id", STRING, "the problem this one was made from", True),
        Column("operator", STRING, "how it was made from its seed", True),
    ),
)

ROLLOUTS = TableSpec(
    "rollouts",
    "what policies wrote, one row a rollout; continuations of a prefix are rollouts too",
    ("rollout_id",),
    (
        Column("rollout_id", STRING, "H(problem, policy, round, sampling, prefix, index, run seed)"),
        PROBLEM_ID,
        Column("policy_id", STRING, "H(weights, tokenizer, chat template)"),
        Column("round", I32, "self-improvement round, from 0"),
        Column("sampling_id", STRING, "H(sampling parameters, template, condition)"),
        Column("prefix_id", STRING, "H(problem, prefix tokens); x_none for a first rollout"),
        Column("index", I32, "which of the n samples, from 0"),
        Column("seed", I64, "from the rollout_id"),
        STAGE_ID,
        Column(
            "parent_rollout_id",
            STRING,
            "the rollout whose prefix this one continues; of a tree's path, the continuation that it ends with",
            True,
        ),
        Column("branch_step", I32, "steps of the parent that are in the prefix; of a tree's path, its own steps", True),
        Column(
            "branch_token", I32, "tokens of the parent that are in the prefix; of a tree's path, its own tokens", True
        ),
        Column(
            "condition",
            STRING,
            "none, prefix, gold, hint, critique, feedback, scaffold; tree (a prefix and what continued it, as one) or "
            "spliced (parts of several), which were put together and not sampled",
        ),
        Column("artifact_id", STRING, "the artifact it was conditioned on", True),
        Column("turn", I32, "turn of a dialogue, from 0"),
        Column("prompt", MESSAGES, "the prompt as sampled"),
        Column("train_prompt", MESSAGES, "the prompt to be trained on; differs from prompt under a hint", True),
        Column("completion", STRING, "text after the prompt and the prefix, without the stop token"),
        Column("completion_hash", STRING, "H(completion)"),
        Column(
            "prompt_token_ids",
            I32S,
            "tokens of prompt and prefix, as sampled; null if the server tells none",
            True,
        ),
        Column(
            "token_ids",
            I32S,
            "tokens of the completion, the stop token kept; null if the server tells none",
            True,
        ),
        Column("logprobs", F32S, "log p of each token at temperature 1 before any truncation, in nats", True),
        Column("sampling_logprobs", F32S, "log p under the sampling distribution, where it differs", True),
        Column(
            "author_spans",
            SPANS,
            "who wrote which characters, where not all is the policy's; thought and answer, where it thought first",
            True,
        ),
        Column("loss_mask", pa.list_(BOOL), "tokens to be trained on, where not all are", True),
        Column(
            "finish_reason",
            STRING,
            "stop, length (truncated), refused, failed (never answered, while others were), or poison (it kills the "
            "engine)",
        ),
        Column("n_tokens", I32, "tokens of the completion; null if the server tells neither tokens nor a count", True),
        Column("on_policy", BOOL, "sampled by the policy and prompt it is to train"),
    ),
)

STEPS = TableSpec(
    "steps",
    "rollouts cut into steps that rejoin byte for byte",
    ("step_id",),
    (
        Column("step_id", STRING, "H(rollout, segmenter, index)"),
        PROBLEM_ID,
        Column("rollout_id", STRING, "the rollout that was cut"),
        Column("parent_step_id", STRING, "the step before it; null for the first", True),
        Column("segmenter", STRING, "how it was cut"),
        Column("index", I32, "place in the rollout, from 0"),
        Column("char_start", I32, "first character, in Python code points of the completion"),
        Column("char_end", I32, "one past the last character"),
        Column("token_start", I32, "first token; tokens go to the step with the largest overlap", True),
        Column("token_end", I32, "one past the last token", True),
        STAGE_ID,
    ),
)

ARTIFACTS = TableSpec(
    "artifacts",
    "hints, critiques, rubrics, behaviours, goals, reflections",
    ("artifact_id",),
    (
        Column("artifact_id", STRING, "H(kind, text, problem, source): sample_id, or source_rollout_id"),
        PROBLEM_ID,
        Column("kind", STRING, "hint, critique, rubric, behaviour, goal or reflection"),
        Column("text", STRING, "what it says"),
        Column("source_rollout_id", STRING, "the rollout it was made from", True),
        Column("policy_id", STRING, "the policy that wrote it", True),
        Column("sample_id", STRING, "the id it was sampled and journaled under; null if nobody sampled it", True),
        Column("sampling_id", STRING, "how it was sampled", True),
        Column("prompt", MESSAGES, "the prompt as sampled", True),
        Column("finish_reason", STRING, "stop, length (truncated), refused, failed or poison", True),
        Column("n_tokens", I32, "tokens of the text, as sampled", True),
        Column("details", STRING, "what it is about and what was read in it: one JSON object", True),
        STAGE_ID,
    ),
)
