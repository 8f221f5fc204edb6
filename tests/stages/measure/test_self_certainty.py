"""Self-certainty: worked by hand, on the real demo policy, and as what ranks votes."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from support.judging import Services, inputs_of, mistakes, rollout
from support.judging import run as run_stage
from synthflow.backends import load_renderer
from synthflow.contracts import PolicyConfig
from synthflow.errors import UserError
from synthflow.models.directories import identify, resolve_model
from synthflow.stages.measure.self_certainty import self_certainty

DEMO = PolicyConfig(backend="transformers", model="demo")


class Table:
    """A model of two tokens whose distribution after each token is given."""

    device = "cpu"

    def __init__(self, after: dict[int, tuple[float, float]]) -> None:
        self._after = after

    def __call__(self, input_ids: Any) -> Any:
        import torch

        return SimpleNamespace(logits=torch.tensor([[self._after[int(i)] for i in input_ids[0]]]).log())


def test_by_hand() -> None:
    """KL(uniform || (.9, .1)) = -(ln(2 · .9) + ln(2 · .1)) / 2 = .5108; of the uniform distribution 0."""
    expected = -(math.log(1.8) + math.log(0.2)) / 2
    table = Table({0: (0.9, 0.1), 1: (0.5, 0.5)})
    assert self_certainty(table, [1, 0], [0]) == pytest.approx(expected, abs=1e-5)
    assert self_certainty(table, [0, 1], [0]) == 0
    # The first token was drawn after the prompt's last, the second after the first; what follows the last is not read.
    assert self_certainty(table, [1], [0, 1]) == pytest.approx(expected / 2, abs=1e-5)


def rows() -> list[dict[str, Any]]:
    renderer = load_renderer(DEMO)
    assert renderer is not None
    policy = identify(resolve_model("demo")).policy_id
    prompt = renderer.render([("user", "Tom has 3 apples and buys 4 more. How many apples does Tom have?")])
    likely = renderer.encode("3 + 4 = 7\n")
    odd = renderer.encode("apples apples apples\n")
    common = {"policy_id": policy, "prompt_token_ids": prompt}
    return [
        rollout("r_1", "a", token_ids=likely, **common),
        rollout("r_2", "b", token_ids=odd, **common),
        rollout("r_3", "", token_ids=None, finish_reason="refused", **common),
        rollout("r_4", "c", token_ids=likely * 90, **common),
    ]


def run(found: list[dict[str, Any]], **fields: Any) -> list[dict[str, Any]]:
    tables = run_stage("measure.self_certainty", inputs_of(found), Services(), model="demo", **fields)
    return sorted(tables["scores"], key=lambda row: row["target_id"])


def test_the_real_policy_against_the_formula() -> None:
    import torch
    from transformers import AutoModelForCausalLM

    scores = run(rows(), max_length=256)
    assert {(row["kind"], row["scorer"], row["verdict"]) for row in scores} == {("measure", "self_certainty", None)}
    assert [row["reason"] for row in scores] == [None, None, "refused", "too_long"]
    model = AutoModelForCausalLM.from_pretrained(resolve_model("demo"), dtype=torch.float32).eval()
    for row, score in zip(rows()[:2], scores, strict=False):
        total, read = 0.0, list(row["prompt_token_ids"])
        for token in row["token_ids"]:  # one token at a time, from the formula
            with torch.inference_mode():
                p = model(torch.tensor([read])).logits[0, -1].double().softmax(-1)
            total -= float(torch.log(len(p) * p).mean())
            read.append(token)
        assert score["value"] == pytest.approx(total / len(row["token_ids"]), abs=1e-4)


def test_another_policy_s_rollouts_are_refused() -> None:
    strange = [row | {"policy_id": "m_other"} for row in rows()[:1]]
    with pytest.raises(UserError, match="is of policy m_other"):
        run(strange)


def test_a_model_that_is_not_there_is_a_mistake_of_the_spec() -> None:
    found = mistakes("measure.self_certainty", model="no/such/model")
    assert set(found) == {"model"} and "no/such/model" in found["model"]
