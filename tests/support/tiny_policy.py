"""A tiny random policy: a Llama with heads of 32 and a byte-level BPE; and a tokenizer as SentencePiece models have."""

from __future__ import annotations

import json
from pathlib import Path

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SPECIAL = ["<|pad|>", "<|bos|>", "<|eos|>", "<|user|>", "<|assistant|>"]
TEXT = ["Tom has 12 apples and buys 3 more.\nHow many?", "12 + 3 = 15\nAnswer: 15", "naïve café 🍏🍎 中文 text"] * 5


def write_byte_level(directory: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(TEXT, trainer)
    core.add_tokens([AddedToken("<think>", special=False), AddedToken("à la 🍏", special=False)])
    directory.mkdir(parents=True, exist_ok=True)
    core.save(str(directory / "tokenizer.json"))
    config = {"bos_token": "<|bos|>", "eos_token": "<|eos|>", "pad_token": "<|pad|>", "chat_template": TEMPLATE}
    (directory / "tokenizer_config.json").write_text(json.dumps(config))


def write_metaspace(directory: Path) -> None:
    """What SentencePiece models become: metaspace, byte fallback, a stripped first space."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=pieces, show_progress=False)
    core.train_from_iterator([t for t in TEXT if t.isascii()], trainer)
    saved = json.loads(core.to_str())
    for token in saved["added_tokens"]:
        token["special"] = token["content"] in ("<unk>", "<s>", "</s>")
    saved["added_tokens"] = [t for t in saved["added_tokens"] if t["special"]]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "tokenizer.json").write_text(json.dumps(saved))
    config = {"bos_token": "<s>", "eos_token": "</s>", "chat_template": TEMPLATE}
    (directory / "tokenizer_config.json").write_text(json.dumps(config))


def write_policy(directory: Path, *, context: int = 256, seed: int = 0, kv_heads: int = 2) -> Path:
    """Weights, tokenizer and configurations of a random policy, peaked enough to have likely and unlikely tokens."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    write_byte_level(directory)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=344, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=kv_heads, head_dim=32, max_position_embeddings=context, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=2, pad_token_id=0, initializer_range=0.15,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=[2], pad_token_id=0)
    model.save_pretrained(directory)
    return directory
