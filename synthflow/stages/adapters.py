"""Verifiers and filters as stages: a registered verifier `x` is the stage `verify.x`, a filter `x` is `filter.x`.

Invariant: an adapter adds nothing to a verdict but what a machine can see before it asks (refused, poison,
truncated, no gold answer), and every rollout it reads has one score or, if it continues a prefix, one row in
`rejects`: the text of a continuation alone is no answer, so whoever samples continuations judges them.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa
from pydantic import create_model

from synthflow import ids, registry
from synthflow.contracts import (
    Coverage,
    Filter,
    Inputs,
    Judgement,
    Services,
    Stage,
    StageConfig,
    StageInfo,
    Verifier,
    VerifyConfig,
)
from synthflow.contracts.stage_info import verifier_stage
from synthflow.errors import InvariantBroken, UserError
from synthflow.rollouts.eligibility import by_its_end, split
from synthflow.rollouts.questions import MAX_NOTE_CHARS, note, part_rows, problems_by_id, question
from synthflow.schema import SCORES, TELEMETRY

ADAPTER_VERSION = "1"
"""Raised when an adapter would say something else of the same answer."""


class FilterStageConfig(StageConfig):
    """What every filter stage has besides its filter's own fields."""


class _Adapter(Stage):
    """What verify and filter stages share. `own` names the fields that belong to the wrapped class."""

    own: ClassVar[tuple[str, ...]] = ()
    covers = Coverage("rollouts", "rollout_id", {"scores": "target_id"})

    def own_config(self) -> dict[str, Any]:
        """The wrapped class's configuration as plain JSON values."""
        return dict(self.config.model_dump(mode="json", include=set(self.own)))

    def __reduce__(self) -> tuple[Any, ...]:
        # The class is made at run time, so that a pickle can only name it by its use.
        return _rebuild, (self.use, self.name, self.config.model_dump())

    def _split(self, inputs: Inputs, columns: Sequence[str] | None, stage_id: str) -> tuple[pl.DataFrame, pa.Table]:
        """Nearest rollouts that stand for themselves, sorted, and rejects for those that continue a prefix."""
        return split(inputs.frame("rollouts", columns, nearest=True).sort("problem_id", "rollout_id"), stage_id)


