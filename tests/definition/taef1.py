"""The tiny autoencoder TAEF1, from its published layout (madebyollin/taesd, taesd.py)."""

from __future__ import annotations

import torch
from torch.nn import functional as F

__all__ = ["decode", "encode"]

Weights = dict[str, torch.Tensor]


def decode(weights: Weights, latent: torch.Tensor) -> torch.Tensor:
    """(16, h, w) -> (3, 8h, 8w) of 0..1."""
    h = 3 * torch.tanh(latent[None] / 3)
    for i in range(19):
        if i == 1:
            h = h.relu()
        elif i in (5, 10, 15):
            h = F.interpolate(h, scale_factor=2)
        else:
            h = _layer(weights, f"decoder.layers.{i}", h)
    return h[0]


def encode(weights: Weights, image: torch.Tensor) -> torch.Tensor:
    """(3, 8h, 8w) of 0..1 -> (16, h, w)."""
    h = image[None]
    for i in range(15):
        h = _layer(weights, f"encoder.layers.{i}", h, stride=2 if i in (2, 6, 10) else 1)
    return h[0]


def _layer(weights: Weights, prefix: str, h: torch.Tensor, stride: int = 1) -> torch.Tensor:
    """A convolution, or a residual block of three."""

    def conv(name: str, x: torch.Tensor) -> torch.Tensor:
        bias = weights.get(f"{name}.bias")
        return F.conv2d(x, weights[f"{name}.weight"].float(), bias, stride, padding=1)

    if f"{prefix}.weight" in weights:
        return conv(prefix, h)
    inner = conv(f"{prefix}.conv.2", conv(f"{prefix}.conv.0", h).relu()).relu()
    return (conv(f"{prefix}.conv.4", inner) + h).relu()
