"""`mine.splices`: a failed beginning, its first error, a sentence of reflection, and a correct way on.

Invariants: a splice begins with the tokens of a failed rollout up to and including its first error step, as they were
sampled; then come the tokens of a reflection, then those of a correct rollout that shares the tokens before the error
(the two steps have one parent node in the tree), from there to its end. Text, author spans and loss mask tile the
completion exactly; the mask is false on the tokens of the bad step, and with `train_prefix: false` on those before it.
Nothing is sampled; the choice depends on the rollouts of one problem only, and no seed is drawn.

Agent-R (Yuan et al. 2025): cut at the first error, join by one of a few reflections, continue with the good trajectory
that shares the parent node, with the loss off on the bad turns; STeP (Chen et al. 2025) masks wrong steps likewise. Who
names the first error is the label stage's (Agent-R asks the actor itself). The sentences are ours, and so is their
choice by a hash. Agent-R's released code has the loss off on the whole bad trajectory: `train_prefix: false`; our
default trains on what comes before the error, which the correct rollout shares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow as pa
from pydantic import Field, field_validator

from synthflow import ids
from synthflow.contracts import (
    Coverage,
    Estimate,
    Inputs,
    Renderer,
    SamplingParams,
    Services,
    Stage,
    StageConfig,
    StageInfo,
)
from synthflow.rollouts.labels import check_labels, label_stage, of_stage
from synthflow.rollouts.requests import RolloutIds
from synthflow.rollouts.rows import sampling_row
from synthflow.rollouts.step_rows import reject_rows
from synthflow.rollouts.views import check_verdicts, judged_rollouts
from synthflow.schema import ARTIFACTS, ROLLOUTS
from synthflow.stages.mine.splice import Good, Weld, splice

TEMPLATE = "{prompt}{prefix}{bad step}{reflection}{path}"
"""What stands for the prompt template in the sampling_id of splices."""

REFLECTIONS = (
    "Wait, that last step is not right. I go back to where it was still fine.\n",
    "Hold on, the step I just wrote contains a mistake. Again from the step before it.\n",
    "That does not follow. I take it back and do this step anew.\n",
    "I should check this: it is wrong. Here is the corrected step.\n",
)

_PARAMS = SamplingParams()
_COLUMNS = [
    "rollout_id", "problem_id", "policy_id", "round", "prompt", "train_prompt", "completion", "prompt_token_ids",
    "token_ids", "verdict", "finish_reason",
]  # fmt: skip


class SplicesConfig(StageConfig):
    """Fields of `mine.splices`."""

    verdicts: str | None = Field(None, description="the verify stage whose verdicts count; null where there is one")
    labels: str | None = Field(None, description="the label stage whose first errors count; null: the only one")
    policy: str = Field("default", description="the policy that wrote the rollouts, whose tokenizer reads reflections")
    reflections: tuple[str, ...] = Field(
        REFLECTIONS, min_length=1, description="texts between the error and the correct way; one is taken by a hash"
    )
    train_prefix: bool = Field(True, description="train on what comes before the error")
    max_per_error: int = Field(1, ge=1, le=64, description="splices of one first error, with different correct ways")
    max_per_problem: int = Field(8, ge=1, le=1024, description="most splices of one problem")

    @field_validator("reflections")
    @classmethod
    def _say_something(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not text.strip() for text in value):
            raise ValueError("a reflection is empty; write a sentence, or leave it out of the list")
        return value

    def sampling_id(self) -> str:
        return ids.sampling_id(_PARAMS.model_dump(), self.template(), "spliced")

    def template(self) -> str:
        """The template with the hash of what else decides a splice, so that two ways to splice have two ids."""
        fields = self.model_dump(mode="json", include={"reflections", "train_prefix", "labels", "verdicts"})
        return f"{TEMPLATE} {ids.content_id('c', fields)}"


class MineSplices(Stage):
    """Splice failed beginnings to correct ways on."""

    use = "mine.splices"
    version = "1"
    needs_tokens = True
    Config = SplicesConfig
    reads = ("rollouts", "scores", "steps", "step_values")
    writes = ("rollouts", "artifacts")
    covers = Coverage("rollouts", "rollout_id", {"rollouts": "parent_rollout_id"})
    summary = "Join failed beginnings, up to the first error, to a reflection and a correct way on; with a loss mask."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        yield from check_verdicts(ancestors, self.config.verdicts)
        yield from check_labels(ancestors, self.config.labels)

    def samplings(self) -> Iterable[Mapping[str, Any]]:
        return [sampling_row(_PARAMS, self.config.template(), "spliced")]

    def estimate(self, upstream: Estimate) -> Estimate:
        rows = upstream.problems * 0.5 * self.config.max_per_problem
        return Estimate(upstream.problems, upstream.rollouts, rows={"rollouts": rows, "artifacts": rows})

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Splices, the reflections that join them, and why the other rollouts did not begin one."""
        config: SplicesConfig = self.config
        renderer = services.renderer(config.policy)
        policy_id = services.identity(config.policy).policy_id
        judged = judged_rollouts(inputs, config.verdicts).unique("rollout_id", keep="first", maintain_order=True)
        usable = judged.filter(
            pl.col("dropped").is_null(), pl.col("token_ids").is_not_null(), pl.col("policy_id") == policy_id
        ).select(_COLUMNS)
        reasons = self._reasons(inputs, judged, policy_id)
        errors = _first_errors(inputs, label_stage(inputs, config.labels))
        rows: list[dict[str, Any]] = []
        artifacts: dict[str, dict[str, Any]] = {}
        for part in _groups(usable.sort("problem_id", "rollout_id")):
            made, why = self._splice(part, errors, renderer, services)
            reasons |= why
            for row, artifact in made:
                rows.append(row)
                artifacts[artifact["artifact_id"]] = artifact
        begun = {row["parent_rollout_id"] for row in rows}
        nearest = inputs.frame("rollouts", ["rollout_id", "problem_id"], nearest=True)
        problem_of = dict(pl.concat([nearest, judged.select("rollout_id", "problem_id")]).iter_rows())
        rejects = [(problem, name, reasons.get(name, "no_verdict")) for name, problem in problem_of.items()]
        services.count(rows=len(rows), rejected=len(rejects) - len(begun))
        return {
            "rollouts": ROLLOUTS.from_rows(rows),
            "artifacts": ARTIFACTS.from_rows(list(artifacts.values())),
            "rejects": reject_rows(sorted(r for r in rejects if r[1] not in begun), services.stage_id),
        }

    def _reasons(self, inputs: Inputs, judged: pl.DataFrame, policy_id: str) -> dict[str, str]:
        """Reasons of rollouts that cannot begin a splice, whatever the others are."""
        read = inputs.frame("rollouts", ["rollout_id", "condition"], nearest=True).filter(
            ~pl.col("rollout_id").is_in(judged["rollout_id"].implode())
        )
        told = {r: "no_verdict" if c == "none" else f"condition_{c}" for r, c in read.iter_rows()}
        why = pl.coalesce(
            pl.when(pl.col("policy_id") != policy_id).then(pl.lit("other_policy")),
            pl.when(pl.col("dropped").is_not_null()).then(pl.lit("filtered")),
            pl.when(pl.col("token_ids").is_null()).then(pl.lit("no_token_ids")),
            pl.when(pl.col("verdict") != "wrong").then(pl.lit("not_wrong")),
        )
        told |= dict(judged.select("rollout_id", why.alias("why")).drop_nulls().iter_rows())
        return told

    def _splice(
        self,
        rows: Sequence[Mapping[str, Any]],
        errors: Mapping[str, Mapping[str, Any]],
        renderer: Renderer | None,
        services: Services,
    ) -> tuple[list[tuple[dict[str, Any], dict[str, Any]]], dict[str, str]]:
        """Splices of one prompt and round, each with the artifact of its reflection; and reasons."""
        config: SplicesConfig = self.config
        if renderer is None:
            return [], {row["rollout_id"]: "no_token_ids" for row in rows}
        goods = [Good(row, tuple(row["token_ids"])) for row in rows if row["verdict"] == "correct"]
        made: list[tuple[dict[str, Any], dict[str, Any]]] = []
        why: dict[str, str] = {}
        taken: dict[str, int] = {}
        for row in rows:
            if row["verdict"] != "wrong":
                continue
            error = errors.get(row["rollout_id"])
            if error is None:
                why[row["rollout_id"]] = "no_first_error"
                continue
            found = splice(row, error, goods, renderer, config.reflections, config.train_prefix)
            why[row["rollout_id"]] = "no_correct_sibling" if not found else "not_selected"
            for one in found:
                index = taken.get(one.prefix_id, 0)
                if index < config.max_per_error and len(made) < config.max_per_problem:
                    taken[one.prefix_id] = index + 1
                    made.append(self._rows(row, one, index, services))
        return made, why

    def _rows(
        self, failed: Mapping[str, Any], one: Weld, index: int, services: Services
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        sampling = self.config.sampling_id()
        problem, policy, round_ = failed["problem_id"], failed["policy_id"], failed["round"]
        rollout = RolloutIds(policy, sampling, services.run_seed).rollout_id(problem, round_, one.prefix_id, index)
        source = one.good["rollout_id"]
        artifact = {
            "artifact_id": ids.artifact_id("reflection", one.reflection, problem, source),
            "problem_id": problem,
            "kind": "reflection",
            "text": one.reflection,
            "source_rollout_id": source,
            "details": "{}",
            "stage_id": services.stage_id,
        }
        row = {
            "rollout_id": rollout,
            "problem_id": problem,
            "policy_id": policy,
            "round": round_,
            "sampling_id": sampling,
            "prefix_id": one.prefix_id,
            "index": index,
            "seed": ids.rollout_seed(rollout),
            "stage_id": services.stage_id,
            "parent_rollout_id": failed["rollout_id"],
            "branch_step": one.steps,
            "branch_token": one.failed_tokens,
            "condition": "spliced",
            "artifact_id": artifact["artifact_id"],
            "turn": 0,
            "prompt": failed["prompt"],
            "train_prompt": failed["train_prompt"],
            "completion": one.text,
            "completion_hash": ids.text_hash(one.text),
            "prompt_token_ids": failed["prompt_token_ids"],
            "token_ids": one.tokens,
            "author_spans": one.authors,
            "loss_mask": one.mask,
            "finish_reason": one.good["finish_reason"],
            "n_tokens": len(one.tokens),
            "on_policy": False,
        }
        return row, artifact


def _groups(usable: pl.DataFrame) -> list[list[dict[str, Any]]]:
    """Rollouts of one problem, prompt and round, in the order of their ids."""
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for row in usable.iter_rows(named=True):
        key = (row["problem_id"], row["round"], ids.problem_id(row["prompt"]))
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def _first_errors(inputs: Inputs, stage: str) -> dict[str, dict[str, Any]]:
    """The first error step of each rollout that has one, with its spans."""
    named = of_stage(inputs, stage, "step_values", ["step_id", "is_first_error"]).filter(pl.col("is_first_error"))
    columns = ["step_id", "rollout_id", "index", "char_start", "char_end", "token_start", "token_end"]
    steps = of_stage(inputs, stage, "steps", columns).filter(pl.col("token_start").is_not_null())
    found = steps.join(named.unique("step_id"), on="step_id", how="semi").sort("rollout_id", "index")
    return {row["rollout_id"]: row for row in found.unique("rollout_id", keep="first").iter_rows(named=True)}
