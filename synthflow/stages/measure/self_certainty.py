"""`measure.self_certainty`: how far a policy's next-token distributions are from uniform along its own rollouts.

Self-certainty (Kang et al. 2025, "Scalable Best-of-N Selection for Large Language Models via Self-Certainty") of a
completion y of n tokens, with V tokens in the vocabulary: SC = -(1/(nV)) · sum_i sum_j log(V · p(j | x, y_<i)), the
mean over its tokens of the Kullback-Leibler divergence of the uniform distribution from the policy's, in nats. It
needs whole distributions, which no journal keeps, so the policy's model reads each rollout once more (one forward
pass).

Invariants: the tokens read are those that were sampled, the stop token included; a row's value depends on its own
rollout alone (no padding, rounded to five decimals); the model is the one that sampled, told by its policy_id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field

from synthflow import ids
from synthflow.contracts import UNANSWERED, Coverage, Estimate, Inputs, Services, Stage, StageConfig, StageInfo
from synthflow.errors import UserError
from synthflow.models.directories import identify, resolve_model
from synthflow.rollouts import score_rows as shared
from synthflow.rollouts.eligibility import split
from synthflow.rollouts.groups import GROUP
from synthflow.rollouts.score_rows import Scorer
from synthflow.schema import SCORES

_DECIMALS = 5
_COLUMNS = ("rollout_id", *GROUP, "condition", "finish_reason", "prompt_token_ids", "token_ids")


class SelfCertaintyConfig(StageConfig):
    """Fields of `measure.self_certainty`."""

    model: str = Field(description="demo, a directory or a hub name: the local copy of the policy that sampled")
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="cpu, cuda or cuda:N")
    max_length: int = Field(8192, ge=2, description="most tokens of prompt and completion together; longer: no value")


class SelfCertainty(Stage):
    """Mean divergence of the uniform distribution from the policy's, over the tokens of each rollout."""

    use = "measure.self_certainty"
    version = "1"
    Config = SelfCertaintyConfig
    needs_packages = dict.fromkeys(("torch", "transformers"), "synthflow[transformers]")
    reads = ("rollouts",)
    writes = ("scores",)
    covers = Coverage("rollouts", "rollout_id", {"scores": "target_id"})
    identity_excludes = ("model", "device")
    summary = "How sure the policy was of each rollout, by its whole distributions; ranks votes (weigh: borda)."

    @cached_property
    def _policy_id(self) -> str:
        return identify(resolve_model(self.config.model)).policy_id

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        try:
            resolve_model(self.config.model)
        except UserError as error:
            yield "model", str(error), "name the local copy of the policy"

    def identity(self) -> Mapping[str, Any]:
        return {"policy_id": self._policy_id}

    def full_version(self) -> str:
        return f"{self.version}+transformers {version('transformers')}+torch {version('torch')}"

    def estimate(self, upstream: Estimate) -> Estimate:
        return Estimate(
            upstream.problems, upstream.rollouts, rows={"scores": upstream.rollouts}, note="reads, samples nothing"
        )

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """One score of kind measure a rollout; null with its reason where there are no tokens to read.

        Raises:
            UserError: if another policy than the model sampled, or the model cannot be loaded.
        """
        rollouts, rejects = split(shared.read(inputs, _COLUMNS), services.stage_id)
        own = ids.content_id("c", self._policy_id, self.config.max_length)
        scorer = Scorer("self_certainty", self.full_version(), own)
        rows = []
        for row in rollouts.iter_rows(named=True):
            if row["policy_id"] != self._policy_id:
                raise UserError(
                    f"stage {self.name!r}: rollout {row['rollout_id']} is of policy {row['policy_id']}, and model "
                    f"{self.config.model!r} is {self._policy_id}; name the model that sampled"
                )
            value, reason = self._value(row)
            rows.append(shared.plain_measure_row(row, value, scorer, services.stage_id, reason))
        services.count(rows=len(rows))
        return {"scores": SCORES.from_rows(rows), "rejects": rejects}

    def _value(self, row: Mapping[str, Any]) -> tuple[float | None, str | None]:
        prompt, tokens = row["prompt_token_ids"], row["token_ids"]
        if not tokens or not prompt:
            return None, row["finish_reason"] if row["finish_reason"] in UNANSWERED else "no_tokens"
        if len(prompt) + len(tokens) > self.config.max_length:
            return None, "too_long"
        value = self_certainty(_model(resolve_model(self.config.model), self.config.device), prompt, tokens)
        return value, None


def self_certainty(model: Any, prompt: Sequence[int], tokens: Sequence[int]) -> float:
    """SC of `tokens` after `prompt` under a causal language model of transformers, in nats; rounded to five decimals.

    Position i of the logits is what produced token i: the last of the prompt's for the first token.
    """
    import torch

    with torch.inference_mode():
        read = torch.tensor([[*prompt, *tokens[:-1]]], device=model.device)
        logits = model(input_ids=read).logits[0, len(prompt) - 1 :].double()
        log_p = logits.log_softmax(-1)
        divergence = -log_p.mean(-1) - torch.log(torch.tensor(float(log_p.shape[-1])))
    return round(float(divergence.mean()), _DECIMALS)


@lru_cache(maxsize=1)
def _model(directory: Path, device: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, local_files_only=True)
    except (OSError, ValueError, ImportError) as error:
        first = str(error).strip().partition("\n")[0][:300]
        raise UserError(f"measure.self_certainty: {directory} cannot be loaded: {first}") from error
    return model.eval().to(device)
