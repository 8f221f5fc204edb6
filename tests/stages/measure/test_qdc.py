"""measure.qdc: what it counts after each stage, and that no number depends on the partition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from support.made_up_run import FakeServices, World, pair, rollout, score
from support.stages import stage_info
from synthflow.contracts import MemoryInputs
from synthflow.schema import STATS
from synthflow.stages.measure import observations
from synthflow.stages.measure.populations import origins
from synthflow.stages.measure.qdc import MeasureQdc, QdcConfig
from synthflow.statistics.metrics import metric_of


def measure(inputs: MemoryInputs, services: FakeServices, **config: Any) -> pl.DataFrame:
    stage = MeasureQdc("report", QdcConfig(use="measure.qdc", of=("pairs",), **{"verdicts": "verdicts", **config}))
    frame = pl.from_arrow(STATS.conform(stage.run(inputs, services)["stats"]))
    assert isinstance(frame, pl.DataFrame)
    return frame.sort(*STATS.key)  # as a shard holds them


def value(stats: pl.DataFrame, stage: str, metric: str, problem: str = "p_a") -> tuple[float, float] | None:
    """(count, total), or None where nothing was measured."""
    row = stats.filter(stage=stage, metric=metric, problem_id=problem)
    assert row.height <= 1, "the key identifies a row"
    return (row["count"][0], row["total"][0]) if row.height else None


def test_each_stage_retains_its_population(world: World, services: FakeServices) -> None:
    stats = measure(world.inputs(), services)
    for stage, rollouts in {"rollouts": 4, "verdicts": 4, "second": 4, "short": 3, "steps": 2, "pairs": 2}.items():
        found = value(stats, stage, "n_tokens")
        assert found is not None and found[0] == rollouts, stage
    assert value(stats, "problems", "n_tokens") is None, "a source has no rollouts"
    assert value(stats, "pairs", "n_tokens", "p_b") is None, "no pair of problem b"


def test_a_continuation_counts_for_the_rollout_it_continues(world: World, services: FakeServices) -> None:
    stats = measure(world.inputs(), services)
    assert value(stats, "pairs", "pass_rate") == (2.0, 1.0), "a1c0 continues a1, which is correct; a2 is wrong"


def test_hand_counted_quality(world: World, services: FakeServices) -> None:
    stats = measure(world.inputs(), services)
    assert value(stats, "verdicts", "pass_rate") == (3.0, 2.0), "a4 is unknown, which is no observation"
    assert value(stats, "verdicts", "unknown_share") == (4.0, 1.0)
    assert value(stats, "verdicts", "truncated_share") == (4.0, 1.0)
    assert value(stats, "verdicts", "mean_logprob") == (3.0, -3.0)
    assert value(stats, "verdicts", "agreement_with_second") == (3.0, 2.0), "they differ about a3"
    assert value(stats, "short", "score_short") == (3.0, 3.0)


def test_hand_counted_diversity_and_complexity(world: World, services: FakeServices) -> None:
    stats = measure(world.inputs(), services)
    assert value(stats, "verdicts", "distinct_answers") == (1.0, 2.0)
    # shares 2/3 and 1/3: -(2/3 ln 2/3 + 1/3 ln 1/3) = 0.636514
    assert value(stats, "verdicts", "answer_entropy") == (1.0, pytest.approx(0.636514168, abs=1e-9))
    assert value(stats, "verdicts", "distinct_shapes") == (1.0, 3.0), "a1 and a2 differ in digits only; a4 is empty"
    assert value(stats, "verdicts", "self_similarity", "p_b") == (1.0, 1.0), "b1 and b2 are the same text"
    assert value(stats, "verdicts", "vendi", "p_b") == (1.0, 1.0)
    assert value(stats, "verdicts", "distinct_1", "p_b") == (1.0, 0.4), "3 * = 9 are 4 of 10 words"
    assert value(stats, "verdicts", "n_lines") == (4.0, 5.0)
    assert value(stats, "verdicts", "depth") == (4.0, 2.0)
    assert value(stats, "steps", "n_steps") == (2.0, 4.0)
    assert value(stats, "verdicts", "difficulty") == (1.0, pytest.approx(1 / 3))
    assert value(stats, "pairs", "difficulty") == (1.0, pytest.approx(1 / 3)), "of the whole group"


@pytest.mark.parametrize(
    "said", [None, "no answer found", "7 differs, but the rule last_number may have missed the answer"]
)
def test_what_is_said_of_an_unknown_verdict_is_no_answer(
    world: World, services: FakeServices, said: str | None
) -> None:
    [unknown] = [row for row in world.rows["verdicts"]["scores"] if row["verdict"] == "unknown"]
    unknown["detail"] = said
    stats = measure(world.inputs(), services)
    assert value(stats, "verdicts", "distinct_answers") == (1.0, 2.0)
    assert value(stats, "verdicts", "answer_entropy") == (1.0, pytest.approx(0.636514168, abs=1e-9))


def test_an_answer_whose_text_ran_on_is_the_same_answer(world: World, services: FakeServices) -> None:
    before = measure(world.inputs(), services)
    row = next(row for row in world.rows["verdicts"]["scores"] if row["verdict"] == "correct")
    row["detail"] += " (cut at Question)"
    stats = measure(world.inputs(), services)
    for metric in ("distinct_answers", "answer_entropy"):
        assert value(stats, "verdicts", metric) == value(before, "verdicts", metric)


def test_pass_at_k_of_the_judged(world: World, services: FakeServices) -> None:
    stats = measure(world.inputs(), services)
    assert value(stats, "verdicts", "pass_at_1") == (1.0, pytest.approx(2 / 3))
    assert value(stats, "verdicts", "pass_at_2") == (1.0, 1.0), "one wrong rollout: two always hold a right one"
    assert value(stats, "verdicts", "pass_at_4") is None, "only three were judged"


def test_rows_do_not_depend_on_the_partition(world: World, services: FakeServices) -> None:
    whole = measure(world.inputs(), services)
    parts = [measure(world.inputs({p}), services) for p in ("p_b", "p_a")]
    assert pl.concat(parts).sort(STATS.key).equals(whole.sort(STATS.key))


def test_rows_do_not_depend_on_the_chunks(
    world: World, services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measure(world.inputs(), services)
    monkeypatch.setattr(observations, "CHUNK_CHARS", 1)
    assert measure(world.inputs(), services).equals(whole)


def test_rows_do_not_depend_on_the_order_of_the_input(world: World, services: FakeServices) -> None:
    before = measure(world.inputs(), services)
    for by_table in world.rows.values():
        for rows in by_table.values():
            rows.reverse()
    assert measure(world.inputs(), services).equals(before)


def test_groups_of_two_policies_stay_apart(world: World, services: FakeServices) -> None:
    world.rows["rollouts"]["rollouts"].append(rollout("z", "a", "other", policy_id="m_2"))
    stats = measure(world.inputs(), services)
    found = stats.filter(stage="rollouts", metric="n_tokens", problem_id="p_a").sort("slice_value")
    assert found["slice_value"].to_list() == ["m_1/0/g_1", "m_2/0/g_1"]
    assert found["count"].to_list() == [4.0, 1.0]


def test_every_metric_is_declared_and_nothing_is_blended(world: World, services: FakeServices) -> None:
    stats = measure(world.inputs(), services)
    for axis, metric in stats.select("axis", "metric").unique().iter_rows():
        assert metric_of(metric).axis == axis
    assert set(stats["axis"]) == {"quality", "diversity", "complexity", "exploration"}
    assert stats.select(pl.struct(STATS.key).is_duplicated().any()).item() is False


def test_an_export_retains_what_it_does_not_reject(world: World, services: FakeServices) -> None:
    export = stage_info("dpo", "export.preference", ("rejects",), ("pairs",))
    world.rows["pairs"]["pairs"].append(pair("a", "a3", "a2"))
    world.rows["dpo"] = {
        "rejects": [
            {"problem_id": "p_a", "target_kind": "pair", "target_id": "d_a1c0a2", "reason": "short", "stage_id": "e_d"}
        ]
    }
    world = replace(world, ancestors=(*world.ancestors, export), parents=("dpo",))
    stats = measure(world.inputs(), services)
    assert value(stats, "pairs", "n_tokens") == (3.0, 21.0)
    assert value(stats, "dpo", "pass_rate") == (2.0, 1.0), "a1 stood only in the rejected pair; a2 and a3 stay"


def test_nothing_sampled_gives_no_rows(world: World, services: FakeServices) -> None:
    world.rows = {"problems": world.rows["problems"]}
    assert measure(world.inputs(), services).height == 0


HOSTILE = [
    "",
    " \n\t ",
    "\x00\x1b[2J",
    "(((((((",
    ")))))",
    "👨‍👩‍👧" * 50,
    "é" * 3,
    "9" * 5000,
    "\\frac{" * 400,
    "א\u202eב",
    "𝟛𝟜",
]


def test_hostile_texts_are_measured(world: World, services: FakeServices) -> None:
    world.rows["rollouts"]["rollouts"] = [rollout(f"h{i}", "a", text) for i, text in enumerate(HOSTILE)]
    world.rows["verdicts"]["scores"] = [score(f"h{i}", "a", "verdict", None) for i in range(len(HOSTILE))]
    stats = measure(world.inputs(), services)
    assert value(stats, "verdicts", "n_lines") is not None
    assert value(stats, "verdicts", "pass_rate") is None, "nothing was judged, which is not a pass rate of 0"
    assert stats.filter(~pl.col("total").is_finite()).height == 0
    assert stats.filter(stage="verdicts", metric="depth")["minimum"][0] == 0.0, "closing brackets open nothing"


def test_an_endless_text_is_cut(world: World, services: FakeServices) -> None:
    world.rows["rollouts"]["rollouts"][0]["completion"] = "a " * 500_000
    stats = measure(world.inputs(), services)
    words = stats.filter(stage="rollouts", metric="corpus_ngrams_1", problem_id="p_a")["count"][0]
    assert words < 50_100


def test_check_asks_which_verdicts(world: World) -> None:
    stage = MeasureQdc("report", QdcConfig(use="measure.qdc", of=("pairs",)))
    assert [field for field, _, _ in stage.check(world.ancestors)] == ["verdicts"]


def test_rollouts_go_back_to_the_first_one_they_continue() -> None:
    def found(**parents: str | None) -> dict[str, str]:
        rollouts = {"rollout_id": list(parents), "parent_rollout_id": pa.array(parents.values(), pa.string())}
        table = origins(pa.table(rollouts))
        return dict(zip(*table.to_pydict().values(), strict=True))

    assert found(a=None, b="a", c="b", d="elsewhere") == {"a": "a", "b": "a", "c": "a", "d": "elsewhere"}
    with pytest.raises(ValueError, match="in a circle"):
        found(a="b", b="a")
