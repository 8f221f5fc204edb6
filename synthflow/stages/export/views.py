"""What exports read of a partition: candidates, verdicts, pass rates, the curriculum's order, the problems.

Every frame is keyed by an id that is unique in it, so that a left join never multiplies rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from synthflow.contracts import Inputs, StageInfo
from synthflow.rollouts.groups import GROUP
from synthflow.rollouts.problem_measures import problem_measure
from synthflow.rollouts.views import dropped, verdicts, verify_stages

ROLLOUT_COLUMNS = (
    "rollout_id",
    *GROUP,
    "condition",
    "prompt",
    "train_prompt",
    "completion",
    "completion_hash",
    "n_tokens",
)
UNSEEN = ("gold", "hint")
"""Conditions whose prompt tells what a trained policy will not be told."""


def has_stats(ancestors: Sequence[StageInfo]) -> bool:
    """Whether pass rates are known: some stage above writes problem_stats."""
    return any("problem_stats" in a.writes for a in ancestors)


def is_ordered(ancestors: Sequence[StageInfo]) -> bool:
    """Whether some stage above puts the problems in an order."""
    return any(a.has("orders_problems") for a in ancestors)


def curriculum_ranks(part: Inputs) -> pl.DataFrame:
    """problem_id, _place in the last order above (`curriculum.order` or its like); empty where there is none."""
    stages = [a for a in part.ancestors if a.has("orders_problems")]
    if not stages:
        return pl.DataFrame(schema={"problem_id": pl.String, "_place": pl.Int64})
    # `detail` is the exact rank; `value` holds whole numbers up to 2**24
    place = pl.coalesce(pl.col("detail").cast(pl.Int64, strict=False), pl.col("value").cast(pl.Int64))
    return problem_measure(part, stages[-1].name, stages[-1].use).select("problem_id", place.alias("_place"))


def problem_repeats(part: Inputs) -> pl.DataFrame:
    """problem_id, sf_repeats as the last `curriculum.repeats` above says; empty where there is none."""
    stages = [a for a in part.ancestors if a.has("repeats_problems")]
    if not stages:
        return pl.DataFrame(schema={"problem_id": pl.String, "sf_repeats": pl.Int32})
    said = problem_measure(part, stages[-1].name, stages[-1].use)
    return said.select("problem_id", pl.col("value").cast(pl.Int32).alias("sf_repeats"))


def problem_facts(part: Inputs) -> pl.DataFrame:
    """problem_id, sf_domain, sf_source of every problem above."""
    return (
        part.frame("problems", ["problem_id", "domain", "source"])
        .unique("problem_id", keep="first", maintain_order=True)
        .rename({"domain": "sf_domain", "source": "sf_source"})
    )


def carried_values(part: Inputs, names: Sequence[str]) -> pl.DataFrame:
    """problem_id, sf_meta_NAME of every problem above, as text: null where its metadata lacks the name."""
    values = (pl.col("metadata").str.json_path_match(f"$.{name}").alias(f"sf_meta_{name}") for name in names)
    problems = part.frame("problems", ["problem_id", "metadata"])
    return problems.unique("problem_id", keep="first", maintain_order=True).select("problem_id", *values)


def mined_stages(ancestors: Sequence[StageInfo]) -> list[str]:
    """Names of the stages above that say which rollouts are positives and negatives."""
    return [a.name for a in ancestors if a.has("marks_examples")]


def check_only(ancestors: Sequence[StageInfo], only: str | None) -> Iterator[tuple[str, str, str]]:
    """Mistakes in an export's field `only`, in the form of `Stage.check`."""
    known = mined_stages(ancestors)
    if only is not None and only not in known:
        yield "only", f"{only!r} is not a stage mine.unpaired above this one", f"known: {', '.join(known) or 'none'}"
    elif only is None and len(known) > 1:
        yield "only", f"several stages mine.unpaired above: {', '.join(known)}", "say which with only: NAME"


def mined(part: Inputs, only: str | None) -> pl.DataFrame | None:
    """rollout_id, _weight (below 0: a negative; null: neither), _why_not of the stage `only`, or of the only one.

    None where no stage above says anything; then verdicts do.
    """
    stages = [only] if only is not None else mined_stages(part.ancestors)[-1:]
    if not stages:
        return None
    scores = pl.from_arrow(part.of_stage(stages[0], "scores", ["target_id", "scorer", "value", "reason"]))
    assert isinstance(scores, pl.DataFrame)
    return scores.select(
        pl.col("target_id").alias("rollout_id"),
        pl.col("value").alias("_weight"),
        (pl.col("scorer") + pl.lit(": ") + pl.col("reason").fill_null("no reason given")).alias("_why_not"),
    ).unique("rollout_id", keep="first", maintain_order=True)


