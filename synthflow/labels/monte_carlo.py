"""`label.monte_carlo`: what every step is worth, from continuations of the prefix that ends with it.

Invariants: a rollout that is read is labelled or in `rejects`; a labelled one has all of its steps and a row of
values for each; a prefix shared by rollouts is continued once; rows depend on the rollouts of one problem only, so
partitions can be cut anywhere.

The estimator is that of Math-Shepherd (Wang et al. 2024) with its soft label, and of VinePPO (Kazemnejad et al. 2024)
for the advantage: the value of a prefix is the share of its continuations that are judged correct, and a step's
advantage is what it adds to the value. Intervals, standard errors and `is_first_error` are ours; docs/step-credit.md
has the formulas.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from synthflow import registry
from synthflow.contracts import Coverage, Inputs, Services, Stage, StageInfo, Volume
from synthflow.labels import continuations as sampled
from synthflow.labels.config import LABELER, LABELER_VERSION, TEMPLATE, MonteCarloConfig
from synthflow.labels.continuations import Tally
from synthflow.labels.prefixes import Cut, PrefixKey, PrefixPlan
from synthflow.labels.rows import reject_rows, step_rows, value_row
from synthflow.labels.selection import select
from synthflow.labels.values import Evidence, step_columns
from synthflow.schema import STEP_VALUES, STEPS
from synthflow.stages.rollouts import sampling_row
from synthflow.stages.views import check_verdicts, verify_stages

if TYPE_CHECKING:
    from synthflow.backends.renderer import Renderer

GUESSED_STEPS, GUESSED_MIXED, GUESSED_REST = 8, 0.6, 0.5
"""For estimates before a run: steps of a rollout, share of mixed groups, share of max_tokens a continuation takes."""


class MonteCarlo(Stage):
    """Value every step by continuing its prefix."""

    use = "label.monte_carlo"
    version = LABELER_VERSION
    Config = MonteCarloConfig
    reads = ("rollouts", "scores", "problems")
    writes = ("steps", "rollouts", "scores", "step_values")
    covers = Coverage("rollouts", "rollout_id", {"step_values": "rollout_id"})
    summary = "Value every step by continuing its prefix n times; advantages with standard errors."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        yield from check_verdicts(ancestors, self.config.verdicts)
        known = verify_stages(ancestors)
        chosen = known[0] if self.config.verdicts is None and len(known) == 1 else self.config.verdicts
        for stage in ancestors:
            if stage.name == chosen and chosen in known:
                yield from _cannot_continue(stage)

    def samplings(self) -> Iterable[Mapping[str, Any]]:
        return [sampling_row(self.config.params(), TEMPLATE, "prefix")]

    def estimate(self, upstream: Volume) -> Volume:
        config: MonteCarloConfig = self.config
        labelled = upstream.rollouts * (GUESSED_MIXED if config.groups == "mixed" else 1.0)
        if config.rollouts_per_problem is not None:
            labelled = min(labelled, upstream.problems * config.rollouts_per_problem)
        steps = min(GUESSED_STEPS, config.max_steps)
        requests = labelled * (steps - 1) * config.n
        rows = {
            "steps": labelled * steps,
            "step_values": labelled * steps,
            "rollouts": requests,
            "scores": requests,
            "rejects": max(upstream.rollouts - labelled, 0),
        }
        return Volume(
            upstream.problems,
            upstream.rollouts + requests,
            requests,
            requests * config.max_tokens * GUESSED_REST,
            rows,
            note=f"guessed: {steps} steps a rollout, {labelled:.0f} rollouts labelled, shared prefixes not deducted",
        )

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Steps, their values, the continuations with their verdicts, and rejects.

        Raises:
            InfrastructureError: if some continuations are still owed.
        """
        config: MonteCarloConfig = self.config
        policy_id = services.identity(config.policy).policy_id
        selected, left_out = select(inputs, config, policy_id)
        rejects = left_out.rows()
        cuts: list[Cut] = []
        renderer = services.renderer(config.policy)
        plan = None if renderer is None else _plan(renderer, config)
        for row in selected.iter_rows(named=True):
            cut = plan.cut(row) if plan is not None else None
            if cut is not None:
                cuts.append(cut)
            else:
                reason = "no_token_ids" if plan is None else "tokens_do_not_spell_text"
                rejects.append((row["problem_id"], row["rollout_id"], reason))
        tables: dict[str, pa.Table] = {"rejects": reject_rows(rejects, services.stage_id)}
        if cuts and plan is not None:
            tables |= self._label(cuts, plan, policy_id, inputs, services)
        services.count(rows=selected.height, labelled=len(cuts), rejected=len(rejects))
        return tables

    def _label(
        self, cuts: Sequence[Cut], plan: PrefixPlan, policy_id: str, inputs: Inputs, services: Services
    ) -> dict[str, pa.Table]:
        config: MonteCarloConfig = self.config
        found = sampled.sample(plan.in_order(), config, policy_id, services)
        name = config.verdicts if config.verdicts is not None else verify_stages(inputs.ancestors)[-1]
        verify = next(a for a in inputs.ancestors if a.name == name)
        verdicts = sampled.judge(found, verify, inputs, services)
        counts = sampled.tally(found, verdicts)
        services.count(continuations=len(found), unknown=sum(t.unknown for t in counts.values()))
        common = {
            "labeler": LABELER,
            "labeler_version": LABELER_VERSION,
            "config_hash": config.labeler_hash(verdicts.version, verdicts.config_hash),
            "policy_id": policy_id,
            "scale": "chance",
            "stage_id": services.stage_id,
        }
        paid: set[PrefixKey] = set()
        values = [row | common for cut in cuts for row in _value_rows(cut, counts, paid)]
        return {
            "steps": STEPS.from_rows([row for cut in cuts for row in step_rows(cut, services.stage_id)]),
            "step_values": STEP_VALUES.from_rows(values),
            "rollouts": sampled.rollout_rows(found, config.sampling_id(), policy_id, services.stage_id),
            "scores": sampled.score_rows(found, verdicts, services.stage_id),
            "telemetry": sampled.telemetry_rows(found, verdicts, services),
        }


