"""What ids stand for: policies, samplings, stages, runs."""

from __future__ import annotations

import pyarrow as pa

from synthflow.schema.spec import Column, TableSpec
from synthflow.schema.types import F32, I32, STRING

POLICIES = TableSpec(
    "policies",
    "what a policy_id stands for",
    ("policy_id",),
    (
        Column("policy_id", STRING, "H(weights, tokenizer, chat template)"),
        Column("name", STRING, "its name in the spec"),
        Column("model", STRING, "model as the spec names it"),
        Column("backend", STRING, "backend of the latest attempt"),
        Column("weights_hash", STRING, "hash of the weights, or the declared name and revision"),
        Column("tokenizer_hash", STRING, "hash of the tokenizer's files"),
        Column("template_hash", STRING, "hash of the chat template"),
        Column("details", STRING, "dtype, revision, versions: one JSON object"),
    ),
)

SAMPLINGS = TableSpec(
    "samplings",
    "what a sampling_id stands for",
    ("sampling_id",),
    (
        Column("sampling_id", STRING, "H(sampling parameters, template, condition)"),
        Column("condition", STRING, "that of the rollouts, such as none or prefix; judge: of artifacts"),
        Column("template", STRING, "prompt template"),
        Column("temperature", F32, "softmax temperature"),
        Column("top_p", F32, "nucleus; 1 is off"),
        Column("top_k", I32, "0 is off"),
        Column("max_tokens", I32, "most tokens of a completion"),
        Column("params", STRING, "all parameters, one JSON object"),
    ),
)

STAGES = TableSpec(
    "stages",
    "what a stage_id stands for",
    ("stage_id",),
    (
        Column("stage_id", STRING, "H(stage name, fingerprint)"),
        Column("name", STRING, "its name in the spec"),
        Column("use", STRING, "the registered stage"),
        Column("version", STRING, "version of the stage's code"),
        Column("fingerprint", STRING, "H(use, version, configuration, parents' fingerprints)"),
        Column("parents", pa.list_(STRING), "names of the stages it reads"),
        Column("config", STRING, "its configuration, one JSON object"),
    ),
)

RUNS = TableSpec(
    "runs",
    "attempts on this run directory",
    ("run_id", "attempt"),
    (
        Column("run_id", STRING, "H(resolved spec)"),
        Column("attempt", I32, "from 1"),
        Column("name", STRING, "the pipeline's name"),
        Column("started_at", STRING, "UTC, ISO 8601"),
        Column("synthflow_version", STRING, "version of Synthflow"),
        Column("versions", STRING, "versions of the libraries that matter, one JSON object"),
        Column("spec", STRING, "the resolved spec, one JSON object"),
    ),
)