def group_stats(part: Inputs) -> pl.DataFrame:
    """Pass rate and difficulty by (problem, policy, round, sampling), of the nearest stage that writes them."""
    columns = [*GROUP, "n", "pass_rate", "group_state", "difficulty_bin"]
    stats = part.frame("problem_stats", columns, nearest=True)
    return stats.unique(GROUP, keep="first", maintain_order=True)


def main_group(part: Inputs) -> pl.DataFrame:
    """One group a problem: of the last round, the one with most rollouts; ties by policy_id, sampling_id.

    A pass rate belongs to a group, never to a problem alone, so the group's own ids stand beside it.
    """
    return (
        group_stats(part)
        .sort("round", "n", "policy_id", "sampling_id", descending=[True, True, False, False])
        .unique("problem_id", keep="first", maintain_order=True)
    )


def candidates(part: Inputs, verify_stage: str | None) -> pl.DataFrame:
    """Whole rollouts (no continuations of a prefix), with what is known of each.

    Beside `ROLLOUT_COLUMNS`: `messages` to be trained on (train_prompt, or prompt where there is none), verdict, its
    reason and whose it is (null where nothing judged), `dropped` (the filter that drops it), `masked` (its loss mask
    leaves tokens out) in place of the mask, `_thought_end` (where the policy's thought ends, null where that is not
    told), pass_rate, difficulty_bin and the problem's facts. `verify_stage` None reads the only verify stage above, or
    none at all if there is none.
    """
    rollouts = part.frame("rollouts", [*ROLLOUT_COLUMNS, "loss_mask", "author_spans"]).filter(
        pl.col("condition") != "prefix"
    )
    rollouts = rollouts.unique("rollout_id", keep="first", maintain_order=True)  # stages that sample alike share some
    said_by = verify_stage or next(reversed(verify_stages(part.ancestors)), None)
    if said_by is not None:
        columns = ("rollout_id", "verdict", pl.col("reason").alias("verdict_reason"))
        judged = verdicts(part, said_by).select(*columns, pl.lit(said_by).alias("verdict_stage"))
    else:
        told = ("rollout_id", "verdict", "verdict_reason", "verdict_stage")
        judged = pl.DataFrame(schema=dict.fromkeys(told, pl.String))
    stats = group_stats(part).select(*GROUP, "pass_rate", "difficulty_bin")
    return (
        rollouts.with_columns(
            pl.coalesce("train_prompt", "prompt").alias("messages"),
            (~pl.col("loss_mask").list.all()).fill_null(False).alias("masked"),
            thought_ends().alias("_thought_end"),
        )
        .drop("loss_mask", "author_spans")
        .join(judged, on="rollout_id", how="left")
        .join(dropped(part, "rollout"), on="rollout_id", how="left")
        .join(dropped(part, "problem", "problem_dropped"), on="problem_id", how="left")
        .join(stats, on=GROUP, how="left")
        .join(problem_facts(part), on="problem_id", how="left")
        .sort("problem_id", "rollout_id")
    )


def thought_ends() -> pl.Expr:
    """Where a rollout's last thought ends, in code points of its completion; null where none was told apart."""
    author = pl.element().struct.field("author")
    thoughts = pl.col("author_spans").list.eval(pl.element().filter(author == "thought"))
    return thoughts.list.last().struct.field("end")


def sidecars_of_rollout() -> list[pl.Expr]:
    """The `sf_` columns of a frame of `candidates` (the curriculum's rank is added when rows are ordered)."""
    same = (
        "problem_id",
        "rollout_id",
        "policy_id",
        "round",
        "sampling_id",
        "condition",
        "n_tokens",
        "verdict",
        "verdict_stage",
    )
    return [
        pl.col("rollout_id").alias("_id"),
        pl.col("problem_id").alias("_problem"),
        *(pl.col(name).alias(f"sf_{name}") for name in (*same, "pass_rate", "difficulty_bin")),
        pl.col("sf_domain"),
        pl.col("sf_source"),
    ]


def prompt_key(column: str) -> pl.Expr:
    """One string that stands for the messages, for comparison."""
    message = pl.element().struct.field("role") + ":" + pl.element().struct.field("content")
    return pl.col(column).list.eval(message).list.join("\x1e")


def reply(text: pl.Expr) -> pl.Expr:
    """A list of one assistant message."""
    return pl.concat_list(pl.struct(pl.lit("assistant").alias("role"), text.alias("content")))


def user_text(column: str) -> pl.Expr:
    """Content of the last message."""
    return pl.col(column).list.last().struct.field("content")


def roles(column: str) -> pl.Expr:
    """Roles joined by a space, such as `system user`."""
    return pl.col(column).list.eval(pl.element().struct.field("role")).list.join(" ")


def blank(column: str) -> pl.Expr:
    return pl.col(column).str.strip_chars() == ""
