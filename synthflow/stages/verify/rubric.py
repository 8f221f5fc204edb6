"""`verify.rubric`: weighted criteria, each judged alone and added up late.

Invariants: every criterion of every judged rollout has a row of its own (kind `measure`, scorer `rubric:NAME`), so that
another weighting is a query and costs nothing; the verdict is one row more. A criterion that could not be judged is
null with its reason, and makes the verdict unknown only where it could change it (`rubrics`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pyarrow as pa

from synthflow import ids
from synthflow.contracts import Coverage, Estimate, Inputs, Judgement, Services, Stage, StageInfo
from synthflow.errors import InvariantBroken
from synthflow.judges import prompts
from synthflow.judges.client import Heard, JudgeClient, JudgeQuestion, judge_sampling
from synthflow.judges.config import metadata_of
from synthflow.judges.samples import JudgeSample, Thresholds, combine
from synthflow.rollouts import score_rows as shared
from synthflow.rollouts.eligibility import split, verdict_from_finish_reason
from synthflow.rollouts.questions import problems_by_id
from synthflow.rollouts.score_rows import Scorer
from synthflow.schema import ARTIFACTS
from synthflow.stages.verify import rubrics, rules
from synthflow.stages.verify.criteria import Criterion, Rubric, RubricConfig, own_criteria
from synthflow.stages.verify.rubrics import Met
from synthflow.verifiers.answers.finding.extract import extract
from synthflow.verifiers.math import shown

NAME = "rubric"
GUESSED_OWN = 5
"""For estimates before a run: criteria that a problem brings."""

_NOT_HASHED = {"use", "of", "policy"}
_YES_OR_NO = Thresholds(0.5, 0.5)
_ANY_SCORE = Thresholds(0.0, 0.0)

Values = dict[tuple[str, str], Met]
"""By rollout and criterion."""


class RubricStage(Stage):
    """Hard rules and principles with weights."""

    use = "verify.rubric"
    version = f"2+{prompts.shipped_version()}"
    gives_verdicts = True
    Config = RubricConfig
    reads = ("rollouts", "problems")
    writes = ("scores", "artifacts")
    covers = Coverage("rollouts", "rollout_id", {"scores": "target_id"})
    summary = "Weighted criteria, each judged alone: hard rules, and principles by a language model."

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        yield from self.config.mistakes()
        if self.config.criteria_from == "artifacts" and not any("artifacts" in a.writes for a in ancestors):
            yield "criteria_from", "no stage above writes artifacts", "read one that does, or write metadata.KEY"

    def samplings(self) -> Iterable[Mapping[str, Any]]:
        return [judge_sampling(self.config, self.config.template())] if self.config.policy else []

    def estimate(self, upstream: Estimate) -> Estimate:
        config: RubricConfig = self.config
        own = GUESSED_OWN if config.criteria_from is not None else 0
        principles = sum(c.principle is not None for c in config.criteria) + own
        asked = upstream.rollouts * principles * config.k
        note = f"at most: {principles} principles a rollout, {config.k} each, {config.max_tokens} tokens each"
        return Estimate(
            upstream.problems,
            upstream.rollouts,
            asked,
            asked * config.max_tokens,
            {"scores": upstream.rollouts * (2 + len(config.criteria) + own), "artifacts": asked},
            note=note + (f"; guessed: {own} criteria of each problem's own" if own else ""),
        )

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Verdicts, a score a criterion, the judge's texts, and rejects.

        Raises:
            InfrastructureError: if some judgements are still owed.
            InvariantBroken: if a rule gives another number of answers than it was asked for.
        """
        config: RubricConfig = self.config
        problems = problems_by_id(inputs)
        rubric_of = _rubrics(config, problems, inputs)
        # A filter may want any column of the group that it sees.
        needed = None if any((c.rule or "").startswith("filter.") for c in config.criteria) else shared.COLUMNS
        rollouts, rejects = split(shared.read(inputs, needed), services.stage_id)
        judgements, asked = _early(rollouts, rubric_of, config)
        panel = JudgeClient(config, config.policy, config.template(), services) if config.policy else None
        scorer = self._scorer(panel.policy_id if panel else None)
        values: Values = {}
        versions = rules.check(config.criteria, rollouts, asked, problems, services, values)
        took, artifacts = _principles(asked, rubric_of, problems, config, panel, values)
        scorer = replace(scorer, version="+".join([scorer.version, *versions]))
        measures: list[dict[str, Any]] = []
        for row in asked:
            criteria = [values[row["rollout_id"], c.name] for c in rubric_of[row["problem_id"]].criteria]
            judgements[row["rollout_id"]] = _verdict(row, criteria, config, took.get(row["rollout_id"], 0.0))
            measures += _measures(row, criteria, scorer, services.stage_id)
        rows = rollouts.select(shared.COLUMNS).to_dicts()
        tables = shared.finish(rows, judgements, measures, scorer, services)
        services.count(asked=artifacts.num_rows)
        return {**tables, "artifacts": artifacts, "rejects": rejects}

    def _scorer(self, policy_id: str | None) -> Scorer:
        fields = self.config.model_dump(mode="json", exclude=_NOT_HASHED)
        config_hash = ids.content_id("c", fields, self.config.template(), policy_id)
        return Scorer(NAME, "+".join(filter(None, (self.version, policy_id))), config_hash)


