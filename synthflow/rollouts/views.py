"""The views of a stage's inputs that many stages share: first rollouts, their verdicts, what filters kept.

Everything is a Polars frame over the rows of one partition. Continuations (condition `prefix`) are rollouts too,
so whoever counts a group of rollouts starts from `first_rollouts`; whoever wants whole answers, of trees as well, from
`whole_rollouts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from synthflow.contracts import Inputs, StageInfo

WHOLE = ("none", "tree")
"""Conditions of rollouts that are whole answers to the problem's prompt, written by the policy alone."""


def verify_stages(ancestors: Sequence[StageInfo]) -> list[str]:
    """Names of the ancestors that give verdicts on rollouts."""
    return [a.name for a in ancestors if a.has("gives_verdicts")]


def check_verdicts(ancestors: Sequence[StageInfo], wanted: str | None) -> Iterable[tuple[str, str, str]]:
    """Mistakes in a stage's `verdicts` field, in the form of `Stage.check`."""
    known = verify_stages(ancestors)
    if wanted is not None and wanted not in known:
        yield (
            "verdicts",
            f"{wanted!r} is not a verify stage above this one",
            f"known: {', '.join(known) or 'none'}",
        )
    elif wanted is None and not known:
        yield (
            "of",
            "no verify stage above this one",
            "read a stage such as verify.math, or one that follows it",
        )
    elif wanted is None and len(known) > 1:
        yield "verdicts", f"several verify stages above: {', '.join(known)}", "say which with verdicts: NAME"


def first_rollouts(inputs: Inputs, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Rollouts that continue nothing: sampled from the problem's own prompt, without a prefix or a hint."""
    wanted = None if columns is None else list(dict.fromkeys([*columns, "condition"]))
    frame = inputs.frame("rollouts", wanted).filter(pl.col("condition") == "none")
    return frame if columns is None else frame.select(columns)


def whole_rollouts(inputs: Inputs, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """First rollouts, and the whole paths of trees."""
    wanted = None if columns is None else list(dict.fromkeys([*columns, "condition"]))
    frame = inputs.frame("rollouts", wanted).filter(pl.col("condition").is_in(WHOLE))
    return frame if columns is None else frame.select(columns)


def verdict_scorers(inputs: Inputs, stage: str | None = None) -> list[str]:
    """Who gave the verdicts of one verify stage: name, version and configuration hash of each scorer, sorted."""
    name = stage if stage is not None else verify_stages(inputs.ancestors)[-1]
    scores = pl.from_arrow(inputs.of_stage(name, "scores", ["kind", "scorer", "scorer_version", "config_hash"]))
    assert isinstance(scores, pl.DataFrame)
    who = scores.filter(pl.col("kind") == "verdict").drop("kind").unique()
    return sorted(" ".join(row) for row in who.iter_rows())


_VERDICT = ("problem_id", "verdict", "value", "reason", "detail")


def verdicts(inputs: Inputs, stage: str | None = None, columns: Sequence[str] = _VERDICT) -> pl.DataFrame:
    """Verdicts of one verify stage: rollout_id, problem_id, verdict, value, reason, detail.

    Args:
        stage: its name; None where there is exactly one (`check_verdicts` makes sure at planning).
        columns: those that are read beside rollout_id.
    """
    name = stage if stage is not None else verify_stages(inputs.ancestors)[-1]
    scores = pl.from_arrow(inputs.of_stage(name, "scores", ["kind", "target_kind", "target_id", *columns]))
    assert isinstance(scores, pl.DataFrame)
    return scores.filter(pl.col("kind") == "verdict", pl.col("target_kind") == "rollout").select(
        pl.col("target_id").alias("rollout_id"), *columns
    )


def dropped(inputs: Inputs, kind: str = "rollout", name: str = "dropped") -> pl.DataFrame:
    """`<kind>_id` of what some filter above drops, and why in column `name`: `filter: reason`, of the first filter."""
    scores = inputs.frame("scores", ["target_kind", "target_id", "kind", "scorer", "value", "reason"])
    why = pl.col("scorer") + ": " + pl.col("reason").fill_null("dropped")
    return (
        scores.filter(pl.col("kind") == "filter", pl.col("target_kind") == kind, pl.col("value") == 0)
        .sort("target_id", "scorer", "reason")
        .unique("target_id", keep="first", maintain_order=True)
        .select(pl.col("target_id").alias(f"{kind}_id"), why.alias(name))
    )


def judged_rollouts(inputs: Inputs, stage: str | None = None, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Whole rollouts with their verdict and `dropped` (reason of the first filter that drops them, or null).

    Rollouts without a verdict are left out: a verify stage covers all that it reads.

    Args:
        columns: those of the rollouts that are read; rollout_id and problem_id must be among them.
    """
    rollouts = whole_rollouts(inputs, columns)
    judged = rollouts.join(verdicts(inputs, stage, ["verdict"]), on="rollout_id", how="inner")
    return judged.join(dropped(inputs), on="rollout_id", how="left").sort("problem_id", "rollout_id")
