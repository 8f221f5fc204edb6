"""Scores of two real policies in real runs: what they say, and that nobody pays for them twice."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from support.runs import SMALL, run_ok, synthflow, tables, with_changes, write_spec
from synthflow.demo import policy_path
from synthflow.stores.journal import decode
from synthflow.stores.manifest import Manifest

pytestmark = [pytest.mark.slow, pytest.mark.extended, pytest.mark.timeout(600)]

STAGES: dict[str, dict[str, Any]] = {
    "problems": {"use": "source.demo", "limit": 6},
    "rollouts": {"use": "sample", "of": "problems", "n": 4, "max_tokens": 200},
    "verdicts": {"use": "verify.math", "of": "rollouts"},
    "rewards": {"use": "label.implicit", "of": "verdicts", "reference": "reference", "groups": "all"},
    "forks": {
        "use": "label.implicit", "of": "verdicts", "reference": "reference", "groups": "all",
        "entropy_steps": {"top": 6},
    },
    "branches": {"use": "sample.branch", "of": "verdicts", "n": 2, "max_tokens": 200},
}  # fmt: skip


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo policy with a little noise on its weights: another policy that reads the same tokens."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("reference") / "policy"
    shutil.copytree(policy_path(), folder)
    weights, made = load_file(folder / "model.safetensors"), torch.Generator().manual_seed(0)
    noisy = {
        name: w + 0.02 * w.float().std() * torch.randn(w.shape, generator=made).to(w.dtype)
        for name, w in weights.items()
    }
    save_file(noisy, folder / "model.safetensors", {"format": "pt"})
    return folder


def spec(reference: Path, **stages: Any) -> dict[str, Any]:
    policies = {"default": SMALL["policy"], "reference": {"backend": "transformers", "model": str(reference)}}
    made: dict[str, Any] = {"name": "scoring", "seed": 3, "policies": policies, "stages": dict(STAGES)}
    return with_changes({**made, "execution": {"partition_size": 4}}, stages=stages)


@pytest.fixture(scope="module")
def run(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scored")
    run_ok(write_spec(folder / "spec.yaml", spec(reference)), folder / "run")
    return folder / "run"


def records(run: Path) -> Counter[str]:
    """How often every request was answered."""
    lines = [line for path in (run / "journal").glob("*.jsonl") for line in path.read_bytes().splitlines()]
    return Counter(found[1].rollout_id for line in lines if (found := decode(line)) is not None)


def of(run: Path, name: str, table: str) -> pl.DataFrame:
    return tables(run)[table].filter(pl.col("stage_id") == Manifest(run).graph.stages[name].stage_id)


def test_rewards_are_those_of_two_fresh_forward_passes(run: Path, reference: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    load = {"dtype": torch.float32, "local_files_only": True}
    models = [AutoModelForCausalLM.from_pretrained(m, **load).eval() for m in (policy_path(), reference)]
    rollouts = of(run, "rollouts", "rollouts")
    values = of(run, "rewards", "step_values").join(of(run, "rewards", "steps"), on="step_id").sort("index")
    assert set(values["rollout_id"]) == set(rollouts["rollout_id"])
    for row in rollouts.head(12).iter_rows(named=True):
        whole = torch.tensor([row["prompt_token_ids"] + row["token_ids"]])
        target = torch.tensor(row["token_ids"])[:, None]
        with torch.inference_mode():
            told = [
                m(whole).logits[0, len(row["prompt_token_ids"]) - 1 : -1].log_softmax(-1).gather(-1, target)[:, 0]
                for m in models
            ]
        assert told[0].tolist() == pytest.approx(row["logprobs"], abs=1e-3)
        ratio = 0.05 * (told[0] - told[1]).double()
        for step in values.filter(pl.col("rollout_id") == row["rollout_id"]).iter_rows(named=True):
            own = ratio[step["token_start"] : step["token_end"]].sum()
            assert step["advantage"] == pytest.approx(float(own), abs=2e-4)


def test_scored_log_probabilities_are_those_of_the_sampling(run: Path) -> None:
    from synthflow import ids

    lines = [line for path in (run / "journal").glob("*.jsonl") for line in path.read_bytes().splitlines()]
    told = {found[1].rollout_id: found[1] for line in lines if (found := decode(line)) is not None}
    for row in of(run, "rollouts", "rollouts").iter_rows(named=True):
        for top in (0, 20):
            scored = told[ids.score_id(row["policy_id"], row["prompt_token_ids"], row["token_ids"], top)]
            assert scored.logprobs == pytest.approx(row["logprobs"], abs=1e-3)
            assert (scored.entropies is None) == (top == 0)


def test_the_run_is_sound_and_every_reading_was_paid_once(run: Path) -> None:
    assert synthflow("check", run).returncode == 0
    answered = records(run)
    assert max(answered.values()) == 1
    n = of(run, "rollouts", "rollouts").select("prompt_token_ids", "token_ids").n_unique()
    # Under the policy without and with entropies (rewards; forks and branches together), under the reference without;
    # and two rollouts of the same words are one reading.
    assert sum(name.startswith("l_") for name in answered) == 3 * n
    forks = of(run, "forks", "steps")
    assert forks["segmenter"].str.starts_with("entropy:top=6@m_").all()
    assert forks.group_by("rollout_id").len()["len"].max() == 7


def test_another_beta_another_cut_and_one_branch_more_read_nothing_again(
    run: Path, reference: Path, tmp_path: Path
) -> None:
    again = tmp_path / "run"
    shutil.copytree(run, again)
    before, old = records(run), of(run, "branches", "rollouts")
    changes = {"rewards": {"beta": 1.0, "segmenter": "sentences"}, "forks": {"entropy_steps": {"top": 3}}}
    run_ok(write_spec(tmp_path / "spec.yaml", spec(reference, **changes, branches={"n": 3})), again)
    after = records(again)
    new = of(again, "branches", "rollouts")
    assert set(old["rollout_id"]) < set(new["rollout_id"]) and new.height == old.height * 3 // 2
    assert {name for name in after if name not in before} == set(new["rollout_id"]) - set(old["rollout_id"])
    assert max(after.values()) == 1
    one, other = of(run, "rewards", "scores"), of(again, "rewards", "scores")
    both = one.join(other, on="target_id", suffix="_new")
    assert (both["value"] * 20 - both["value_new"]).abs().max() < 1e-3  # type: ignore[operator]
    assert synthflow("check", again).returncode == 0


def test_a_reference_that_reads_other_tokens_is_one_clear_line(reference: Path, tmp_path: Path) -> None:
    import json

    other = tmp_path / "other"
    shutil.copytree(reference, other)
    read = json.loads((other / "tokenizer.json").read_text())
    vocabulary = read["model"]["vocab"]
    one, two = list(vocabulary)[-2:]
    vocabulary[one], vocabulary[two] = vocabulary[two], vocabulary[one]
    (other / "tokenizer.json").write_text(json.dumps(read))
    small = {"problems": {"limit": 2}, "rollouts": {"n": 1}}
    made = spec(other, **small)
    del made["stages"]["forks"], made["stages"]["branches"]
    done = synthflow("run", write_spec(tmp_path / "spec.yaml", made), "--out", tmp_path / "run")
    assert done.returncode == 2, done.stderr
    assert "have different tokenizers" in done.stderr and "Traceback" not in done.stderr
