"""A small batched sampler with a key-value cache, for training checks and the evaluation.

Invariant: prompts are left-padded, every row samples at temperature 1 from the full distribution with its
own place in one seeded generator, and a row that has ended only ever adds padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def load_policy(path: Path, device: str = "cpu") -> tuple[Any, PreTrainedTokenizerFast]:
    """(model in float32 and eval mode, tokenizer)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).to(device)
    model.eval()
    return model, AutoTokenizer.from_pretrained(path)


def sample(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[str],
    *,
    n: int,
    seed: int,
    max_new_tokens: int = 256,
) -> list[list[tuple[str, bool, int]]]:
    """n completions of every prompt: (text without the stop token, whether it ended, new tokens)."""
    import torch

    texts = [
        str(tokenizer.apply_chat_template([{"role": "user", "content": p}], tokenize=False, add_generation_prompt=True))
        for p in prompts
    ]
    inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    ids = inputs.input_ids.repeat_interleave(n, 0).to(model.device)
    mask = inputs.attention_mask.repeat_interleave(n, 0).to(model.device)
    generator = torch.Generator(model.device).manual_seed(seed)
    eos, pad = int(tokenizer.eos_token_id), int(tokenizer.pad_token_id)
    position = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = None
    alive = torch.ones(len(ids), dtype=torch.bool, device=model.device)
    out: list[torch.Tensor] = []
    step_ids = ids
    with torch.inference_mode():
        for _ in range(max_new_tokens):
            result = model(
                input_ids=step_ids,
                attention_mask=mask,
                position_ids=position,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache = result.past_key_values
            probabilities = torch.softmax(result.logits[:, -1].float(), -1)
            token = torch.multinomial(probabilities, 1, generator=generator)[:, 0]
            token = torch.where(alive, token, pad)
            out.append(token)
            alive &= token != eos
            if not bool(alive.any()):
                break
            step_ids = token[:, None]
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], 1)
            position = position[:, -1:] + 1
    rows = torch.stack(out, 1).tolist()
    done: list[tuple[str, bool, int]] = []
    for row in rows:
        ended = eos in row
        kept = row[: row.index(eos)] if ended else row
        done.append((str(tokenizer.decode(kept)), ended, len(kept) + ended))
    return [done[i * n : (i + 1) * n] for i in range(len(prompts))]