def _rubrics(config: RubricConfig, problems: Mapping[str, Mapping[str, Any]], inputs: Inputs) -> dict[str, Rubric]:
    """The criteria of each problem."""
    if config.criteria_from is None:
        return dict.fromkeys(problems, Rubric(config.criteria))
    given: dict[str, list[Any]] = {}
    if config.criteria_from == "artifacts":
        found = inputs.frame("artifacts", ["problem_id", "kind", "text", "artifact_id"])
        for row in found.filter(pl.col("kind") == "rubric").sort("artifact_id").iter_rows(named=True):
            given.setdefault(row["problem_id"], []).append(row["text"])
    else:
        key = config.criteria_from.partition(".")[2]
        given = {p: [metadata_of(row)[key]] for p, row in problems.items() if key in metadata_of(row)}
    taken = [c.name for c in config.criteria]
    rubrics_found = {}
    for problem in problems:
        texts = given.get(problem, [])
        own = own_criteria(texts[0], taken) if len(texts) == 1 else Rubric((), _how_many(len(texts)))
        both = (*config.criteria, *own.criteria)
        no_score = own.problem is None and not any(c.weight > 0 for c in both)
        rubrics_found[problem] = Rubric(both, "has no weight above 0" if no_score else own.problem)
    return rubrics_found


def _how_many(n: int) -> str:
    return "is missing" if n == 0 else f"stands {n} times"


def _early(
    rollouts: pl.DataFrame, rubric_of: Mapping[str, Rubric], config: RubricConfig
) -> tuple[dict[str, Judgement], list[dict[str, Any]]]:
    """Judgements that need no rubric, and the rows that do."""
    known: dict[str, Judgement] = {}
    asked = []
    for row in rollouts.select(shared.COLUMNS).iter_rows(named=True):
        early = verdict_from_finish_reason(row["finish_reason"], config.truncated)
        problem = rubric_of[row["problem_id"]].problem
        if early is None and problem is not None:
            early = Judgement.unknown("no_rubric", f"the problem's rubric {problem}")
        if early is None and not prompts.shown_answer(row["completion"], config.max_chars, config.thinking):
            early = Judgement.unknown("empty")
        if early is None:
            asked.append(row)
        else:
            known[row["rollout_id"]] = early
    return known, asked


def _principles(
    rows: Sequence[Mapping[str, Any]],
    rubric_of: Mapping[str, Rubric],
    problems: Mapping[str, Mapping[str, Any]],
    config: RubricConfig,
    panel: JudgeClient | None,
    values: Values,
) -> tuple[dict[str, float], pa.Table]:
    """Ask the judge about every principle of every rollout; seconds by rollout, and what the judge wrote."""
    wanted = [
        (row, criterion)
        for row in rows
        for criterion in rubric_of[row["problem_id"]].criteria
        if criterion.principle is not None
    ]
    took: dict[str, float] = {}
    if panel is None:
        if wanted:
            raise InvariantBroken("a rubric with principles has no policy to judge them")
        return took, ARTIFACTS.empty()
    asks = [_ask(row, criterion, problems[row["problem_id"]], config) for row, criterion in wanted]
    heard, artifacts = panel.hear(asks, [criterion.answer(config.layout) for _, criterion in wanted])
    for (row, criterion), samples in zip(wanted, heard, strict=True):
        rollout = row["rollout_id"]
        values[rollout, criterion.name] = _met(criterion, samples, config.min_agreement)
        took[rollout] = took.get(rollout, 0.0) + sum(sample.elapsed_s for sample in samples)
    return took, artifacts


def _ask(
    row: Mapping[str, Any], criterion: Criterion, problem: Mapping[str, Any], config: RubricConfig
) -> JudgeQuestion:
    texts = {
        "question": prompts.question_text(problem["prompt"]),
        "answer": prompts.shown_answer(row["completion"], config.max_chars, config.thinking),
        "criterion": prompts.within(criterion.principle or "", config.max_chars),
    }
    return JudgeQuestion(row["problem_id"], texts, (row["rollout_id"],), {"criterion": criterion.name})


def _met(criterion: Criterion, samples: Sequence[Heard], min_agreement: float) -> Met:
    """How far a principle is met: the share that says yes, or the mean score."""
    opinions = [_opinion(sample, criterion) for sample in samples]
    limits = _ANY_SCORE if criterion.scale is not None else _YES_OR_NO
    said, _ = combine(opinions, limits, min_agreement)
    value = None
    if said.verdict != "unknown":
        known = [opinion.value for opinion in opinions if opinion.value is not None]
        value = sum(known) / len(known)
    return Met(criterion.name, criterion.weight, value, criterion.required, said.reason)


def _opinion(heard: Heard, criterion: Criterion) -> JudgeSample:
    value = heard.reading.value
    if value is None:
        return JudgeSample(None, heard.reason, heard.reading.problem)
    if isinstance(value, float):
        assert criterion.scale is not None
        low, high = criterion.scale
        return JudgeSample((value - low) / (high - low))
    return JudgeSample(float(value == "yes"))


def _verdict(row: Mapping[str, Any], criteria: Sequence[Met], config: RubricConfig, took: float) -> Judgement:
    said = rubrics.judge(criteria, config.limits())
    if said.verdict == "unknown":
        return replace(said, elapsed_s=took)
    answer = extract(row["completion"])
    return replace(said, detail=None if answer is None else shown(answer), elapsed_s=took)


def _measures(
    row: Mapping[str, Any], criteria: Sequence[Met], scorer: Scorer, stage_id: str
) -> Iterable[dict[str, Any]]:
    for c in criteria:
        yield shared.measure_row(row, c.name, c.value, scorer, stage_id, c.reason, f"weight {c.weight:g}")
