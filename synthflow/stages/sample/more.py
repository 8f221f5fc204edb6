"""`sample.more`: the further rollouts that a budget gives each problem.

Invariants: the rollouts of a problem go on where those above end, with the policy, round and sampling of the first
wave: they are the ones that `sample` with a larger n would have sampled, under the same ids, so that nothing is paid
twice and both waves are one group. A problem that gets none stands in `rejects` (reason `no_budget`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import polars as pl
import pyarrow as pa

from synthflow.contracts import Estimate, Inputs, Services, StageInfo
from synthflow.rollouts.first_wave import BUDGET, check_first_wave, first_wave
from synthflow.rollouts.problem_measures import problem_measure, problem_rejects
from synthflow.rollouts.views import first_rollouts
from synthflow.stages.sample.first import FirstRollouts, FirstRolloutsConfig

GUESSED_REST = 0.5
"""For estimates of a budget in tokens: share of max_tokens that a completion takes."""


class SampleMoreConfig(FirstRolloutsConfig):
    """Fields of `sample.more`: those of the first wave, which have to be the same."""


class SampleMore(FirstRollouts):
    """Sample as many further rollouts of each problem as the budget above says."""

    use = "sample.more"
    version = "1"
    writes_rollouts = True
    enlarges_groups = True
    Config = SampleMoreConfig
    reads = ("problems", "rollouts", "scores")
    summary = "Sample the further rollouts that a budget gives each problem: a second wave."

    def check(self, ancestors: Sequence[StageInfo]) -> list[tuple[str, str, str]]:
        return [*super().check(ancestors), *self._other_than_first(ancestors)]

    def _other_than_first(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        budgets = [a for a in ancestors if a.name in self.config.of and a.has("sets_budgets")]
        if len(budgets) != 1:
            found = f"{len(budgets)} of the stages in `of` are a {BUDGET}"
            yield "of", found, f"name one {BUDGET}, and nothing else that says how much to sample"
            return
        named = budgets[0].config["rollouts"]
        if any(check_first_wave(ancestors, named)):
            return  # the budget says so itself
        first = first_wave(ancestors, named)
        mine = self.config.model_dump(mode="json")
        for field in FirstRolloutsConfig.model_fields:
            if field not in ("use", "of") and mine[field] != first.config[field]:
                what = f"{mine[field]!r} is not that of the first wave: {first.name!r} has {first.config[field]!r}"
                yield field, what, f"write {field}: {first.config[field]}"

    def estimate(self, upstream: Estimate) -> Estimate:
        most = self.config.max_tokens
        tokens = upstream.asked.get("tokens", 0.0)
        rollouts = upstream.asked.get("rollouts", 0.0) + tokens / (most * GUESSED_REST)
        return Estimate(
            problems=upstream.problems,
            rollouts=upstream.rollouts + rollouts,
            requests=rollouts,
            tokens=tokens or rollouts * most,
            rows={"rollouts": rollouts},
            note=f"the budget's {tokens:.0f} tokens" if tokens else f"the budget's, at most {most} tokens each",
            # A rollout of one token is the cheapest that a budget in tokens may count with.
            most_requests=max(rollouts, min(tokens, upstream.asked.get("most", tokens))),
        )

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Rollouts, and the problems that get none as rejects.

        Raises:
            InfrastructureError: if some rollouts are still owed.
        """
        budget = next(a for a in inputs.ancestors if a.name in inputs.parents and a.has("sets_budgets"))
        asked = problem_measure(inputs, budget.name, budget.use).select("problem_id", pl.col("detail").cast(pl.Int64))
        extra = dict(asked.filter(pl.col("detail") > 0).iter_rows())
        start = self._next_indices(inputs, services)
        indices = {problem: range(start[problem], start[problem] + n) for problem, n in extra.items()}
        made = self.sampled(inputs, services, lambda problem: indices.get(problem, range(0)))
        problems = inputs.frame("problems", ["problem_id"], nearest=True)["problem_id"].unique().sort()
        left = [problem for problem in problems if problem not in indices]
        services.count(rows=made["rollouts"].num_rows, without=len(left))
        rejects = problem_rejects(left, ["no_budget"] * len(left), services.stage_id)
        return made | {"rejects": pa.concat_tables([rejects, *([made["rejects"]] if "rejects" in made else [])])}

    def _next_indices(self, inputs: Inputs, services: Services) -> dict[str, int]:
        """The first index that is free, of every problem of the first wave."""
        policy = services.identity(self.config.policy).policy_id
        mine = (
            (pl.col("policy_id") == policy)
            & (pl.col("round") == services.round)
            & (pl.col("sampling_id") == self.config.sampling_id())
        )
        columns = ["problem_id", "policy_id", "round", "sampling_id", "index"]
        taken = first_rollouts(inputs, columns).filter(mine).group_by("problem_id").agg(pl.col("index").max() + 1)
        return dict(taken.select("problem_id", "index").iter_rows())
