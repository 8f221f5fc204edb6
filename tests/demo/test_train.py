"""Training: data by position alone, right padding without leaks, resuming without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from synthflow.demo import policy_path
from synthflow.demo.sampling import load_policy
from synthflow.demo.train import Run, group_loss, lr_factor, micro_batches, train
from synthflow.demo.train_data import MIXTURES, batch, example_text

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tests run beside each other: threads that wait for a busy core cost more than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_data_depends_on_seed_step_and_row_only() -> None:
    first = [example_text(7, step, row) for step in (0, 500) for row in range(20)]
    assert first == [example_text(7, step, row) for step in (0, 500) for row in range(20)]
    assert first != [example_text(8, step, row) for step in (0, 500) for row in range(20)]
    assert len(set(first)) == 40
    assert all(len(s.split("\n")) <= MIXTURES["short"].most_ops(0) + 1 for _, s in first[:20])
    assert MIXTURES["short"].most_ops(10**6) == 8


def test_schedule_warms_up_holds_and_decays() -> None:
    assert lr_factor(0, 0.0) < 0.05
    assert lr_factor(1000, 0.3) == 1.0
    assert lr_factor(1000, 0.8) < lr_factor(1000, 0.7) < 1.0
    assert 0 < lr_factor(1000, 1.0) < 0.05


def test_padding_and_grouping_do_not_change_the_loss() -> None:
    model, tokenizer = load_policy(policy_path())
    examples = batch(tokenizer, 0, 1000)[:12]
    groups = micro_batches(examples)
    assert [e for g in groups for e in g] == examples
    cpu = torch.device("cpu")
    with torch.no_grad():
        whole = float(group_loss(model, examples, cpu, tokenizer.pad_token_id))
        single = sum(float(group_loss(model, [e], cpu, tokenizer.pad_token_id)) for e in examples)
    assert whole == pytest.approx(single, rel=0.02)
    assert whole / sum(len(e.ids) - e.n_prompt for e in examples) < 1.0


@pytest.mark.extended
@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    straight = Run(tmp_path / "a", "cpu", 3)
    losses = [straight.update(1.0)[0] for _ in range(4)]
    first = Run(tmp_path / "b", "cpu", 3)
    head = [first.update(1.0)[0] for _ in range(2)]
    first.save(first.checkpoint)
    second = Run(tmp_path / "b", "cpu", 3)
    second.resume(600.0, 100)
    assert second.step == 2
    assert head + [second.update(1.0)[0] for _ in range(2)] == pytest.approx(losses, rel=1e-5)
    with pytest.raises(SystemExit, match="seed"):
        Run(tmp_path / "b", "cpu", 4).resume(600.0, 100)


@pytest.mark.extended
@pytest.mark.slow
def test_a_tiny_run_writes_a_policy_and_can_be_prolonged(tmp_path: Path) -> None:
    train(tmp_path, minutes=1, max_steps=4)
    assert (tmp_path / "stable.pt").exists() and (tmp_path / "model.safetensors").exists()
    train(tmp_path, minutes=1, max_steps=8, resume=True)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 8
    model, tokenizer = load_policy(tmp_path)
    assert model.config.vocab_size == len(tokenizer)
