"""`label.monte_carlo`: what every step is worth, from continuations of the prefix that ends with it.

Invariants: a rollout that is read is labelled or in `rejects`; a labelled one has all of its steps and a row of
values for each, null where its rule did not continue the prefix; a prefix shared by rollouts is continued once; rows
depend on the rollouts of one problem only, so partitions can be cut anywhere.

The estimator is that of Math-Shepherd (Wang et al. 2024) with its soft label, and of VinePPO (Kazemnejad et al. 2024)
for the advantage: the value of a prefix is the share of its continuations that are judged correct, and a step's
advantage is what it adds to the value. Which prefixes are continued how often is a rule's to say (`searchers`).
Intervals, standard errors and `is_first_error` are ours; docs/step-credit.md has the formulas, docs/monte-carlo.md
the rules.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from synthflow import registry
from synthflow.contracts import Coverage, Estimate, Inputs, Renderer, Services, Stage, StageInfo
from synthflow.contracts.stage_info import verifier_of
from synthflow.rollouts import continuations as sampled
from synthflow.rollouts.continuations import Tally
from synthflow.rollouts.prefixes import PrefixCut, PrefixKey, PrefixPlan
from synthflow.rollouts.rows import sampling_row
from synthflow.rollouts.step_rows import reject_rows, step_rows, value_row
from synthflow.rollouts.views import check_verdicts, verify_stages
from synthflow.schema import STEP_VALUES, STEPS
from synthflow.stages.label.entropy_steps import note_cuts
from synthflow.stages.label.monte_carlo_config import LABELER_VERSION, SEARCHES, MonteCarloConfig
from synthflow.stages.label.selection import select
from synthflow.stages.label.values import Evidence, step_columns
from synthflow.stages.label.waves import Search, run_waves, search_of

GUESSED_STEPS, GUESSED_MIXED, GUESSED_REST = 8, 0.6, 0.5
"""For estimates before a run: steps of a rollout, share of mixed groups, share of max_tokens a continuation takes."""
GUESSED_ADAPTIVE, GUESSED_POSTERIOR, GUESSED_WRONG = 0.6, 3, 0.5
"""Share of n_max that an adaptive prefix takes, continuations a step that the posterior takes, wrong rollouts."""


class MonteCarlo(Stage):
    """Value every step by continuing its prefix."""

    use = "label.monte_carlo"
    version = LABELER_VERSION
    needs_tokens = True
    Config = MonteCarloConfig
    reads = ("rollouts", "scores", "problems")
    writes = ("steps", "rollouts", "scores", "step_values")
    covers = Coverage("rollouts", "rollout_id", {"step_values": "rollout_id"})
    summary = "Value steps by continuing their prefixes; advantages with standard errors, first errors by search."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        yield from check_verdicts(ancestors, self.config.verdicts)
        known = verify_stages(ancestors)
        chosen = known[0] if self.config.verdicts is None and len(known) == 1 else self.config.verdicts
        for stage in ancestors:
            if stage.name == chosen and chosen in known:
                yield from _cannot_continue(stage)

    @classmethod
    def policies(cls, config: Any) -> tuple[str, ...]:
        return tuple(dict.fromkeys((config.policy, *config.cutters(config.policy))))

    @classmethod
    def scorers(cls, config: Any) -> tuple[str, ...]:
        cutters: tuple[str, ...] = config.cutters(config.policy)
        return cutters

    def samplings(self) -> Iterable[Mapping[str, Any]]:
        return [sampling_row(self.config.params(), self.config.template, "prefix")]

    def estimate(self, upstream: Estimate) -> Estimate:
        config: MonteCarloConfig = self.config
        labelled = upstream.rollouts * (GUESSED_MIXED if config.groups == "mixed" else 1.0)
        if config.rollouts_per_problem is not None:
            labelled = min(labelled, upstream.problems * config.rollouts_per_problem)
        steps = min(GUESSED_STEPS, config.max_steps)
        requests = labelled * _guessed_requests(config, steps)
        rows = {
            "steps": labelled * steps,
            "step_values": labelled * steps,
            "rollouts": requests,
            "scores": requests,
            "rejects": max(upstream.rollouts - labelled, 0),
        }
        return Estimate(
            upstream.problems,
            upstream.rollouts + requests,
            requests,
            _guessed_tokens(config, labelled, requests),
            rows,
            note=f"guessed: {steps} steps a rollout, {labelled:.0f} rollouts labelled, shared prefixes not deducted",
            most_requests=_most_requests(config, upstream),
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
        cuts: list[PrefixCut] = []
        renderer = services.renderer(config.policy)
        plan = None if renderer is None else _plan(renderer, config)
        rows: Sequence[Mapping[str, Any]] = selected.rows(named=True)
        if plan is not None:
            rows, failed = note_cuts(plan, rows, config, config.policy, services)
            rejects += failed
        for row in rows:
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
        self, cuts: Sequence[PrefixCut], plan: PrefixPlan, policy_id: str, inputs: Inputs, services: Services
    ) -> dict[str, pa.Table]:
        config: MonteCarloConfig = self.config
        name = config.verdicts if config.verdicts is not None else verify_stages(inputs.ancestors)[-1]
        verify = next(a for a in inputs.ancestors if a.name == name)
        searches = [search_of(cut, config) for cut in cuts]
        found = run_waves(searches, plan.prefixes, config, policy_id, verify, inputs, services)
        continuations = found.continuations
        services.count(continuations=len(continuations), unknown=sum(t.unknown for t in found.counts.values()))
        common = {
            "labeler": config.labeler,
            "labeler_version": LABELER_VERSION,
            "config_hash": config.labeler_hash(found.judged.scorer.version, found.judged.scorer.config_hash),
            "policy_id": policy_id,
            "scale": "chance",
            "stage_id": services.stage_id,
        }
        paid: set[PrefixKey] = set()
        values = [row | common for search in searches for row in _value_rows(search, config, found.counts, paid)]
        return {
            "steps": STEPS.from_rows([row for cut in cuts for row in step_rows(cut, services.stage_id)]),
            "step_values": STEP_VALUES.from_rows(values),
            "rollouts": sampled.rollout_rows(continuations, config.sampling_id(), policy_id, services.stage_id),
            "scores": found.judged.scores(services.stage_id),
            "telemetry": found.judged.telemetry(services),
        }


def _guessed_requests(config: MonteCarloConfig, steps: int) -> float:
    """Continuations of one labelled rollout."""
    prefixes = steps - 1 + (config.force_stop is not None)
    if config.method == "bisection":
        return GUESSED_WRONG * math.ceil(math.log2(steps)) * config.n
    if config.method == "posterior":
        return GUESSED_WRONG * min(GUESSED_POSTERIOR * steps, prefixes * config.most)
    return prefixes * float(config.n if config.method == "exhaustive" else GUESSED_ADAPTIVE * config.most)


def _most_requests(config: MonteCarloConfig, upstream: Estimate) -> float:
    """Every rollout is labelled, has as many steps as it may, and takes all that its rule allows."""
    per_problem = config.rollouts_per_problem
    labelled = upstream.rollouts if per_problem is None else min(upstream.rollouts, upstream.problems * per_problem)
    steps = config.max_steps if config.entropy_steps is None else config.entropy_steps.top + 1
    return labelled * (steps - 1 + (config.force_stop is not None)) * config.most


def _guessed_tokens(config: MonteCarloConfig, labelled: float, requests: float) -> float:
    tokens = requests * config.max_tokens * GUESSED_REST
    return tokens if config.token_budget is None else min(tokens, labelled * config.token_budget)


def _cannot_continue(verify: StageInfo) -> Iterable[tuple[str, str, str]]:
    """A stage that asks a model or a group about whole rollouts has nothing to say about one continuation."""
    if verifier_of(verify.use) not in registry.names("verifiers"):
        what = f"{verify.use} ({verify.name!r}) judges rollouts, and no continuation of one"
        yield "verdicts", what, "name the stage of a verifier, such as verify.math"


def _plan(renderer: Renderer, config: MonteCarloConfig) -> PrefixPlan:
    forced = () if config.force_stop is None else tuple(renderer.encode(config.force_stop))
    return PrefixPlan(renderer, config.cutter(), forced)


def _value_rows(
    search: Search, config: MonteCarloConfig, counts: Mapping[PrefixKey, Tally], paid: set[PrefixKey]
) -> Iterable[dict[str, Any]]:
    """Rows of one rollout. The tokens of a shared prefix are booked on the first that has it, so that sums hold; those
    of the prompt under a forced stop on the first step."""
    cut = search.cut
    row = cut.row
    tallies = [counts.get(key, Tally()) if key is not None else Tally() for key in cut.keys]
    prompt = Evidence(row["n_correct"], row["n_correct"] + row["n_wrong"], "prompt")
    if cut.prompt is not None:
        prompt = Evidence(tallies[0].successes, tallies[0].judged)
    columns = step_columns(prompt, [*_evidence(cut, tallies[1:], prompt)], row["verdict"], config.label)
    chances = None
    if config.method in SEARCHES:
        error = None if search.searcher is None else search.searcher.first_error()
        if error is not None:
            columns = replace(columns, first_error=error.index)
            chances = error.chances
    spent = []
    for key, tally in zip(cut.keys, tallies, strict=True):
        spent.append(0 if key in paid else tally.tokens)
        if key is not None:
            paid.add(key)
    for index, tally in enumerate(tallies[1:]):
        yield value_row(cut, index, columns) | {
            "n": tally.judged,
            "successes": tally.successes,
            "n_unknown": tally.unknown,
            "tokens_spent": spent[index + 1] + (spent[0] if index == 0 else 0),
            "p_first_error": None if chances is None else float(chances[index]),
        }


def _evidence(cut: PrefixCut, tallies: Sequence[Tally], prompt: Evidence) -> Iterable[Evidence]:
    last = len(tallies) - 1
    for index, (key, tally) in enumerate(zip(cut.prefixes, tallies, strict=True)):
        if index == last and cut.row["verdict"] != "unknown":
            yield Evidence(int(cut.row["verdict"] == "correct"), 1, "verdict")
        elif key is None:  # a prefix without tokens is the prompt
            yield prompt
        else:
            yield Evidence(tally.successes, tally.judged)
