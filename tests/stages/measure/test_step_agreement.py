"""`measure.step_agreement`: figures by hand, a truth that agrees with itself, noise that knows nothing, views."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support.made_up_run import FakeServices
from support.made_up_steps import ABOVE, Labelled, Row, Says, Solution, noise, solutions, stage_infos, truth
from support.stages import stage_info
from synthflow.contracts import Inputs, StageInfo
from synthflow.errors import UserError
from synthflow.report.agreement_page import agreement_of, page, truth_rows
from synthflow.schema import STAGES
from synthflow.stages.measure.step_agreement import MeasureStepAgreement, StepAgreementConfig
from synthflow.stores.catalog.build import build_catalog, open_catalog
from synthflow.stores.shards import write_shard

Table = dict[tuple[str, str, str], Row]


def stage(**fields: Any) -> MeasureStepAgreement:
    given = {"use": "measure.step_agreement", "of": ("difficulty",), "truth": "truth", "bootstrap": 20, **fields}
    return MeasureStepAgreement("agreement", StepAgreementConfig.model_validate(given))


def measured(inputs: Inputs, **fields: Any) -> list[Row]:
    made = stage(**fields).run(inputs, FakeServices("e_agreement"))  # type: ignore[arg-type]
    return list(made["agreement"].to_pylist())


def whole(rows: list[Row]) -> Table:
    """Rows over the whole by labeler, reference and metric."""
    return {(r["labeler"], r["reference"], r["metric"]): r for r in rows if r["slice_key"] == "all" and not r["bin"]}


def copy_of_truth(solution: Solution, index: int) -> Row:
    return truth(solution, index) | {"tokens_spent": 7}


def test_the_truth_against_itself_is_perfect() -> None:
    found = whole(measured(Labelled(solutions(30), {"truth": truth, "copy": copy_of_truth})))
    for metric in (
        "auroc_first_wrong", "auroc_within_rollout", "auroc_p_first_error", "first_named", "first_exact",
        "first_within_one", "first_accuracy", "first_lowest", "first_likeliest", "kappa", "spearman",
    ):  # fmt: skip
        row = found["copy", "truth", metric]
        assert (row["value"], row["low"], row["high"]) == pytest.approx((1.0, 1.0, 1.0)), metric
    assert found["copy", "truth", "ece"]["value"] == 0 == found["copy", "truth", "first_false"]["value"]
    assert found["copy", "truth", "auroc_first_wrong"]["is_truth"]
    # Of steps that are newly wrong only the first one loses value: the others tie with right ones.
    assert found["copy", "truth", "auroc_newly_wrong"]["value"] == 1.0


_CHANCE = {
    "auroc_first_wrong": 0.5, "auroc_within_rollout": 0.5, "auroc_p_first_error": 0.5, "kappa": 0.0, "spearman": 0.0,
}  # fmt: skip


def test_noise_knows_nothing() -> None:
    # Of one length: where lengths differ, guesses agree more often than by chance, since short rollouts have few steps.
    inputs = Labelled(solutions(150, lengths=(5,)), {"truth": truth, "noise": noise(3)})
    found = whole(measured(inputs, by=(), bootstrap=400))
    for metric, chance in _CHANCE.items():
        row = found["noise", "truth", metric]
        assert row["value"] == pytest.approx(chance, abs=0.08), metric
        assert row["low"] <= chance <= row["high"] and row["low"] <= row["value"] <= row["high"], metric
    assert found["noise", "truth", "first_named"]["value"] == 1.0 == found["noise", "truth", "first_false"]["value"]


A, B = Solution("000_0", "000", 4, -1), Solution("001_0", "001", 4, 2, "newly_wrong")
SAID: dict[str, list[tuple[float | None, float | None, bool | None, int]]] = {
    # value_before, value, is_first_error, n; the last value is the verdict
    A.name: [(0.5, 0.6, False, 8), (0.6, 0.9, False, 8), (0.9, 0.8, False, 8), (0.8, 1.0, False, 0)],
    B.name: [(0.5, 0.5, False, 8), (0.5, 0.2, True, 8), (0.2, 0.1, False, 8), (0.1, 0.0, False, 0)],
}


def by_hand(solution: Solution, index: int) -> Row:
    before, value, first, n = SAID[solution.name][index]
    return {"value_before": before, "value": value, "is_first_error": first, "n": n, "tokens_spent": n * 10}


def test_figures_by_hand() -> None:
    found = whole(measured(Labelled([A, B], {"truth": truth, "hand": by_hand})))

    def value(reference: str, metric: str) -> Any:
        return found["hand", reference, metric]["value"]

    # Minus advantages of right steps: -.1 -.3 .1 -.2 (A), 0 .3 (B); the first wrong has .1, the newly wrong .1 and .1.
    # Each beats -.1 -.3 -.2 0, ties .1, loses to .3: 4.5 of 6.
    assert value("truth", "auroc_first_wrong") == pytest.approx(4.5 / 6)
    assert value("truth", "auroc_newly_wrong") == pytest.approx(4.5 / 6)
    # Within B: .1 beats 0, loses to .3.
    assert value("truth", "auroc_within_rollout") == 0.5
    # Without the last steps -.2 is gone: 3.5 of 5.
    assert value("truth", "auroc_first_wrong_inner") == pytest.approx(3.5 / 5)
    # It names step 1 of B, the truth step 2.
    assert [value("truth", m) for m in ("first_named", "first_exact", "first_within_one", "first_accuracy")] == [
        1,
        0,
        1,
        0,
    ]
    assert (value("truth", "first_lowest"), value("truth", "first_false")) == (0, 0)
    # Both say none of A and differ on B: p_o = 1/2, p_e = 1/4.
    assert value("truth", "kappa") == pytest.approx((0.5 - 0.25) / (1 - 0.25))
    # Values before the verdict: A .6 .9 .8 came 1 1 1, B .5 .2 .1 came 0 0 0. One a bin: gaps .4 .1 .2 .5 .2 .1.
    assert value("outcome", "ece") == pytest.approx((0.4 + 0.1 + 0.2 + 0.5 + 0.2 + 0.1) / 6)
    assert value("outcome", "bias") == pytest.approx((-0.4 - 0.1 - 0.2 + 0.5 + 0.2 + 0.1) / 6)
    # The truth's values: A 1 1 1, B 1 1 0.
    assert value("truth", "ece") == pytest.approx((0.4 + 0.1 + 0.2 + 0.5 + 0.8 + 0.1) / 6)
    assert (value("none", "tokens"), value("none", "tokens_per_rollout")) == (480, 240)
    assert (value("none", "rollouts"), value("none", "steps"), value("none", "undecided")) == (2, 8, 0)
    assert found["hand", "truth", "auroc_first_wrong"]["n"] == 7, "six right steps and the first wrong one"


def test_what_a_labeler_does_not_say_is_no_zero() -> None:
    def silent(solution: Solution, index: int) -> Row:
        return {"value_before": None, "value": None, "is_first_error": None}

    found = whole(measured(Labelled(solutions(10), {"truth": truth, "silent": silent})))
    for metric in (
        "auroc_first_wrong", "spearman", "first_exact", "first_accuracy", "first_false", "first_lowest", "kappa",
    ):  # fmt: skip
        assert found["silent", "truth", metric]["value"] is None, metric
    assert found["silent", "truth", "first_named"]["value"] == 0 and found["silent", "none", "undecided"]["value"] == 1
    assert not {("silent", "truth", m) for m in ("auroc_p_first_error", "first_likeliest")} & set(found)
    assert found["silent", "outcome", "ece"]["value"] is None


def reward(solution: Solution, index: int) -> Row:
    said = truth(solution, index)
    return {"scale": "reward", "value_before": 5 * said["value_before"], "value": 5 * said["value"]}


def test_rewards_have_no_calibration_but_ranks() -> None:
    found = whole(measured(Labelled(solutions(20), {"truth": truth, "reward": reward})))
    assert found["reward", "truth", "auroc_first_wrong"]["value"] == 1
    assert not any(metric in ("ece", "reliability") for _, _, metric in found)


MANY: dict[str, Says] = {"truth": truth, "one": noise(1), "two": copy_of_truth, "three": reward}


def test_rows_do_not_depend_on_the_partitions() -> None:
    made = solutions(12)
    names = sorted({s.of for s in made})
    rows = measured(Labelled(made, MANY))
    assert len(rows) == len(
        {tuple(r[k] for k in ("labeler", "reference", "slice_key", "slice_value", "metric", "bin")) for r in rows}
    )
    for seed in (1, 2):
        random.Random(seed).shuffle(names)
        cuts = [names[i : i + 3 * seed] for i in range(0, len(names), 3 * seed)]
        assert measured(Labelled(made, MANY, cuts)) == rows
    assert {r["slice_value"] for r in rows if r["slice_key"] == "difficulty_bin"} == {"easy", "hard"}
    assert {r["slice_value"] for r in rows if r["slice_key"] == "n_ops"} == {"0", "1", "2"}
    assert {r["slice_value"] for r in rows if r["slice_key"] == "steps"} == {"1-3", "4-7", "8-15"}


def test_slices_are_the_whole_of_their_own_rollouts() -> None:
    made = solutions(24)
    sliced = measured(Labelled(made, MANY), by=("steps",))
    alone = measured(Labelled([s for s in made if s.steps == 9], MANY), by=())
    assert [{**r, "slice_key": "all", "slice_value": "all"} for r in sliced if r["slice_value"] == "8-15"] == alone


def test_without_a_truth_labelers_and_the_outcome_are_compared() -> None:
    labelers = {name: says for name, says in MANY.items() if name != "truth"}
    rows = measured(Labelled(solutions(20), labelers), truth=None)
    found = whole(rows)
    assert not any(r["is_truth"] for r in rows) and found["one", "outcome", "ece"]["value"] is not None
    assert found["one", "two", "spearman"]["value"] == pytest.approx(found["two", "one", "spearman"]["value"])
    # A labeler that names first errors can be the reference of another one.
    assert found["three", "two", "auroc_first_wrong"]["value"] == 1.0


def test_two_labelers_of_one_stage_are_told_apart() -> None:
    def both(solution: Solution, index: int) -> Row:
        return truth(solution, index) | {"labeler": "soft" if solution.of == "000" else "hard"}

    found = whole(measured(Labelled(solutions(4), {"truth": truth, "both": both}), common=False))
    assert {"both/soft", "both/hard", "even split"} == {labeler for labeler, _, _ in found}


def test_fewer_problems_are_those_with_the_smallest_ids() -> None:
    made = solutions(12)
    few = measured(Labelled(made, MANY), problems=5, by=())
    assert few == measured(Labelled([s for s in made if s.of < "005"], MANY), by=())
    assert max(r["n_problems"] for r in few) == 5


def test_only_rollouts_that_all_label_are_compared() -> None:
    made = solutions(12)

    def some(solution: Solution, index: int) -> Row:
        return noise(4)(solution, index) | {"labeler": "here" if solution.of < "006" else "elsewhere"}

    both = {"truth": truth, "one": noise(1), "some": some}
    kept = measured(Labelled(made, both), labelers=("one",))
    assert whole(kept)["one", "none", "rollouts"]["value"] == 48
    with pytest.raises(UserError, match=r"labelled by all of one, some/elsewhere, some/here; .*common: false"):
        measured(Labelled(made, both))
    own = whole(measured(Labelled(made, both), common=False))
    assert [own[name, "none", "rollouts"]["value"] for name in ("one", "some/here", "some/elsewhere")] == [48, 24, 24]


def test_the_control_knows_the_outcome_and_no_step() -> None:
    made = solutions(60)
    found = whole(measured(Labelled(made, {"truth": truth, "one": noise(1)})))
    # Rollouts with an error end wrong here: their steps have 0, those of the others 1 / steps.
    clean = sum(s.steps for s in made if s.error < 0)
    right = [s.kind(i) for s in made for i in range(s.steps)].count("right")
    expected = (clean + (right - clean) / 2) / right
    assert found["even split", "truth", "auroc_first_wrong"]["value"] == pytest.approx(expected)
    assert found["even split", "truth", "auroc_within_rollout"]["value"] == 0.5
    assert found["even split", "truth", "first_accuracy"]["value"] is None
    assert found["even split", "none", "tokens"]["value"] == 0


def test_nothing_labelled_is_no_error() -> None:
    assert measured(Labelled([], MANY)) == []


OTHER_CUT = stage_info("other", "label.monte_carlo", ("step_values",), ("verdicts",), {"segmenter": "sentences"})


@pytest.mark.parametrize(
    ("fields", "ancestors", "field", "text"),
    [
        ({"truth": "trut"}, stage_infos(MANY), "truth", "did you mean 'truth'?"),
        ({"labelers": ("onne",)}, stage_infos(MANY), "labelers", "did you mean 'one'?"),
        ({"labelers": ("one", "truth")}, stage_infos(MANY), "labelers", "the truth as well"),
        ({}, stage_infos({"truth": truth}), "of", "no labeler above but the truth"),
        ({"verdicts": "nobody"}, stage_infos(MANY), "verdicts", "not a verify stage"),
        ({}, (*stage_infos(MANY), OTHER_CUT), "labelers", "segmenter: lines and sentences"),
    ],
)
def test_mistakes_that_the_graph_shows(
    fields: dict[str, Any], ancestors: tuple[StageInfo, ...], field: str, text: str
) -> None:
    [found] = list(stage(**fields).check((*ABOVE, *ancestors)))
    assert found[0] == field and text in " ".join(found)
    assert not list(stage().check((*ABOVE, *stage_infos(MANY))))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of a made-up run, with names that a page must escape."""
    root = tmp_path_factory.mktemp("catalog")
    labelers = {**MANY, "a<b>&": noise(9)}
    inputs = Labelled(solutions(12), labelers)
    rows = stage().run(inputs, FakeServices("e_agreement"))["agreement"]  # type: ignore[arg-type]
    stages = [
        {"stage_id": f"e_{name}", "name": name, "use": "label.x", "version": "1", "fingerprint": "f", "parents": [],
         "config": "{}"}
        for name in (*labelers, "agreement")
    ]  # fmt: skip
    given: dict[str, list[pa.Table]] = {"agreement": [rows], "stages": [STAGES.from_rows(stages)]}
    for name in labelers:
        given.setdefault("step_values", []).append(inputs.of_stage(name, "step_values"))
    shards = {
        table: [write_shard(root, table, part, table, f"part-{i}").path for i, part in enumerate(parts)]
        for table, parts in given.items()
    }
    build_catalog(root, shards)
    return root


