"""First rollouts: a problem whose prompt the policy's template refuses is a reject, and the others are sampled."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from support.toy_world import ToyRenderer, ToyServices, inputs_of, problem_row
from synthflow.errors import TemplateRefusal, UserError
from synthflow.execute.coverage import check_coverage, check_keys
from synthflow.rollouts.rows import thought_and_answer
from synthflow.stages.sample.first import Sample

N = 3


class Picky(ToyRenderer):
    """Takes no problem called `b`."""

    def __init__(self, error: type[UserError]) -> None:
        super().__init__()
        self.error = error

    def render(self, messages: Sequence[tuple[str, str]]) -> list[int]:
        if "Qb>" in messages[-1][1]:
            raise self.error("the model's chat template refuses the messages: no robots")
        return super().render(messages)


def test_what_the_template_refuses_is_a_reject() -> None:
    problems = [problem_row(name) for name in "abc"]
    inputs = inputs_of(problems, [], [])
    stage = Sample("rollouts", Sample.Config(use="sample", of="problems", n=N))
    made = stage.run(inputs, ToyServices(Picky(TemplateRefusal)))
    [reject] = made["rejects"].to_pylist()
    assert (reject["target_kind"], reject["target_id"]) == ("problem", problems[1]["problem_id"])
    assert reject["reason"] == "refused: the model's chat template refuses the messages: no robots"
    sampled = [row["problem_id"] for row in made["rollouts"].to_pylist()]
    assert sorted(sampled) == sorted(N * [problems[0]["problem_id"], problems[2]["problem_id"]])
    check_keys("rollouts", made)
    check_coverage("rollouts", Sample.covers, inputs, made)  # type: ignore[arg-type]
    with pytest.raises(UserError):
        stage.run(inputs, ToyServices(Picky(UserError)))
    with pytest.raises(TemplateRefusal, match="no robots"):
        stage.draw(inputs, ToyServices(Picky(TemplateRefusal)), lambda problem: range(N))
    rows = stage.draw(inputs, ToyServices(), lambda problem: range(N))
    assert rows.num_rows == 3 * N


@pytest.mark.parametrize(
    ("text", "told", "spans"),
    [
        ("x</think>\n\nIt is 2.", None, [("thought", 0, 9), ("answer", 9, 19)]),
        (
            "<think>a</think>b<think>c</think> d",
            None,
            [("thought", 0, 16), ("answer", 16, 17), ("thought", 17, 33), ("answer", 33, 35)],
        ),
        ("so <think>x", None, [("answer", 0, 3), ("thought", 3, 11)]),
        ("<think>x", 8, [("thought", 0, 8)]),
        ("no thought", None, None),
    ],
)
def test_a_thought_and_the_answer_after_it_tile_the_text(text: str, told: int | None, spans: object) -> None:
    found = thought_and_answer(text, told)
    assert (found and [(s["author"], s["start"], s["end"]) for s in found]) == spans
