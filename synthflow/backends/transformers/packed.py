"""Linear maps of a model in float32 on a CPU, with weights in the order in which oneDNN multiplies them.

Invariant: a packed map computes what it replaces, but for rounding, and the weights are held once: what is packed
replaces what it was made of, unless an embedding shares that. PyTorch gives plain float32 products to MKL, which on
processors that are not Intel's takes twice as long (measured: docs/performance.md).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

ROWS = 128
"""Rows for which the order is chosen; others take it as well."""


class PackedLinear(nn.Module):  # type: ignore[misc]
    """A linear map whose weights only oneDNN can read."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features, self.bias = linear.in_features, linear.out_features, linear.bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), ROWS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, "none", [], "")


def pack(model: Any) -> None:
    """Pack every linear map of a model; nothing where this PyTorch or the model's number type cannot."""
    if model.dtype != torch.float32 or not _can_pack():
        return
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, PackedLinear(child))


def _can_pack() -> bool:
    try:
        linear = nn.Linear(2, 2)
        one = torch.ones(1, 2)
        return bool(torch.allclose(PackedLinear(linear)(one), linear(one)))
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
