"""Real trainers take real steps from a release, with no code between `load_dataset` and the trainer.

The model is a random Llama of 2 layers with a byte-level tokenizer; what is proven is that the data reaches the
loss, so every test asserts that weights moved. Two optimiser steps move a weight by more than rounding.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support import export_world

pytestmark = [pytest.mark.slow, pytest.mark.trainer, pytest.mark.timeout(600)]

if os.environ.get("CI") != "true":
    pytest.importorskip("trl")

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{% else %}{{ message['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sft/, preference/ and rl/: one release each."""
    from synthflow.stages.export.preference import ExportPreference
    from synthflow.stages.export.rl import ExportRl
    from synthflow.stages.export.sft import ExportSft

    root = tmp_path_factory.mktemp("releases")
    tables = export_world.make_tables(24)
    for name, stage in (("sft", ExportSft), ("preference", ExportPreference), ("rl", ExportRl)):
        export_world.export(stage, tables, root / name)
    return root


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny random Llama, saved: DPO, KTO and RLOO load their reference model from its path."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|pad|>", "<|eos|>", "<|user|>", "<|assistant|>", "<|system|>"]
    core = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(special + alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(special)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<|pad|>", eos_token="<|eos|>")
    tokenizer.chat_template = CHAT_TEMPLATE
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    path = tmp_path_factory.mktemp("policy")
    LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def common(tmp_path: Path) -> dict[str, Any]:
    return {
        "output_dir": str(tmp_path),
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_strategy": "no",
        "seed": 0,
    }


def train(trainer: Any) -> list[dict[str, float]]:
    """Train, and assert that finite losses were logged and weights moved."""
    import math

    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    after = {name: weight.detach() for name, weight in trainer.model.named_parameters()}
    assert max((after[name] - before[name]).abs().max().item() for name in before) > 1e-4
    assert trainer.state.global_step == 2
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(steps) == 2 and all(math.isfinite(entry["loss"]) for entry in steps)
    return steps


@pytest.mark.extended
@pytest.mark.parametrize("assistant_only", [False, True])
def test_sft(releases: Path, policy: str, tmp_path: Path, assistant_only: bool) -> None:
    from datasets import load_dataset
    from trl import SFTConfig, SFTTrainer

    rows = load_dataset(str(releases / "sft"), "sft", split="train", cache_dir=str(tmp_path / "cache"))
    args = SFTConfig(**common(tmp_path), assistant_only_loss=assistant_only)
    steps = train(SFTTrainer(model=policy, args=args, train_dataset=rows))
    assert steps[0]["loss"] == pytest.approx(5.56, abs=0.5)  # ln 261, the loss of a random model


def test_sft_tokens_have_no_loss_where_a_mask_says_so(policy: str, tmp_path: Path) -> None:
    """The loss that TRL logs first is that of the random model on the tokens that the mask leaves in, and no others."""
    import torch
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    from synthflow.schema import TABLES
    from synthflow.stages.export.sft import ExportSft

    tables = export_world.make_tables(4)
    rows = tables["rollouts"]["rollouts"].to_pylist()
    for row in rows:
        tokens = [5 + byte for byte in row["completion"].encode()] + [1]
        mask = [i % 9 == 0 for i in range(len(tokens))]
        row.update(prompt_token_ids=[2, 40, 3], token_ids=tokens, n_tokens=len(tokens), loss_mask=mask)
    tables["rollouts"] = {**tables["rollouts"], "rollouts": TABLES["rollouts"].from_rows(rows)}
    stage = ExportSft("sft", ExportSft.Config(use="export.sft", tokens=True))
    export_world.export(stage, tables, tmp_path / "release")
    found = load_dataset(str(tmp_path / "release"), "sft_tokens", split="train", cache_dir=str(tmp_path / "cache"))
    model = AutoModelForCausalLM.from_pretrained(policy)
    ids, labels = (torch.tensor([found[0][name]]) for name in ("input_ids", "labels"))
    with torch.no_grad():
        masked, whole = model(ids, labels=labels).loss.item(), model(ids, labels=ids).loss.item()
    steps = train(SFTTrainer(model=policy, args=SFTConfig(**common(tmp_path)), train_dataset=found.select([0] * 4)))
    assert steps[0]["loss"] == pytest.approx(masked, abs=1e-3) and abs(masked - whole) > 5e-3


def test_dpo(releases: Path, policy: str, tmp_path: Path) -> None:
    from datasets import load_dataset
    from trl import DPOConfig, DPOTrainer

    rows = load_dataset(str(releases / "preference"), "preference", split="train", cache_dir=str(tmp_path / "cache"))
    steps = train(DPOTrainer(model=policy, args=DPOConfig(**common(tmp_path)), train_dataset=rows))
    assert steps[0]["loss"] == pytest.approx(0.6931, abs=1e-3)  # ln 2: policy and reference are equal at first


@pytest.mark.extended
def test_kto(releases: Path, policy: str, tmp_path: Path) -> None:
    from datasets import load_dataset
    from trl import KTOConfig, KTOTrainer

    rows = load_dataset(str(releases / "preference"), "unpaired", split="train", cache_dir=str(tmp_path / "cache"))
    train(KTOTrainer(model=policy, args=KTOConfig(**common(tmp_path)), train_dataset=rows))


@pytest.mark.extended
def test_reward(releases: Path, policy: str, tmp_path: Path) -> None:
    from datasets import load_dataset
    from trl import RewardConfig, RewardTrainer

    rows = load_dataset(str(releases / "preference"), "preference", split="train", cache_dir=str(tmp_path / "cache"))
    steps = train(RewardTrainer(model=policy, args=RewardConfig(**common(tmp_path)), train_dataset=rows))
    # a margin of 1 is read from the file: -log sigmoid(0 - 1) = 1.3133 where both answers score alike
    assert steps[0]["loss"] == pytest.approx(1.31, abs=0.15)


@pytest.mark.extended
def test_grpo_with_the_demo_policy(tmp_path: Path) -> None:
    """Problems of the demo world, the shipped policy, and `accuracy_reward`, which finds `solution` in the file."""
    from datasets import load_dataset
    from trl import GRPOConfig, GRPOTrainer
    from trl.rewards import accuracy_reward

    from synthflow.demo import policy_path
    from synthflow.stages.export.rl import ExportRl

    stage = ExportRl("rl", ExportRl.Config(use="export.rl", of="problems"))
    inputs = export_world.PartitionedInputs(
        export_world.ANCESTORS[:1], ("problems",), {"problems": {"problems": _demo_problems()}}, 1
    )
    (tmp_path / "rl").mkdir()
    assert export_world.released(stage, inputs, tmp_path / "rl").num_rows == 0

    rows = load_dataset(str(tmp_path / "rl"), "rl", split="train", cache_dir=str(tmp_path / "cache"))
    options = common(tmp_path / "out") | {"per_device_train_batch_size": 16, "learning_rate": 1e-3}
    shape = {"num_generations": 4, "max_completion_length": 96, "num_iterations": 2}  # one generation, two steps
    args = GRPOConfig(**options, **shape, shuffle_dataset=False)
    trainer = GRPOTrainer(model=str(policy_path()), reward_funcs=accuracy_reward, args=args, train_dataset=rows)
    steps = train(trainer)
    # some answers are right and some are wrong: the reward reads the file, and the policy learns from it
    assert 0 < steps[0]["rewards/accuracy_reward/mean"] < 1
    assert any(entry["grad_norm"] > 0 for entry in steps)


def _demo_problems() -> Any:
    """Held-out problems of three operations, some of whose answers are right."""
    import json

    from synthflow import ids
    from synthflow.demo import heldout_path
    from synthflow.schema import TABLES

    rows = []
    for line in heldout_path().read_text().splitlines():
        problem = json.loads(line)
        if problem["metadata"]["n_ops"] == 3 and len(rows) < 8:
            prompt = [{"role": "user", "content": problem["prompt"]}]
            common = {"problem_id": ids.problem_id(prompt), "prompt": prompt, "answer": problem["answer"]}
            rows.append(common | {"source": problem["source"], "metadata": "{}", "content_hash": "h"})
    return TABLES["problems"].from_rows(rows)


@pytest.mark.extended
def test_accuracy_reward_pays_for_the_exported_solution(releases: Path, tmp_path: Path) -> None:
    from datasets import load_dataset
    from trl.rewards import accuracy_reward

    rows = load_dataset(str(releases / "rl"), "rl", split="train", cache_dir=str(tmp_path / "cache"))
    right = [[{"role": "assistant", "content": f"So it is \\boxed{{{answer}}}."}] for answer in rows["answer"]]
    wrong = [[{"role": "assistant", "content": "So it is \\boxed{-1}."}] for _ in right]
    assert accuracy_reward(right, rows["solution"]) == [1.0] * len(right)
    assert accuracy_reward(wrong, rows["solution"]) == [0.0] * len(right)


@pytest.mark.extended
def test_command_line(releases: Path, policy: str, tmp_path: Path) -> None:
    """`trl sft` with two flags of ours and no code at all."""
    from safetensors.torch import load_file

    command = [Path(sys.executable).parent / "trl", "sft", "--model_name_or_path", policy]
    command += ["--dataset_name", str(releases / "sft"), "--dataset_config", "sft"]
    command += ["--output_dir", str(tmp_path / "out"), "--max_steps", "2", "--per_device_train_batch_size", "4"]
    command += ["--use_cpu", "--bf16", "False", "--report_to", "none", "--save_strategy", "no"]
    command += ["--assistant_only_loss", "true"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    before, after = (load_file(Path(folder) / "model.safetensors") for folder in (policy, tmp_path / "out"))
    assert max((after[name] - before[name]).abs().max().item() for name in before) > 0
