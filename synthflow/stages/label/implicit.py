"""`label.implicit`: process rewards for nothing but two readings, from a policy and its reference.

Invariants: a rollout that is read is labelled or in `rejects`; the two policies read token ids alike, or the stage
stops; a labelled rollout has all of its steps, a row of values for each, on the scale `reward`, and a row of scores
with the response's reward (kind measure, scorer `implicit_reward`), which the rewards of its steps add up to. Nothing
is sampled. Where a policy gives no usable numbers (refused, not finite), that row says why and has no value.

The formula is that of `implicit_rewards`. The log probabilities come from the scoring pass (`stages.scoring`), over the
rollout's tokens as they were sampled, stop token included, after its own prompt tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from synthflow import ids
from synthflow.contracts import Coverage, Estimate, Inputs, Renderer, Services, Stage, StageInfo
from synthflow.errors import UserError
from synthflow.rollouts.cutting import Cut
from synthflow.rollouts.prefixes import PrefixCut, PrefixPlan
from synthflow.rollouts.questions import note
from synthflow.rollouts.scoring import Scored, ToScore, same_vocabulary, score
from synthflow.rollouts.step_rows import Values, reject_rows, step_rows, value_row
from synthflow.rollouts.views import check_verdicts
from synthflow.schema import SCORES, STEP_VALUES, STEPS
from synthflow.stages.label.config import WHICH
from synthflow.stages.label.entropy_steps import EntropyConfig, note_cuts
from synthflow.stages.label.implicit_rewards import step_rewards
from synthflow.stages.label.selection import select

LABELER, LABELER_VERSION, SCORER = "implicit", "1", "implicit_reward"

GUESSED_STEPS, GUESSED_MIXED = 8, 0.6
"""For estimates before a run: steps of a rollout, share of mixed groups."""

_NOTHING = {"n": 0, "successes": 0, "n_unknown": 0, "tokens_spent": 0}
"""What was sampled for a value."""


class ImplicitConfig(EntropyConfig):
    """The two policies and the scale, beside the fields of every labeler."""

    policy: str = Field("default", description="the policy whose log probabilities count: an outcome reward model, say")
    reference: str = Field(description="the policy that they are compared with; same vocabulary")
    beta: float = Field(0.05, gt=0.0, le=1e6, description="reward per nat of the log ratio (our default)")

    def labeler_hash(self, *others: str) -> str:
        """Without the reference's name, which another spec may choose otherwise: its id is among `others`."""
        fields: dict[str, Any] = self.model_dump(mode="json", exclude=WHICH | {"reference"})
        return ids.content_id("c", fields, *others)


