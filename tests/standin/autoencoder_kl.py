"""A small decoder in the layout of Flux's ae.safetensors, or of SDXL's autoencoder.

The engine reads the decoder's width from the weights (conv_in) but fixes the encoder's at
128 channels, 68 MB in f16. So this file has no encoder: it decodes, and the engine has to
be told `vae_decode_only`. Pictures to start from need the tiny autoencoder.

As in the tiny autoencoder, residual branches are zero and the picture is a smooth map of
the latents, each normalised over the picture (by norm_out).

SDXL's has 4 latent channels instead of 16, and a 1 x 1 convolution before the decoder.

Source of the layout: stable-diffusion.cpp, src/auto_encoder_kl.hpp.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from pulid_sdcpp.tensors.tensor_spec import TensorSpec

from .latent_colors import COLORS, CONTRAST, LATENTS, SMOOTHING, color_directions

__all__ = ["autoencoder_kl_tensors"]

WIDTH = 32
"""The real decoder has 128; group norm needs a multiple of 32."""
WIDTH_FACTORS = (1, 2, 4, 4)
BLOCKS_PER_LEVEL = 3

_Values = Callable[[], np.ndarray] | None


def autoencoder_kl_tensors(seed: int, latents: int = LATENTS) -> list[TensorSpec]:
    """The decoder: matrices f16, vectors f32.

    Args:
        latents: Latent channels: 16, or 4 for SDXL.
    """
    widest = WIDTH * WIDTH_FACTORS[-1]
    specs = _conv("conv_in", widest, latents, 3, partial(_signed_latents, latents))
    specs += _block("mid.block_1", widest, widest)
    specs += _norm("mid.attn_1.norm", widest)
    for part in ("q", "k", "v", "proj_out"):
        specs += _conv(f"mid.attn_1.{part}", widest, widest, 1)
    specs += _block("mid.block_2", widest, widest)
    width = widest
    for level in reversed(range(len(WIDTH_FACTORS))):
        for i in range(BLOCKS_PER_LEVEL):
            specs += _block(f"up.{level}.block.{i}", WIDTH * WIDTH_FACTORS[level], width)
            width = WIDTH * WIDTH_FACTORS[level]
        if level:
            smooth = partial(_copy_channels, width, width, SMOOTHING)
            specs += _conv(f"up.{level}.upsample.conv", width, width, 3, smooth)
    specs += _norm("norm_out", WIDTH)
    colors = partial(_colors, color_directions(seed, latents))
    specs += _conv("conv_out", COLORS, WIDTH, 3, colors)
    if latents != LATENTS:
        specs += _post_quant_conv(latents)
    return specs


def _post_quant_conv(latents: int) -> list[TensorSpec]:
    """SDXL's first layer of decoding, here without effect."""

    def unchanged() -> np.ndarray:
        return np.eye(latents, dtype=np.float32).reshape(latents, latents, 1, 1)

    return [
        TensorSpec("post_quant_conv.weight", (latents, latents, 1, 1), "f16", unchanged),
        TensorSpec("post_quant_conv.bias", (latents,), "f32"),
    ]


def _block(name: str, rows: int, columns: int) -> list[TensorSpec]:
    specs = _norm(f"{name}.norm1", columns) + _conv(f"{name}.conv1", rows, columns, 3)
    specs += _norm(f"{name}.norm2", rows) + _conv(f"{name}.conv2", rows, rows, 3)
    if rows != columns:
        keep = partial(_copy_channels, rows, columns, np.ones((1, 1), np.float32))
        specs += _conv(f"{name}.nin_shortcut", rows, columns, 1, keep)
    return specs


def _norm(name: str, width: int) -> list[TensorSpec]:
    return [
        TensorSpec(f"decoder.{name}.weight", (width,), "f32", partial(np.ones, width, np.float32)),
        TensorSpec(f"decoder.{name}.bias", (width,), "f32"),
    ]


def _conv(
    name: str, rows: int, columns: int, size: int, weight: _Values = None
) -> list[TensorSpec]:
    return [
        TensorSpec(f"decoder.{name}.weight", (rows, columns, size, size), "f16", weight),
        TensorSpec(f"decoder.{name}.bias", (rows,), "f32"),
    ]


def _copy_channels(rows: int, columns: int, kernel: np.ndarray) -> np.ndarray:
    weight = np.zeros((rows, columns, *kernel.shape), np.float32)
    for i in range(min(rows, columns)):
        weight[i, i] = kernel
    return weight


def _signed_latents(latents: int) -> np.ndarray:
    """Latent i to channels i and, negated, `latents` + i.

    silu(x) - silu(-x) = x: the last layer's difference of the two undoes its activation.
    """
    weight = np.zeros((WIDTH * WIDTH_FACTORS[-1], latents, 3, 3), np.float32)
    for i in range(latents):
        weight[i, i, 1, 1] = 1
        weight[latents + i, i, 1, 1] = -1
    return weight


def _colors(directions: np.ndarray) -> np.ndarray:
    """Colours of -1..1: twice the contrast of the tiny autoencoder's 0..1."""
    latents = directions.shape[1]
    weight = np.zeros((COLORS, WIDTH, 3, 3), np.float32)
    weight[:, :latents, 1, 1] = 2 * CONTRAST * directions
    weight[:, latents : 2 * latents, 1, 1] = -2 * CONTRAST * directions
    return weight
