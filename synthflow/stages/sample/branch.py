"""`sample.branch`: more answers from where a policy was unsure of its own (CURE).

Invariants: a rollout that is read has n branches or a reason in `rejects`; a branch is a rollout with condition
`prefix`, its parent, and the number of the parent's tokens it keeps, as they were sampled; the token is drawn with a
seed from the parent's id, so neither partitions nor order matter; and a branch is judged as a whole answer, its
parent's text up to the cut with its own, by the verifier that judged the parent. Parents and branches are one group:
whoever forms it finds a branch's parent in `parent_rollout_id`.

The method is CURE's (Critical-Token-Guided Re-Concatenation), stage 1, with the numbers of its repository: of the 20
tokens of the highest entropy that are not special, not the first, and longer than one character, one is drawn evenly,
the response is cut before it, and 3 continuations are sampled, beside 4 originals. Of an answer of forty tokens twenty
are half, and most of them certain: `top_share` takes so many of the eligible ones at most (5% of an answer of 400 is 20
as well), and `above` those of more nats; both are ours. Entropies come from the scoring pass. Where the backend tells
none, surprisal (minus the token's log probability) stands in, which is our default; the row of scores `branch_token`
says which it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from synthflow import ids, registry
from synthflow.contracts import (
    Coverage,
    Estimate,
    Inputs,
    OneOrMore,
    Renderer,
    SamplingParams,
    Services,
    Stage,
    StageConfig,
    StageInfo,
)
from synthflow.contracts.stage_info import verifier_of
from synthflow.rollouts import continuations as sampled
from synthflow.rollouts.prefixes import TEMPLATE, Prefix, prefix_id
from synthflow.rollouts.requests import RolloutIds, ask
from synthflow.rollouts.rows import sampling_row
from synthflow.rollouts.scoring import ENTROPY_TOP, Floats, Scored, ToScore, score
from synthflow.rollouts.step_rows import reject_rows
from synthflow.rollouts.views import check_verdicts, verify_stages
from synthflow.schema import SCORES
from synthflow.segment.entropy import highest, token_starts

SCORER, VERSION = "branch_token", "1"

GUESSED_REST = 0.5
"""For estimates before a run: the share of max_tokens that a branch takes."""

_COLUMNS = (
    "problem_id", "rollout_id", "policy_id", "round", "condition", "prompt", "train_prompt", "completion",
    "prompt_token_ids", "token_ids",
)  # fmt: skip


class BranchConfig(StageConfig):
    """Fields of `sample.branch`."""

    verdicts: str | None = Field(None, description="the verify stage that judges; null where there is one")
    policy: str = Field("default", description="the policy that wrote the rollouts, and branches them")
    n: int = Field(3, ge=1, le=4096, description="branches of each rollout; raising it samples only the new ones")
    top: int = Field(20, ge=1, le=4096, description="tokens of the highest entropies, one of which is drawn")
    top_share: float | None = Field(
        None, gt=0, le=1, description="most of the eligible tokens that count as such, rounded up; null: as many as top"
    )
    above: float | None = Field(None, ge=0, description="nats above which a token counts as such; null: any")
    entropy_top: int = Field(
        ENTROPY_TOP, ge=1, description="likeliest tokens that an entropy is told from, where the backend sees no more"
    )
    temperature: float = Field(1.0, ge=0.0, le=5.0, description="of the branches")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus; 1 is off")
    top_k: int = Field(0, ge=0, description="keep the k likeliest tokens; 0 is off")
    max_tokens: int = Field(1024, ge=1, description="most tokens of a branch, after its prefix")
    stop: OneOrMore = Field((), description="texts that end a branch")

    def params(self) -> SamplingParams:
        return SamplingParams(**self.model_dump(include=set(SamplingParams.model_fields)))

    def sampling_id(self) -> str:
        return ids.sampling_id(self.params().model_dump(), TEMPLATE, "prefix")


@dataclass(frozen=True, slots=True)
class Fork:
    """Where a rollout branches: before token `token`, whose number is `number` nats of `of`."""

    row: Mapping[str, Any]
    token: int
    text: str
    number: float
    of: str
    mean: float
    candidates: int


class Branch(Stage):
    """Sample branches of first rollouts at high-entropy tokens, and judge them."""

    use = "sample.branch"
    version = VERSION
    needs_tokens = True
    added = ("top_share", "above")
    writes_rollouts = True
    Config = BranchConfig
    reads = ("rollouts", "scores", "problems")
    writes = ("rollouts", "scores")
    covers = Coverage("rollouts", "rollout_id", {"rollouts": "parent_rollout_id"})
    summary = "Branch rollouts at high-entropy tokens (CURE), and judge the branches."

    @classmethod
    def scorers(cls, config: Any) -> tuple[str, ...]:
        return (config.policy,)

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        yield from check_verdicts(ancestors, self.config.verdicts)
        known = verify_stages(ancestors)
        chosen = known[0] if self.config.verdicts is None and len(known) == 1 else self.config.verdicts
        for stage in ancestors:
            is_chosen = stage.name == chosen and chosen in known
            if is_chosen and verifier_of(stage.use) not in registry.names("verifiers"):
                what = f"{stage.use} ({stage.name!r}) judges rollouts, and no branch of one"
                yield "verdicts", what, "name the stage of a verifier, such as verify.math"

    def samplings(self) -> Iterable[Mapping[str, Any]]:
        return [sampling_row(self.config.params(), TEMPLATE, "prefix")]

    def estimate(self, upstream: Estimate) -> Estimate:
        config: BranchConfig = self.config
        requests = upstream.rollouts * config.n
        return Estimate(
            upstream.problems,
            upstream.rollouts + requests,
            requests,
            requests * config.max_tokens * GUESSED_REST,
            {"rollouts": requests, "scores": requests + upstream.rollouts},
            note=f"{config.n} branches of each of {upstream.rollouts:.0f} rollouts, which are read once more",
        )

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Branches, their verdicts, where each rollout forked (kind measure), and rejects.

        Raises:
            InfrastructureError: if some readings or branches are still owed.
        """
        config: BranchConfig = self.config
        policy_id = services.identity(config.policy).policy_id
        renderer = services.renderer(config.policy)
        rows, rejects = _to_branch(inputs, policy_id, renderer is not None)
        asks = [ToScore(r["problem_id"], tuple(r["prompt_token_ids"]), tuple(r["token_ids"])) for r in rows]
        forks: list[Fork] = []
        for row, scored in zip(rows, score(asks, config.policy, services, config.entropy_top), strict=True):
            assert renderer is not None  # else there is no row
            fork, reason = _fork(row, scored, renderer, config)
            if fork is None:
                rejects.append((row["problem_id"], row["rollout_id"], reason))
            else:
                forks.append(fork)
        services.count(rows=len(rows), forked=len(forks), rejected=len(rejects))
        found = self._sample(forks, policy_id, services)
        name = config.verdicts if config.verdicts is not None else verify_stages(inputs.ancestors)[-1]
        verify = next(a for a in inputs.ancestors if a.name == name)
        judged = sampled.judge(found, verify, inputs, services)
        fewer = [part for part in (config.top_share, config.above) if part is not None]
        hashed = ids.content_id("c", config.top, config.entropy_top, policy_id, *fewer)
        told = [_measure_row(fork, hashed, services.stage_id) for fork in forks]
        return {
            "rollouts": sampled.rollout_rows(found, config.sampling_id(), policy_id, services.stage_id),
            "scores": pa.concat_tables([judged.scores(services.stage_id), SCORES.from_rows(told)]),
            "telemetry": judged.telemetry(services),
            "rejects": reject_rows(rejects, services.stage_id),
        }

    def _sample(self, forks: Sequence[Fork], policy_id: str, services: Services) -> list[sampled.Continuation]:
        """`n` branches of each fork, those of one side by side."""
        config: BranchConfig = self.config
        params = config.params()
        rollout_ids = RolloutIds(policy_id, config.sampling_id(), services.run_seed)
        places = _places(forks)
        wanted = []
        for fork in forks:
            row, kept = fork.row, tuple(fork.row["token_ids"][: fork.token])
            prefix = Prefix(prefix_id(row, kept), row, kept, fork.text, None)
            key = (row["problem_id"], row["round"], prefix.prefix_id)
            place, sharing = places[row["rollout_id"]]
            for number in range(config.n):
                index = number * sharing + place
                wanted.append((key, prefix, index, sampled.request_after(prefix, index, rollout_ids, params)))
        results = ask([w[3] for w in wanted], config.policy, services)
        return [sampled.Continuation(*w, result) for w, result in zip(wanted, results, strict=True)]