def test_the_views_hold_the_rows(run: Path) -> None:
    rows = measured(Labelled(solutions(12), MANY))
    with open_catalog(run) as con:
        found = agreement_of(con)
        labelers = con.execute("SELECT stage, labeler, tokens, truth, auroc_first_wrong FROM step_labelers").fetchall()
        [(nans,)] = con.execute(
            "SELECT count(*) FROM step_agreement c WHERE to_json(c)::VARCHAR ILIKE '%nan%'"
        ).fetchall()
    keyed = {tuple(r[k] for k in ("labeler", "reference", "slice_key", "slice_value")): r for r in found["agreement"]}
    assert nans == 0 and len(keyed) == len(found["agreement"])
    for row in rows:
        shown = keyed[row["labeler"], row["reference"], row["slice_key"], row["slice_value"]]
        if row["metric"] in ("tokens", "rollouts", "steps"):
            assert shown[row["metric"]] == row["value"]
        elif row["metric"] != "reliability":
            assert shown[row["metric"]] == row["value"] and shown[f"{row['metric']}_low"] == row["low"], row["metric"]
    told = [row for row in found["agreement"] if None not in (row["first_accuracy"], row["first_false"])]
    assert told
    for row in told:
        located, cleared = row["first_accuracy"], 1 - row["first_false"]
        f1 = 2 * located * cleared / (located + cleared) if located + cleared else 0.0
        assert row["process_bench_f1"] == pytest.approx(f1)
    assert all(row["process_bench_f1"] is None for row in found["agreement"] if row not in told)
    curves = {(r["labeler"], r["reference"], r["bin"]): r["observed"] for r in found["reliability"]}
    for row in rows:
        if row["metric"] == "reliability" and row["slice_key"] == "all":
            assert curves[row["labeler"], row["reference"], row["bin"]] == row["value"]
    believed = {stage: (truth, area) for stage, _, _, truth, area in labelers}
    assert believed["two"] == ("truth", 1.0) and believed["truth"] == (None, None)
    assert len(labelers) == 5


def test_the_page_shows_every_labeler_and_escapes_their_names(run: Path) -> None:
    with open_catalog(run) as con:
        found = agreement_of(con)
    text = page(found, "a<script>")
    assert "<script" not in text and "a<b>&" not in text and "a&lt;b&gt;&amp;" in text
    assert {r["labeler"] for r in truth_rows(found)} == {"one", "two", "three", "a<b>&", "even split"}
    assert text.count("<svg") == text.count("</svg>") >= 6 and "nan" not in text.lower() and "None" not in text
    assert "http" not in text, "the page asks nobody for anything"


def test_a_page_without_a_truth_is_still_one(tmp_path: Path) -> None:
    rows = stage(truth=None).run(Labelled(solutions(6), {"one": noise(1)}), FakeServices("e"))["agreement"]  # type: ignore[arg-type]
    build_catalog(tmp_path, {"agreement": [write_shard(tmp_path, "agreement", rows, "a", "part").path]})
    with open_catalog(tmp_path) as con:
        text = page(agreement_of(con), "run")
    assert "no truth was named" in text and "one against outcome" in text
