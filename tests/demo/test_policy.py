"""The shipped policy: small, loadable by plain transformers, able on short problems, always ending."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from synthflow.demo import WORLDS, check_steps, heldout_path, policy_path
from synthflow.demo.evaluate import final_answer, measure
from synthflow.demo.sampling import load_policy, sample

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tests run beside each other: threads that wait for a busy core cost more than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("world", WORLDS)
def test_the_folder_is_small_and_complete(world: str) -> None:
    folder = policy_path(world)
    names = {p.name for p in folder.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "README.md"} <= names
    assert sum(p.stat().st_size for p in folder.iterdir()) < 8_000_000
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["head_dim"] == 32 and config["max_position_embeddings"] == 1024
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "license: apache-2.0" in card and "/work" not in card and "/tmp" not in card


def test_it_solves_short_problems_and_says_so_in_a_box() -> None:
    rows = [json.loads(line) for line in heldout_path().read_text(encoding="utf-8").splitlines()]
    rows = [r for r in rows if r["metadata"]["n_ops"] == 1][::5]
    model, tokenizer = load_policy(policy_path())
    completions = sample(model, tokenizer, [r["prompt"] for r in rows], n=4, seed=1)
    assert completions == sample(model, tokenizer, [r["prompt"] for r in rows], n=4, seed=1)
    report = measure(list(zip(rows, completions, strict=True)))
    assert report["truncated"] == 0
    assert report["pass_at_1"][1] > 0.75
    for row, group in zip(rows, completions, strict=True):
        for text, _, _ in group:
            if final_answer(text) == row["answer"]:
                assert check_steps(row["metadata"], text.split("\n"))[-1].value == int(row["answer"])


def test_the_long_policy_has_the_same_architecture_and_tokens() -> None:
    read = [
        json.loads((policy_path(w) / name).read_text(encoding="utf-8"))
        for name in ("config.json", "tokenizer.json")
        for w in ("short", "long")
    ]
    assert read[0] == read[1] and read[2] == read[3]
    assert (policy_path("long") / "model.safetensors").read_bytes() != (
        policy_path() / "model.safetensors"
    ).read_bytes()


def test_the_long_policy_solves_some_long_problems_and_fails_others() -> None:
    rows = [json.loads(line) for line in heldout_path("long").read_text(encoding="utf-8").splitlines()]
    rows = [r for r in rows if r["metadata"]["n_ops"] in (8, 9)][::4]
    model, tokenizer = load_policy(policy_path("long"))
    completions = sample(model, tokenizer, [r["prompt"] for r in rows], n=4, seed=1, max_new_tokens=384)
    report = measure(list(zip(rows, completions, strict=True)))
    assert report["truncated"] == 0
    assert all(0.1 < rate < 0.95 for rate in report["pass_at_1"].values())
    assert report["answer_right_iff_no_wrong_step"] > 0.9


def test_answers_are_read_by_math_verify() -> None:
    math_verify = pytest.importorskip("math_verify")
    text = "So Mia has 12 + 5 = 17 pens.\nThe answer is \\boxed{17}."
    assert math_verify.verify(math_verify.parse("17"), math_verify.parse(text))
    assert final_answer(text) == "17"
    assert final_answer("no box") is None and final_answer("\\boxed{x}") is None