class VerifyStage(_Adapter):
    """Verdicts of one verifier on the nearest rollouts; `stage_class` binds the verifier."""

    verifier: ClassVar[str]
    verifier_class: ClassVar[type[Verifier]]
    needs_answer: ClassVar[bool] = True
    gives_verdicts = True
    reads = ("rollouts", "problems")
    writes = ("scores",)

    @classmethod
    def anchor(cls, given: Mapping[str, Any], base_dir: Path) -> dict[str, Any]:
        return cls.verifier_class.anchor(given, base_dir)

    def _own_verifier(self) -> Verifier:
        return self.verifier_class(self.verifier_class.Config.model_validate(self.own_config()))

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        return self._own_verifier().check()

    def identity(self) -> Mapping[str, Any]:
        verifier = self._own_verifier()
        said = verifier.identity()
        verifier.close()
        # What it says replaces its fields, in which there may be paths of this machine.
        return dict.fromkeys(self.own) | dict(said.model_dump(mode="json") if hasattr(said, "model_dump") else said)

    def full_version(self) -> str:
        """The adapter's version and the verifier's with its libraries: another library may judge otherwise."""
        from synthflow.verifiers.opening import open_verifier

        opened = open_verifier(self.verifier, self.own_config())
        try:
            return f"{ADAPTER_VERSION}+{opened.full_version()}"
        finally:
            opened.close()

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Scores of kind verdict, one a rollout, and what stands behind them; elapsed seconds go to telemetry.

        Raises:
            UserError: if two ancestors give one problem different gold answers.
            InvariantBroken: if the verifier returns another number of judgements than it was asked for.
        """
        columns = ["rollout_id", "problem_id", "completion", "finish_reason", "condition"]
        rollouts, rejects = self._split(inputs, columns, services.stage_id)
        _check_answers(inputs)
        problems = problems_by_id(inputs)
        rows = [row | {"answer": problems[row["problem_id"]]["answer"]} for row in rollouts.to_dicts()]
        early = [self._before_asking(row) for row in rows]
        asked = [row for row, judgement in zip(rows, early, strict=True) if judgement is None]
        questions = [question(r["rollout_id"], r["completion"], problems[r["problem_id"]]) for r in asked]
        answers, scorer_version, config_hash = services.judge(self.verifier, self.own_config(), questions)
        if len(answers) != len(questions):
            raise InvariantBroken(f"verifier {self.verifier!r}: {len(questions)} questions, {len(answers)} judgements")
        if self.config.truncated != "unknown":
            # Two verify stages that differ in this only must not share the key of their scores.
            config_hash = ids.content_id("c", config_hash, self.config.truncated)
        given = iter(answers)
        judgements = [judgement if judgement is not None else next(given) for judgement in early]
        counts = {v: sum(j.verdict == v for j in judgements) for v in ("correct", "wrong", "unknown")}
        services.count(rows=len(rows), **counts)
        common = {
            "target_kind": "rollout",
            "kind": "verdict",
            "scorer": self.verifier,
            "scorer_version": scorer_version,
            "config_hash": config_hash,
            "stage_id": services.stage_id,
        }
        scores = [_score(row, judgement) | common for row, judgement in zip(rows, judgements, strict=True)]
        for row, answer in zip(asked, answers, strict=True):
            scores += part_rows(row["problem_id"], row["rollout_id"], answer, services.stage_id)
        times = [(row, answer.elapsed_s) for row, answer in zip(asked, answers, strict=True)]
        return {"scores": SCORES.from_rows(scores), "rejects": rejects, "telemetry": _elapsed(times, services)}

    def _before_asking(self, row: Mapping[str, Any]) -> Judgement | None:
        ended = by_its_end(row["finish_reason"], self.config.truncated)
        if ended is not None:
            return ended
        if self.needs_answer and row["answer"] is None:
            return Judgement.unknown("no_gold")
        return None


class FilterStage(_Adapter):
    """Keep-or-drop annotations of one filter on the nearest rollouts; `stage_class` binds the filter."""

    filter: ClassVar[str]
    filter_class: ClassVar[type[Filter]]
    reads = ("rollouts",)
    writes = ("scores",)

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """Scores of kind filter, one a rollout: value 1 keeps and 0 drops; the filter's own value is the detail.

        Raises:
            InvariantBroken: if the filter does not return one row a rollout with a keep that is true or false.
        """
        rollouts, rejects = self._split(inputs, None, services.stage_id)
        own = self.own_config()
        said = self.filter_class(self.filter_class.Config.model_validate(own)).judge(rollouts)
        if said.height != rollouts.height or said.get_column("keep").null_count():
            raise InvariantBroken(f"filter {self.filter!r}: {rollouts.height} rollouts, {said.height} answers")
        said = said.select(
            pl.col("keep").alias("_keep"), pl.col("value").alias("_value"), pl.col("reason").alias("_why")
        )
        dropped = ~pl.col("_keep")
        scores = pl.concat([rollouts, said], how="horizontal").select(
            "problem_id",
            pl.lit("rollout").alias("target_kind"),
            pl.col("rollout_id").alias("target_id"),
            pl.lit("filter").alias("kind"),
            pl.lit(self.filter).alias("scorer"),
            pl.lit(self.filter_class.version).alias("scorer_version"),
            pl.lit(ids.content_id("c", own)).alias("config_hash"),
            pl.lit(None, pl.String).alias("verdict"),
            pl.col("_keep").cast(pl.Float32).alias("value"),
            pl.when(dropped).then(pl.col("_why").fill_null("dropped").str.slice(0, MAX_NOTE_CHARS)).alias("reason"),
            pl.col("_value").cast(pl.String).alias("detail"),
            pl.lit(services.stage_id).alias("stage_id"),
        )
        kept = int(said.get_column("_keep").sum())
        services.count(rows=scores.height, kept=kept, dropped=scores.height - kept)
        return {"scores": SCORES.conform(scores.to_arrow()), "rejects": rejects}


def stage_class(use: str) -> type[Stage]:
    """The stage a spec calls `use`: a registered stage, or the adapter of a verifier or filter.

    Raises:
        UserError: if nothing has that name, with the nearest one of any kind; or if its import fails.
    """
    if use in registry.names("stages"):
        found: type[Stage] = registry.load("stages", use)
        return found
    kind, _, name = use.partition(".")
    if kind == "verify" and name in registry.names("verifiers"):
        return _bind_verifier(name, registry.load("verifiers", name))
    if kind == "filter" and name in registry.names("filters"):
        return _bind_filter(name, registry.load("filters", name))
    hint = registry.suggest(use, all_stage_names()) or "`synthflow list stages` shows all"
    raise UserError(f"no stage is called {use!r}; {hint}")


def all_stage_names() -> list[str]:
    """Every name that `use` may have, sorted: stages, `verify.x` and `filter.x`."""
    verifiers = [verifier_stage(name) for name in registry.names("verifiers")]
    return sorted({*registry.names("stages"), *verifiers, *(f"filter.{name}" for name in registry.names("filters"))})


@cache
def _bind_verifier(name: str, wrapped: type[Verifier]) -> type[Stage]:
    body = {
        "use": verifier_stage(name),
        "version": f"{ADAPTER_VERSION}+{wrapped.version}",
        "Config": _merged(verifier_stage(name), VerifyConfig, wrapped.Config),
        "own": tuple(wrapped.Config.model_fields),
        "summary": _summary(wrapped),
        "verifier": name,
        "verifier_class": wrapped,
        "needs_answer": wrapped.needs_answer,
        "__doc__": wrapped.__doc__,
    }
    return type(f"Verify_{name}", (VerifyStage,), body)


@cache
def _bind_filter(name: str, wrapped: type[Filter]) -> type[Stage]:
    body = {
        "use": f"filter.{name}",
        "version": f"{ADAPTER_VERSION}+{wrapped.version}",
        "Config": _merged(f"filter.{name}", FilterStageConfig, wrapped.Config),
        "own": tuple(wrapped.Config.model_fields),
        "summary": _summary(wrapped),
        "filter": name,
        "filter_class": wrapped,
        "__doc__": wrapped.__doc__,
    }
    return type(f"Filter_{name}", (FilterStage,), body)


def _merged(use: str, ours: type[StageConfig], theirs: type[Any]) -> type[Any]:
    """One flat model of both, with the validators of both; a field in both is a programming error of `theirs`."""
    both = set(ours.model_fields) & set(theirs.model_fields)
    if both:
        raise UserError(f"{use}: its configuration may not have a field called {sorted(both)[0]!r}, every stage has it")
    return create_model(use.replace(".", "_") + "_config", __base__=(ours, theirs), __doc__=theirs.__doc__)


def _summary(wrapped: type[Any]) -> str:
    return (wrapped.__doc__ or "").strip().partition("\n")[0]


def _rebuild(use: str, name: str, config: dict[str, Any]) -> Stage:
    made = stage_class(use)
    return made(name, made.Config.model_validate(config))


def _check_answers(inputs: Inputs) -> None:
    answers = inputs.frame("problems", ["problem_id", "answer"]).unique()
    if answers.height != answers.get_column("problem_id").n_unique():
        twice = sorted(answers.filter(pl.col("problem_id").is_duplicated()).get_column("problem_id"))[0]
        raise UserError(f"problem {twice} has different answers in different sources; keep one of them")


def _score(row: Mapping[str, Any], judgement: Judgement) -> dict[str, Any]:
    return {
        "problem_id": row["problem_id"],
        "target_id": row["rollout_id"],
        "verdict": judgement.verdict,
        "value": judgement.value,
        "reason": note(judgement.reason),
        "detail": note(judgement.detail),
    }


def _elapsed(times: Sequence[tuple[Mapping[str, Any], float]], services: Services) -> pa.Table:
    worker = f"{platform.node()}:{os.getpid()}"
    return TELEMETRY.from_rows(
        [
            {
                "problem_id": row["problem_id"],
                "target_kind": "score",
                "target_id": row["rollout_id"],
                "metric": "elapsed_s",
                "value": seconds,
                "worker": worker,
                "attempt": services.attempt,
                "stage_id": services.stage_id,
            }
            for row, seconds in times
        ]
    )