def _to_branch(
    inputs: Inputs, policy_id: str, has_tokenizer: bool
) -> tuple[list[dict[str, Any]], list[tuple[str, str, str]]]:
    """Rollouts to branch, by problem and id; and (problem_id, rollout_id, reason) of the others."""
    rollouts = inputs.frame("rollouts", _COLUMNS, nearest=True).unique("rollout_id", keep="first", maintain_order=True)
    no_tokens = pl.col("token_ids").is_null() | pl.col("prompt_token_ids").is_null()
    reasons = pl.coalesce(
        pl.when(pl.col("condition") != "none").then(pl.lit("not_first_rollout")),
        pl.when(pl.col("policy_id") != policy_id).then(pl.lit("other_policy")),
        pl.when(no_tokens | pl.lit(not has_tokenizer)).then(pl.lit("no_token_ids")),
        pl.when(pl.col("token_ids").list.len() == 0).then(pl.lit("no_branch_token")),
    )
    told = rollouts.with_columns(reasons.alias("reason")).sort("problem_id", "rollout_id")
    left_out = told.filter(pl.col("reason").is_not_null())
    kept = told.filter(pl.col("reason").is_null())
    return kept.to_dicts(), left_out.select("problem_id", "rollout_id", "reason").rows()


def _fork(row: Mapping[str, Any], scored: Scored, renderer: Renderer, config: BranchConfig) -> tuple[Fork | None, str]:
    """Where a rollout branches; or None, and why it does not."""
    if scored.logprobs is None:
        return None, scored.reason or "no_scores"
    of = "surprisal" if scored.entropies is None else "entropy" if scored.exact else "entropy_lower_bound"
    numbers: Floats = -scored.logprobs if scored.entropies is None else scored.entropies
    tokens, text = row["token_ids"], row["completion"]
    ends = np.asarray(renderer.token_ends(tokens), np.int64)
    # Special tokens add no text; one of a single character is no word to think anew about.
    allowed = token_starts(ends) & (np.diff(ends, prepend=0) > 1)
    allowed[1:] &= ends[:-1] < len(text)
    most = config.top if config.top_share is None else min(config.top, ceil(config.top_share * int(allowed.sum())))
    chosen = highest(numbers, allowed, most, config.above)
    if not len(chosen):
        return None, "no_unsure_token" if allowed.any() and config.above is not None else "no_branch_token"
    token = int(chosen[ids.rollout_seed("branch:" + row["rollout_id"]) % len(chosen)])
    kept = text[: int(ends[token - 1])]
    if renderer.decode(tokens[:token]) != kept:
        return None, "tokens_do_not_spell_text"
    return Fork(row, token, kept, float(numbers[token]), of, float(numbers.mean()), len(chosen)), ""


