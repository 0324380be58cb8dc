"""Layers that compute in the type of their input, whatever type their weights are stored in."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Conv2d", "LayerNorm", "Linear", "attention", "mapping_network"]


class Linear(nn.Linear):
    """`nn.Linear` whose weights are converted to the input's type when it runs."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return F.linear(input, self.weight.to(input.dtype), bias)


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` whose weights are converted to the input's type when it runs."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return self._conv_forward(input, self.weight.to(input.dtype), bias)


class LayerNorm(nn.LayerNorm):
    """`nn.LayerNorm` whose weights are converted to the input's type when it runs."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
        return F.layer_norm(input, self.normalized_shape, weight, bias, self.eps)


def mapping_network(dim_in: int, hidden: int, dim_out: int) -> nn.Sequential:
    """The network of three layers that all of PuLID's encoders map what they see with.

    LayerNorm has eps 1e-5, LeakyReLU the slope 0.01.
    """
    return nn.Sequential(
        Linear(dim_in, hidden),
        LayerNorm(hidden),
        nn.LeakyReLU(),
        Linear(hidden, hidden),
        LayerNorm(hidden),
        nn.LeakyReLU(),
        Linear(hidden, dim_out),
    )


def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int
) -> torch.Tensor:
    """Multi-head softmax(q k^T / sqrt(head_dim)) v.

    Args:
        query: (n, t, inner).
        key: (n, s, inner).
        value: (n, s, inner).
        heads: How many equal parts `inner` is split into.

    Returns:
        (n, t, inner).
    """
    query, key, value = (
        part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value)
    )
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
