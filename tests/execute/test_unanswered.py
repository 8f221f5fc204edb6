"""What has no answer is told by name, and stops a run when it is too much."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from synthflow.contracts import PolicyIdentity, SampleRequest, SampleResult, SamplingParams
from synthflow.errors import Incomplete
from synthflow.execute.error_rate import too_many
from synthflow.execute.unanswered import Heard, check_answers, endings
from synthflow.plan.planned import PlannedRun, SourceUnits, plan_run
from synthflow.schema import REJECTS
from synthflow.spec import Pipeline
from synthflow.stores.manifest import Commit, Manifest
from synthflow.stores.results import Results
from synthflow.stores.shards import Shard, write_shard

STAGES = {
    "problems": {"use": "source.demo", "limit": 4},
    "rollouts": {"use": "sample", "of": "problems", "n": 2},
    "verdicts": {"use": "verify.math", "of": "rollouts"},
    "sft": {"use": "export.sft", "of": "verdicts"},
}
UNITS = ("q_1", "q_2")


@pytest.mark.parametrize(
    ("unanswered", "total", "expected"),
    [(0, 0, False), (0, 9, False), (1, 1, True), (9, 9, True), (5, 9, False), (20, 80, False), (21, 80, True),
     (19, 20, False), (30, 40, True)],
)  # fmt: skip
def test_too_many_are_a_share_of_not_a_few_or_all(unanswered: int, total: int, expected: bool) -> None:
    assert too_many(unanswered, total, 0.25) is expected


def planned(root: Path) -> PlannedRun:
    pipeline = Pipeline.build("p", STAGES, {"backend": "transformers", "model": "demo"})
    identities = {"default": PolicyIdentity("m_1", "w", "t", "c")}
    found = plan_run(pipeline, Manifest(root), identities).with_sources({"problems": SourceUnits(UNITS, None)})
    found.manifest.open_attempt(found.records, {})
    found.manifest.set_partitions("problems", UNITS, None)
    return found


def commit(found: PlannedRun, stage: str, unit: str, rows: int, unanswered: dict[str, int], *shards: Shard) -> None:
    record, key = found.graph.stages[stage], found.graph.key(stage, unit)
    held = Shard("rollouts", "tables/x", rows, 1, "s")
    made = Commit(stage, record.fingerprint, record.stage_id, unit, key, 1, (held, *shards), {}, unanswered)
    found.manifest.commit(made)


def rejected(root: Path, reason: str) -> Shard:
    row = {"problem_id": "p_1", "target_kind": "rollout", "target_id": "r_1", "reason": reason, "stage_id": "e_1"}
    return write_shard(root, "rejects", REJECTS.from_rows([row]), "rollouts-x", "part-1")


def test_a_stage_without_answers_stops_the_run_and_is_owed_with_what_was_made_of_it(tmp_path: Path) -> None:
    found = planned(tmp_path)
    commit(found, "rollouts", "q_1", 40, {})
    commit(found, "rollouts", "q_2", 40, {"refused": 30}, rejected(tmp_path, "refused: no such model option"))
    for unit in UNITS:
        commit(found, "verdicts", unit, 0, {})
    with pytest.raises(Incomplete, match=r"30 of 80 .*\(30 refused\), more than max_error_rate 0.25.* no such model"):
        check_answers(found.manifest, ["rollouts", "verdicts"], tmp_path, 0.25)
    assert found.manifest.owed() == {"problems": 2, "rollouts": 1, "verdicts": 1, "sft": 1}
    check_answers(found.manifest, ["rollouts"], tmp_path, 0.25)


def test_a_few_do_not_stop_it(tmp_path: Path) -> None:
    found = planned(tmp_path)
    commit(found, "rollouts", "q_1", 4, {"refused": 3})
    commit(found, "rollouts", "q_2", 4, {})
    check_answers(found.manifest, ["rollouts"], tmp_path, 0.25)
    assert "rollouts" not in found.manifest.owed()


def test_what_a_template_refuses_counts_as_not_answered(tmp_path: Path) -> None:
    found = planned(tmp_path)
    for unit in UNITS:
        commit(found, "rollouts", unit, 0, {"not asked": 2}, rejected(tmp_path, "refused: no robots"))
    with pytest.raises(Incomplete, match=r"4 of 4 requests have no answer \(4 not asked\).*no robots"):
        check_answers(found.manifest, ["rollouts"], tmp_path, 0.25)


def test_who_had_no_answer_and_why_is_a_row_of_rejects() -> None:
    heard = Heard()
    asked = [SampleRequest(f"r_{i}", "p_1", (), (1,), SamplingParams(), i) for i in range(4)]
    heard.add(
        asked,
        Results.of(
            [
                SampleResult("r_0", "", "refused", reason="too \ud800 " + "long " * 200),
                SampleResult("r_1", "x", "stop", notes=("seed was not sent",)),
                SampleResult("r_2", "", "failed", reason="gone"),
                SampleResult("r_3", "", "poison"),
            ]
        ),
    )
    written = pa.table({"rollout_id": ["r_0", "r_1", "r_2"], "finish_reason": ["refused", "stop", "failed"]})
    rows = heard.rejects({"rollouts": written}, "e_1").to_pylist()
    assert [(r["target_id"], r["reason"][:14]) for r in rows] == [("r_0", "refused: too ?"), ("r_2", "failed: gone")]
    assert len(rows[0]["reason"]) == 400 and heard.notes == {"seed was not sent": 1}
    assert heard.rejects({}, "e_1").num_rows == 0
    problem = {"problem_id": "p_9", "target_kind": "problem", "target_id": "p_9", "stage_id": "e_1"}
    rejects = REJECTS.from_rows([{**problem, "reason": "refused: no robots"}, {**problem, "reason": "no_budget"}])
    assert endings({"rollouts": written, "rejects": rejects}) == {"failed": 1, "not asked": 1, "refused": 1}
