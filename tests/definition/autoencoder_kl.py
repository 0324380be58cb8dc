"""The decoder of Flux's ae.safetensors (black-forest-labs/flux, modules/autoencoder.py).

SDXL's is the same behind a 1 x 1 convolution (CompVis/latent-diffusion, models/autoencoder.py).
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

__all__ = ["decode"]

Weights = dict[str, torch.Tensor]


def decode(weights: Weights, latent: torch.Tensor) -> torch.Tensor:
    """(16, h, w), SDXL: (4, h, w) -> (3, 8h, 8w) of -1..1."""
    if "post_quant_conv.weight" in weights:
        weight = weights["post_quant_conv.weight"].float()
        latent = F.conv2d(latent[None], weight, weights["post_quant_conv.bias"])[0]
    h = _block(weights, "mid.block_1", _conv(weights, "conv_in", latent[None]))
    x = _norm(weights, "mid.attn_1.norm", h)
    q, k, v = (_conv(weights, f"mid.attn_1.{part}", x).flatten(2).mT for part in "qkv")
    mixed = F.scaled_dot_product_attention(q, k, v).mT.reshape(h.shape)
    h = _block(weights, "mid.block_2", h + _conv(weights, "mid.attn_1.proj_out", mixed))
    for level in (3, 2, 1, 0):
        for i in range(3):
            h = _block(weights, f"up.{level}.block.{i}", h)
        if level:
            h = _conv(weights, f"up.{level}.upsample.conv", F.interpolate(h, scale_factor=2))
    return _conv(weights, "conv_out", F.silu(_norm(weights, "norm_out", h)))[0]


def _block(weights: Weights, name: str, x: torch.Tensor) -> torch.Tensor:
    h = _conv(weights, f"{name}.conv1", F.silu(_norm(weights, f"{name}.norm1", x)))
    h = _conv(weights, f"{name}.conv2", F.silu(_norm(weights, f"{name}.norm2", h)))
    if f"decoder.{name}.nin_shortcut.weight" in weights:
        x = _conv(weights, f"{name}.nin_shortcut", x)
    return x + h


def _conv(weights: Weights, name: str, x: torch.Tensor) -> torch.Tensor:
    weight, bias = weights[f"decoder.{name}.weight"], weights[f"decoder.{name}.bias"]
    return F.conv2d(x, weight.float(), bias, padding=weight.shape[-1] // 2)


def _norm(weights: Weights, name: str, x: torch.Tensor) -> torch.Tensor:
    weight, bias = weights[f"decoder.{name}.weight"], weights[f"decoder.{name}.bias"]
    return F.group_norm(x, 32, weight, bias, eps=1e-6)