class Implicit(Stage):
    """Value every step by the log ratio of two policies."""

    use = "label.implicit"
    version = LABELER_VERSION
    Config = ImplicitConfig
    reads = ("rollouts", "scores")
    writes = ("steps", "scores", "step_values")
    covers = Coverage("rollouts", "rollout_id", {"step_values": "rollout_id"})
    summary = "Value every step by the log ratio of a policy and its reference; samples nothing."

    @classmethod
    def policies(cls, config: Any) -> tuple[str, ...]:
        return tuple(dict.fromkeys((config.policy, config.reference, *config.cutters(config.policy))))

    @classmethod
    def scorers(cls, config: Any) -> tuple[str, ...]:
        return cls.policies(config)

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        yield from check_verdicts(ancestors, self.config.verdicts)
        if self.config.reference == self.config.policy:
            what = f"{self.config.reference!r} is the policy itself, and every reward would be 0"
            yield "reference", what, "name another entry of policies, such as the model that policy was trained from"

    def estimate(self, upstream: Estimate) -> Estimate:
        config: ImplicitConfig = self.config
        labelled = upstream.rollouts * (GUESSED_MIXED if config.groups == "mixed" else 1.0)
        if config.rollouts_per_problem is not None:
            labelled = min(labelled, upstream.problems * config.rollouts_per_problem)
        steps = min(GUESSED_STEPS, config.max_steps) * labelled
        rows = {"steps": steps, "step_values": steps, "scores": labelled, "rejects": upstream.rollouts - labelled}
        note_ = f"guessed: {labelled:.0f} rollouts labelled; each is read twice, and nothing is sampled"
        return Estimate(upstream.problems, upstream.rollouts, rows=rows, note=note_)

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Steps, their values, the rewards of whole responses, and rejects.

        Raises:
            UserError: if the two policies are one, or read token ids differently.
            InfrastructureError: if some readings are still owed.
        """
        config: ImplicitConfig = self.config
        self._check_policies(services)
        selected, left_out = select(inputs, config)
        rejects = left_out.rows()
        renderer = services.renderer(config.policy) or services.renderer(config.reference)
        cuts = self._cut(selected.rows(named=True), renderer, services, rejects)
        asks = [_ask(cut) for cut in cuts]
        under = [score(asks, name, services) for name in (config.policy, config.reference)]
        hashed = config.labeler_hash(services.identity(config.reference).policy_id)
        steps: list[dict[str, Any]] = []
        values: list[dict[str, Any]] = []
        scores: list[dict[str, Any]] = []
        for cut, policy, reference in zip(cuts, *under, strict=True):
            rewards, failed = _rewards(cut, policy, reference, config.beta)
            scores.append(self._score_row(cut, rewards, failed, hashed, services.stage_id))
            if rewards is None:
                rejects.append((cut.row["problem_id"], cut.row["rollout_id"], str(failed.reason)))
                continue
            steps += step_rows(cut, services.stage_id)
            values += [
                value_row(cut, index, rewards) | _NOTHING | self._who(hashed, services)
                for index in range(len(cut.spans))
            ]
        services.count(rows=selected.height, labelled=selected.height - len(rejects) + left_out.height)
        return {
            "steps": STEPS.from_rows(steps),
            "step_values": STEP_VALUES.from_rows(values),
            "scores": SCORES.from_rows(scores),
            "rejects": reject_rows(rejects, services.stage_id),
        }

    def _check_policies(self, services: Services) -> None:
        config: ImplicitConfig = self.config
        policy, reference = (services.identity(name) for name in (config.policy, config.reference))
        where = f"stage {self.name!r}: policies {config.policy!r} and {config.reference!r}"
        if policy.policy_id == reference.policy_id:
            raise UserError(f"{where} are the same model, so every reward would be 0; name another as reference")
        if not same_vocabulary(config.policy, config.reference, services):
            raise UserError(
                f"{where} have different tokenizers, so a token id means two things; take a reference with the same "
                "vocabulary, such as the model that the policy was trained from"
            )

    def _cut(
        self,
        rows: Sequence[Mapping[str, Any]],
        renderer: Renderer | None,
        services: Services,
        rejects: list[tuple[str, str, str]],
    ) -> list[PrefixCut]:
        """The rollouts in steps; those that cannot be cut go to `rejects`."""
        config: ImplicitConfig = self.config
        if renderer is None:
            rejects += [(row["problem_id"], row["rollout_id"], "no_token_ids") for row in rows]
            return []
        plan = PrefixPlan(renderer, config.cutter())
        rows, failed = note_cuts(plan, rows, config, config.policy, services)
        rejects += failed
        cuts = []
        for row in rows:
            cut = plan.cut(row)
            if cut is None:
                rejects.append((row["problem_id"], row["rollout_id"], "tokens_do_not_spell_text"))
            else:
                cuts.append(cut)
        return cuts

    def _who(self, hashed: str, services: Services) -> dict[str, Any]:
        return {
            "labeler": LABELER,
            "labeler_version": LABELER_VERSION,
            "config_hash": hashed,
            "policy_id": services.identity(self.config.policy).policy_id,
            "scale": "reward",
            "stage_id": services.stage_id,
        }

    def _score_row(
        self, cut: Cut, rewards: Values | None, failed: Scored, hashed: str, stage_id: str
    ) -> dict[str, Any]:
        return {
            "problem_id": cut.row["problem_id"],
            "target_kind": "rollout",
            "target_id": cut.row["rollout_id"],
            "kind": "measure",
            "scorer": SCORER,
            "scorer_version": LABELER_VERSION,
            "config_hash": hashed,
            "value": None if rewards is None else float(rewards.value[-1]),
            "reason": None if rewards is not None else failed.reason,
            "detail": None if rewards is not None else note(failed.words),
            "stage_id": stage_id,
        }


def _ask(cut: Cut) -> ToScore:
    row = cut.row
    return ToScore(row["problem_id"], tuple(row["prompt_token_ids"]), tuple(row["token_ids"]))


def _rewards(cut: PrefixCut, policy: Scored, reference: Scored, beta: float) -> tuple[Values | None, Scored]:
    """The rewards of a rollout's steps; or None, and the reading that failed."""
    for reading in (policy, reference):
        if reading.logprobs is None:
            return None, reading
    assert policy.logprobs is not None and reference.logprobs is not None
    rewards = step_rewards(policy.logprobs, reference.logprobs, cut.tokens, beta)
    if not np.isfinite(rewards.value).all():
        return None, Scored(None, reason="scores_not_finite", words="the sum of the log ratios leaves float32")
    return rewards, policy
