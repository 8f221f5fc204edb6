"""`verify.vote`: the answer that a group agrees on, where nobody knows the right one.

Invariants: a group is all rollouts of one problem, policy, round and sampling, and lies in one partition, so no row
depends on how a run is cut; answers are found and compared as `verify.math` does it, without a gold answer; a rollout
is wrong only if its answer was told apart from the winner, and unknown where the comparison failed. What the majority
says is no truth: a policy that errs in one way outvotes itself (docs/judges.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import polars as pl
import pyarrow as pa
from pydantic import Field

from synthflow import ids
from synthflow.contracts import Coverage, Estimate, Inputs, Judgement, Services, Stage, StageInfo, VerifyConfig
from synthflow.errors import UserError
from synthflow.judges.samples import verdict_value
from synthflow.rollouts import score_rows as shared
from synthflow.rollouts.eligibility import split, verdict_from_finish_reason
from synthflow.rollouts.groups import by_group
from synthflow.rollouts.score_rows import Scorer
from synthflow.stages.verify.equivalence import Classes, Equivalence, classify
from synthflow.stages.verify.voting import Election, borda_votes, elect
from synthflow.verifiers.answers.finding.extract import Extraction

NAME, VERSION = "vote", "1"
_NOT_HASHED = {"use", "of"}


class VoteConfig(VerifyConfig):
    """Fields of `verify.vote`."""

    weigh: Literal["count", "borda", "value"] = Field(
        "count", description="count: a vote each; borda: by rank of confidence; value: by a scorer's value"
    )
    scores: str | None = Field(
        None, description="the stage whose values rank or weigh the votes; null (borda): mean log probability of tokens"
    )
    scorer: str | None = Field(None, description="which of its scorers; null: its verdicts, or its only one")
    power: float = Field(1.0, ge=0, le=10, description="borda: rank r of N gives (N - r + 1)^power votes; 0 is count")
    min_share: float = Field(0.5, ge=0.01, le=1, description="share of the votes that the winning answer needs")
    min_votes: int = Field(3, ge=1, description="answers below which nobody wins")
    equivalence: Equivalence = Field("math", description="math: as verify.math compares; text: as verify.exact does")
    extract: Extraction = Field("any", description="where the answer stands: any, or boxed")
    timeout_s: float = Field(3.0, gt=0, le=600, description="wall-clock seconds a comparison may take")
    max_classes: int = Field(
        64, ge=2, le=1000, description="differently written answers of a group that are compared, the commonest first"
    )


class Vote(Stage):
    """Majority of a group, plain or weighted."""

    use = "verify.vote"
    version = VERSION
    gives_verdicts = True
    Config = VoteConfig
    reads = ("rollouts",)
    writes = ("scores",)
    covers = Coverage("rollouts", "rollout_id", {"scores": "target_id"})
    summary = "The group's own majority: plain, Borda by confidence, or weighted by another scorer."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        config: VoteConfig = self.config
        known = [a.name for a in ancestors if "scores" in a.writes]
        if config.scores is not None and config.scores not in known:
            yield "scores", f"{config.scores!r} is no stage above that scores", f"known: {', '.join(known) or 'none'}"
        if config.weigh == "value" and config.scores is None:
            yield "scores", "missing", f"name the stage whose values weigh: {', '.join(known) or 'none is above'}"
        if config.weigh == "count" and config.scores is not None:
            yield "scores", "plain votes have no weights", "set weigh: value or borda, or remove it"
        if config.scorer is not None and config.scores is None:
            yield "scorer", "of which stage?", "name the stage with scores"

    def estimate(self, upstream: Estimate) -> Estimate:
        rows = {"scores": upstream.rollouts * 2}
        return Estimate(upstream.problems, upstream.rollouts, rows=rows, note="at most; samples nothing")

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """A verdict a rollout, the winner's share as a measure, and rejects.

        Raises:
            UserError: if a value that should weigh a vote is negative, or a scorer is not the only one of its stage.
            InvariantBroken: if the verifier gives another number of judgements than it was asked for.
        """
        config: VoteConfig = self.config
        rollouts, rejects = split(shared.read(inputs), services.stage_id)
        rows = rollouts.to_dicts()
        judgements: dict[str, Judgement] = {}
        voting = []
        for row in rows:
            early = verdict_from_finish_reason(row["finish_reason"], config.truncated)
            if early is None:
                voting.append(row)
            else:
                judgements[row["rollout_id"]] = early
        groups = by_group(voting)
        found, version = classify(
            groups, config.equivalence, config.extract, config.timeout_s, config.max_classes, services
        )
        confidence = self._confidence(inputs, rollouts)
        scorer = Scorer(NAME, "+".join(filter(None, (VERSION, version))), self._hash())
        measures = []
        for group, classes in zip(groups, found, strict=True):
            election = elect(self._ballots(classes, confidence), config.min_votes, config.min_share)
            for voter in group:
                judgements[voter["rollout_id"]] = _judgement(classes, voter["rollout_id"], election)
                measures.append(shared.measure_row(voter, "winner_share", election.best, scorer, services.stage_id))
        return {**shared.finish(rows, judgements, measures, scorer, services), "rejects": rejects}

    def _hash(self) -> str:
        return ids.content_id("c", self.config.model_dump(mode="json", exclude=_NOT_HASHED))

    def _ballots(self, classes: Classes, confidence: Mapping[str, float]) -> list[tuple[int, float]]:
        """The class and weight of each rollout that votes: it has an answer and, where votes are weighed, a value."""
        config: VoteConfig = self.config
        if config.weigh == "count":
            return [(ballot.label, 1.0) for ballot in classes.ballots.values()]
        voters = [(confidence[r], ballot) for r, ballot in classes.ballots.items() if r in confidence]
        if config.weigh == "value":
            return [(ballot.label, value) for value, ballot in voters]
        votes = borda_votes([value for value, _ in voters], config.power)
        return [(ballot.label, weight) for weight, (_, ballot) in zip(votes, voters, strict=True)]

    def _confidence(self, inputs: Inputs, rollouts: pl.DataFrame) -> dict[str, float]:
        config: VoteConfig = self.config
        if config.weigh == "count":
            return {}
        if config.scores is None:
            return _mean_logprobs(inputs, rollouts)
        values = _values(inputs, config.scores, config.scorer)
        if config.weigh == "value":
            for rollout, value in sorted(values.items()):
                if value < 0:
                    what = f"stage {self.name!r}: the value that {config.scores!r} gives {rollout} is {value:g}"
                    raise UserError(f"{what}, which is no weight; set weigh: borda, which takes ranks only")
        return values


def _judgement(classes: Classes, rollout: str, election: Election) -> Judgement:
    ballot = classes.ballots.get(rollout)
    if ballot is None:
        return classes.lost[rollout]
    if election.winner is None:
        return Judgement.unknown(election.reason or "undecided", ballot.shown)
    reason = classes.why_open(ballot.label, election.winner)
    if reason is not None:
        return Judgement.unknown(reason, ballot.shown)
    verdict: Literal["correct", "wrong"] = "correct" if ballot.label == election.winner else "wrong"
    return Judgement(verdict, verdict_value(verdict, election.share(ballot.label)), None, ballot.shown)


def _mean_logprobs(inputs: Inputs, rollouts: pl.DataFrame) -> dict[str, float]:
    """Mean log probability of each rollout's sampled tokens, at temperature 1, where the backend gave them."""
    frame = inputs.frame("rollouts", ["rollout_id", "logprobs"], nearest=True)
    frame = frame.join(rollouts.select("rollout_id"), on="rollout_id", how="semi")
    mean = pl.col("logprobs").cast(pl.List(pl.Float64)).list.mean()
    told = frame.select("rollout_id", mean.alias("value")).drop_nulls().filter(pl.col("value").is_finite())
    return dict(told.iter_rows())


def _values(inputs: Inputs, stage: str, scorer: str | None) -> dict[str, float]:
    """Values that a stage gives rollouts; those without one are left out."""
    frame = pl.from_arrow(inputs.of_stage(stage, "scores"))
    assert isinstance(frame, pl.DataFrame)
    frame = frame.filter(pl.col("target_kind") == "rollout")
    if scorer is not None:
        frame = frame.filter(pl.col("scorer") == scorer)
    elif frame.filter(pl.col("kind") == "verdict").height:
        frame = frame.filter(pl.col("kind") == "verdict")
    twice = frame.filter(pl.col("target_id").is_duplicated())
    if twice.height:
        names = ", ".join(sorted(set(frame.get_column("scorer"))))
        raise UserError(f"stage {stage!r} gives one rollout several values; say which with scorer: one of {names}")
    told = frame.select("target_id", "value").drop_nulls().filter(pl.col("value").is_finite())
    return dict(told.iter_rows())