def _cannot_continue(verify: StageInfo) -> Iterable[tuple[str, str, str]]:
    """A stage that asks a model or a group about whole rollouts has nothing to say about one continuation."""
    if verify.use.removeprefix("verify.") not in registry.names("verifiers"):
        what = f"{verify.use} ({verify.name!r}) judges rollouts, and no continuation of one"
        yield "verdicts", what, "name the stage of a verifier, such as verify.math"


def _plan(renderer: Renderer, config: MonteCarloConfig) -> PrefixPlan:
    return PrefixPlan(renderer, config.segmenter, config.max_steps, config.overflow)


def _value_rows(cut: Cut, counts: Mapping[PrefixKey, Tally], paid: set[PrefixKey]) -> Iterable[dict[str, Any]]:
    """Rows of one rollout. The tokens of a shared prefix are booked on the first that has it, so that sums hold."""
    row = cut.row
    prompt = Evidence(row["n_correct"], row["n_correct"] + row["n_wrong"], "prompt")
    tallies = [counts.get(key, Tally()) if key is not None else Tally() for key in cut.prefixes]
    columns = step_columns(prompt, [*_evidence(cut, tallies, prompt)], row["verdict"])
    for index, (key, tally) in enumerate(zip(cut.prefixes, tallies, strict=True)):
        yield value_row(cut, index, columns) | {
            "n": tally.judged,
            "successes": tally.successes,
            "n_unknown": tally.unknown,
            "tokens_spent": 0 if key in paid else tally.tokens,
        }
        if key is not None:
            paid.add(key)


def _evidence(cut: Cut, tallies: Sequence[Tally], prompt: Evidence) -> Iterable[Evidence]:
    last = len(tallies) - 1
    for index, (key, tally) in enumerate(zip(cut.prefixes, tallies, strict=True)):
        if index == last and cut.row["verdict"] != "unknown":
            yield Evidence(int(cut.row["verdict"] == "correct"), 1, "verdict")
        elif key is None:  # a prefix without tokens is the prompt
            yield prompt
        else:
            yield Evidence(tally.successes, tally.judged)
