"""One token a row through a model of Llama's kind, on a CPU: fewer and larger operations than module by module.

Invariant: the weights are the model's own, as they lie in memory; what is computed is its forward pass, in an order
of its own. Nothing here is believed: who opens it compares a few logits with the model's own first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(layer, query, key, value) to what every row has read; see `SharedAttention.attend`."""


KINDS = frozenset(("llama", "mistral", "qwen2", "qwen3"))
"""Values of `model_type` with these parts."""


def looks_like_llama(model: Any) -> bool:
    """Whether a model's configuration says that it has the parts that are used here, in full precision."""
    config = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    kind = rope.get("rope_type", "default")
    return (
        config.model_type in KINDS
        and config.hidden_act == "silu"
        and kind in ("default", "linear", "llama3", "yarn")  # turning by the position alone
        and getattr(config, "quantization_config", None) is None
    )


class LlamaForward:
    """The forward pass of one token a row."""

    def __init__(self, model: Any) -> None:
        inner = model.model
        self._embed, self._rotary = inner.embed_tokens, inner.rotary_emb
        self._head, self._norm = model.lm_head, inner.norm
        self._layers = [_Layer(layer) for layer in inner.layers]
        self.heads, self.group = self._layers[0].heads, self._layers[0].group

    def logits(self, last: torch.Tensor, position: torch.Tensor, attend: Attend) -> torch.Tensor:
        """Logits of the token after `last` at `position`, each (rows,)."""
        hidden = self._embed(last)
        cos, sin = self._rotary(hidden, position[None])
        half = cos.shape[-1] // 2
        cos, sin = cos[0, :, None], sin[0, :, None, half:]
        for index, layer in enumerate(self._layers):
            hidden = layer(index, hidden, cos, sin, attend)
        return self._head(_normed(hidden, self._norm))


class _Layer:
    def __init__(self, layer: Any) -> None:
        self._attention, self._mlp = layer.self_attn, layer.mlp
        self._before, self._between = layer.input_layernorm, layer.post_attention_layernorm
        self._q_norm, self._k_norm = getattr(self._attention, "q_norm", None), getattr(self._attention, "k_norm", None)
        self.heads = self._attention.k_proj.out_features // self._attention.head_dim
        self.group = self._attention.num_key_value_groups

    def __call__(
        self, index: int, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, attend: Attend
    ) -> torch.Tensor:
        attention, mlp = self._attention, self._mlp
        given, shape = _normed(hidden, self._before), (len(hidden), -1, attention.head_dim)
        query, key, value = (
            linear(given).view(shape) for linear in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        if self._q_norm is not None:
            query, key = _normed(query, self._q_norm), _normed(key, self._k_norm)
        query = _rotated(query, cos, sin).mul_(attention.scaling)
        hidden = attention.o_proj(attend(index, query, _rotated(key, cos, sin), value)).add_(hidden)
        given = _normed(hidden, self._between)
        return mlp.down_proj(functional.silu(mlp.gate_proj(given), inplace=True).mul_(mlp.up_proj(given))).add_(hidden)


def _normed(x: torch.Tensor, norm: Any) -> torch.Tensor:
    narrow = x.to(torch.float32)
    scale = torch.rsqrt(narrow.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon)
    return norm.weight * (narrow * scale).to(x.dtype)


def _rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    half = x.shape[-1] // 2
    turned = x * cos
    turned[..., :half].addcmul_(x[..., half:], sin, value=-1)
    turned[..., half:].addcmul_(x[..., :half], sin)
    return turned
