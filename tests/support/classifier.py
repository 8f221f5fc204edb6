"""A tiny reward model, made where a test needs one."""

from __future__ import annotations

import json
from pathlib import Path

TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"


def write_classifier(directory: Path, *, labels: int = 1, pad: bool = True, poison: bool = False) -> Path:
    """A tiny random Llama with a classification head and a byte-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForSequenceClassification

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", *alphabet])}
    core = Tokenizer(models.BPE(vocabulary, []))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    core.add_special_tokens(["<pad>", "<eos>"])
    directory.mkdir(parents=True, exist_ok=True)
    core.save(str(directory / "tokenizer.json"))
    settings = {"eos_token": "<eos>", "chat_template": TEMPLATE, "tokenizer_class": "PreTrainedTokenizerFast"}
    settings |= {"pad_token": "<pad>"} if pad else {}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    torch.manual_seed(labels)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=512, num_labels=labels, initializer_range=0.4,
        bos_token_id=None, eos_token_id=1, pad_token_id=0 if pad else None,
    )  # fmt: skip
    model = LlamaForSequenceClassification(config)
    if poison:
        with torch.no_grad():
            model.score.weight.fill_(float("nan"))
    model.save_pretrained(directory)
    return directory
