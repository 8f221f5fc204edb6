"""`sample.tree`: a tree of rollouts for every problem, judged as it grows.

Invariants: what is sampled is written as it was sampled, first rollouts (condition none) and continuations (prefix);
for each continuation that was not refused there is the whole path too (condition tree): the tokens that it continues
and its own, as one completion to the problem's prompt, with an id of its own and the same verdict. So whoever reads
whole rollouts reads the tree's paths, and pass rates, which count first rollouts, stay those of the policy.

The search is Monte Carlo tree search with complete roll-forwards: select a node, continue it to the end `branch` times,
judge, and let the outcomes count for every node on the way (`trees.select`, `trees.tree`). `search: best_of_n` spends
the same budget on first rollouts: the control that every search is to be compared with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from synthflow import registry
from synthflow.contracts import Coverage, Estimate, Inputs, Services, Stage, StageInfo
from synthflow.rollouts.questions import problems_by_id
from synthflow.rollouts.rows import sampling_row
from synthflow.rollouts.verdicts import mistakes
from synthflow.stages.sample.tree_config import TEMPLATES, TreeSearchConfig
from synthflow.stages.sample.tree_search import Forest

GUESSED_LENGTH = 0.5
"""For estimates before a run: share of max_tokens that a sample takes."""


class SampleTree(Stage):
    """Grow a tree of rollouts for every problem."""

    use = "sample.tree"
    version = "1"
    needs_tokens = True
    gives_verdicts = True
    writes_rollouts = True
    Config = TreeSearchConfig
    reads = ("problems",)
    writes = ("rollouts", "scores")
    covers = Coverage("problems", "problem_id", {"rollouts": "problem_id"})
    summary = "Search a tree of rollouts for every problem (UCT, PUCT), or as many first rollouts for the same tokens."

    @classmethod
    def resolve_paths(cls, given: Mapping[str, Any], base_dir: Path) -> dict[str, Any]:
        name = given.get("verifier", TreeSearchConfig.model_fields["verifier"].default)
        options = given.get("verifier_options")
        if name not in registry.names("verifiers") or not isinstance(options, Mapping):
            return dict(given)
        return {**given, "verifier_options": registry.load("verifiers", name).resolve_paths(options, base_dir)}

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        return mistakes(self.config.verifier, self.config.verifier_options)

    def identity(self) -> Mapping[str, Any]:
        from synthflow.verifiers.opening import open_verifier

        opened = open_verifier(self.config.verifier, self.config.verifier_options)
        try:
            said = opened.identity()
        finally:
            opened.close()
        # What it says replaces its options, in which there may be paths of this machine.
        return {"verifier_options": said.model_dump(mode="json") if hasattr(said, "model_dump") else said}

    def full_version(self) -> str:
        """The stage's version and the verifier's with its libraries: another library may judge otherwise."""
        from synthflow.verifiers.opening import open_verifier

        opened = open_verifier(self.config.verifier, self.config.verifier_options)
        try:
            return f"{self.version}+{opened.full_version()}"
        finally:
            opened.close()

    def samplings(self) -> Iterable[Mapping[str, Any]]:
        conditions = ["none"] if self.config.search == "best_of_n" else list(TEMPLATES)
        return [sampling_row(self.config.params(), TEMPLATES[name], name) for name in conditions]

    def estimate(self, upstream: Estimate) -> Estimate:
        config: TreeSearchConfig = self.config
        samples = most = float(config.first + config.iterations * config.branch)
        tokens = samples * config.max_tokens * GUESSED_LENGTH
        if config.tokens is not None and config.tokens < tokens:
            samples, tokens = samples * config.tokens / tokens, config.tokens
        requests = upstream.problems * samples
        paths = 0 if config.search == "best_of_n" else requests - upstream.problems * min(config.first, samples)
        return Estimate(
            upstream.problems,
            upstream.rollouts + requests,
            requests,
            upstream.problems * tokens,
            {"rollouts": requests + paths, "scores": requests + paths},
            note=f"{samples:.0f} samples a problem, guessed: {GUESSED_LENGTH:g} of max_tokens each",
            most_requests=upstream.problems * most,
        )

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Rollouts and their verdicts.

        Raises:
            InfrastructureError: if some samples are still owed.
        """
        forest = Forest(self.config, services)
        problems = problems_by_id(inputs)
        forest.grow(problems[name] for name in sorted(problems))
        return forest.tables()