def _places(forks: Sequence[Fork]) -> dict[str, tuple[int, int]]:
    """Of every rollout, its place among those that fork after the same tokens, and how many these are.

    They share a prefix and thereby the ids of its continuations: each takes every so-many-th of them.
    """
    sharing: dict[tuple[str, int, str], list[str]] = {}
    for fork in forks:
        row = fork.row
        key = (row["problem_id"], row["round"], prefix_id(row, row["token_ids"][: fork.token]))
        sharing.setdefault(key, []).append(row["rollout_id"])
    return {rollout: (place, len(group)) for group in sharing.values() for place, rollout in enumerate(sorted(group))}


def _measure_row(fork: Fork, hashed: str, stage_id: str) -> dict[str, Any]:
    """The entropy at which a rollout forks, and what it is compared with: nats."""
    detail = {
        "of": fork.of,
        "token": fork.token,
        "candidates": fork.candidates,
        "mean": round(fork.mean, 6),
    }
    return {
        "problem_id": fork.row["problem_id"],
        "target_kind": "rollout",
        "target_id": fork.row["rollout_id"],
        "kind": "measure",
        "scorer": SCORER,
        "scorer_version": VERSION,
        "config_hash": hashed,
        "value": fork.number,
        "detail": ids.canonical(detail),
        "stage_id": stage_id,
    }
