"""A fingerprint is a hash of all that can change a stage's rows, and of nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from synthflow.contracts import PolicyIdentity
from synthflow.plan.records import stage_records
from synthflow.spec import Pipeline
from synthflow.stages.curriculum.budget import Budget
from synthflow.stores.graph import StageRecord

STAGES: dict[str, dict[str, Any]] = {
    "problems": {"use": "source.demo", "limit": 4},
    "rollouts": {"use": "sample", "of": "problems", "n": 2},
    "verdicts": {"use": "verify.math", "of": "rollouts"},
    "difficulty": {"use": "curriculum.pass_rate", "of": "verdicts"},
}
POLICY = {"backend": "transformers", "model": "demo"}


def fingerprints(stages: dict[str, dict[str, Any]] = STAGES, policy_id: str = "m_1", **fields: Any) -> dict[str, str]:
    pipeline = Pipeline.build("p", stages, POLICY, **fields)
    identities = {"default": PolicyIdentity(policy_id, "w", "t", "c")}
    return {record.name: record.fingerprint for record in stage_records(pipeline, identities)}


def with_option(stage: str, **options: Any) -> dict[str, dict[str, Any]]:
    return {**STAGES, stage: {**STAGES[stage], **options}}


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"stages": with_option("problems", limit=5)}, "problems"),
        ({"seed": 8}, "rollouts"),
        ({"round": 1}, "rollouts"),
        ({"policy_id": "m_2"}, "rollouts"),
        ({"stages": with_option("rollouts", temperature=0.5)}, "rollouts"),
        ({"stages": with_option("verdicts", truncated="wrong")}, "verdicts"),
        ({"stages": with_option("difficulty", min_judged=3)}, "difficulty"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_a_change_is_one_of_its_stage_and_of_all_below(change: dict[str, Any], first: str) -> None:
    before, after = fingerprints(), fingerprints(**change)
    names = list(STAGES)
    assert [name for name in names if before[name] != after[name]] == names[names.index(first) :]


def test_a_field_that_older_runs_do_not_know_changes_nothing_while_it_says_what_they_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if `prior` had come after runs were made: at its default neither fingerprint nor record show it."""
    stages = {**STAGES, "budget": {"use": "curriculum.budget", "of": "difficulty", "rollouts_per_problem": 2}}

    def record(**options: Any) -> StageRecord:
        pipeline = Pipeline.build("p", {**stages, "budget": {**stages["budget"], **options}}, POLICY)
        return stage_records(pipeline, {"default": PolicyIdentity("m_1", "w", "t", "c")})[-1]

    known = record()
    monkeypatch.setattr(Budget, "added", ("prior",))
    default, given, other = record(), record(prior=known.config["prior"]), record(prior=0.25)
    assert default == given and "prior" not in default.config
    assert default.config == {name: value for name, value in known.config.items() if name != "prior"}
    assert other.config["prior"] == 0.25
    assert len({known.fingerprint, default.fingerprint, other.fingerprint}) == 3


def test_names_and_the_way_it_is_executed_are_no_part_of_it() -> None:
    renamed = {
        "tasks": STAGES["problems"],
        "drawn": {**STAGES["rollouts"], "of": "tasks"},
        "judged": {**STAGES["verdicts"], "of": "drawn"},
        "rates": {**STAGES["difficulty"], "of": "judged"},
    }
    assert [*fingerprints(renamed).values()] == [*fingerprints().values()]
    assert fingerprints(execution={"partition_size": 1}) == fingerprints()
