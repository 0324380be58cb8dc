"""A tiny autoencoder in the layout of TAEF1 and TAESDXL: its picture is a smooth map of latents.

The engine fixes the layout (64 channels, ten blocks), not what the weights do. All residual
branches are zero, so that a block passes its input on; what is left decodes a latent to
0.5 + 0.25 * (its component along a direction per colour), and encodes the mean colour of
8 x 8 pixels. Zero weights are holes in the file.

Source of the layout: madebyollin/taesd; stable-diffusion.cpp, src/tae.hpp.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from pulid_sdcpp.tensors.tensor_spec import TensorSpec

from .latent_colors import COLORS, CONTRAST, LATENTS, SMOOTHING, color_directions

__all__ = ["taef1_tensors"]

CHANNELS = 64
DECODER_BLOCKS = (2, 3, 4, 7, 8, 9, 12, 13, 14, 17)
DECODER_UPSAMPLERS = (6, 11, 16)
ENCODER_BLOCKS = (1, 3, 4, 5, 7, 8, 9, 11, 12, 13)
ENCODER_DOWNSAMPLERS = (2, 6, 10)

_Values = Callable[[], np.ndarray] | None


def taef1_tensors(seed: int, latents: int = LATENTS) -> list[TensorSpec]:
    """Decoder and encoder: matrices f16, biases f32.

    Args:
        latents: Latent channels: 16, or 4 for SDXL.
    """
    directions = color_directions(seed, latents)
    decoder: dict[int, list[TensorSpec]] = {
        0: _conv("decoder.layers.0", CHANNELS, latents, partial(_signed_latents, latents)),
        18: _conv(
            "decoder.layers.18",
            COLORS,
            CHANNELS,
            partial(_colors, directions),
            partial(np.full, COLORS, 0.5, np.float32),
        ),
    }
    encoder: dict[int, list[TensorSpec]] = {
        0: _conv("encoder.layers.0", CHANNELS, COLORS, partial(_copy_channels, COLORS, COLORS)),
        14: _conv(
            "encoder.layers.14",
            latents,
            CHANNELS,
            partial(_latents, directions),
            lambda: -0.5 / CONTRAST * directions.sum(axis=0),
        ),
    }
    for i in DECODER_UPSAMPLERS:
        smooth = partial(_copy_channels, CHANNELS, CHANNELS, SMOOTHING)
        decoder[i] = _conv(f"decoder.layers.{i}", CHANNELS, CHANNELS, smooth)[:1]
    for i in ENCODER_DOWNSAMPLERS:
        # Stride 2, padding 1: these four taps are pixels 2i and 2i + 1.
        mean = np.zeros((3, 3), np.float32)
        mean[1:, 1:] = 0.25
        halve = partial(_copy_channels, CHANNELS, CHANNELS, mean)
        encoder[i] = _conv(f"encoder.layers.{i}", CHANNELS, CHANNELS, halve)[:1]
    for layers, prefix, blocks in (
        (decoder, "decoder", DECODER_BLOCKS),
        (encoder, "encoder", ENCODER_BLOCKS),
    ):
        for i in blocks:
            layers[i] = [
                spec
                for part in (0, 2, 4)
                for spec in _conv(f"{prefix}.layers.{i}.conv.{part}", CHANNELS, CHANNELS)
            ]
    return [spec for layers in (decoder, encoder) for i in sorted(layers) for spec in layers[i]]


def _conv(
    name: str, rows: int, columns: int, weight: _Values = None, bias: _Values = None
) -> list[TensorSpec]:
    return [
        TensorSpec(f"{name}.weight", (rows, columns, 3, 3), "f16", weight),
        TensorSpec(f"{name}.bias", (rows,), "f32", bias),
    ]


def _copy_channels(rows: int, columns: int, kernel: np.ndarray | None = None) -> np.ndarray:
    """Channel i to channel i, filtered by `kernel` (default: as it is)."""
    weight = np.zeros((CHANNELS, columns, 3, 3), np.float32)
    for i in range(rows):
        if kernel is None:
            weight[i, i, 1, 1] = 1
        else:
            weight[i, i] = kernel
    return weight


def _signed_latents(latents: int) -> np.ndarray:
    """Latent i to channels i and, negated, `latents` + i: a ReLU then loses neither sign."""
    weight = np.zeros((CHANNELS, latents, 3, 3), np.float32)
    for i in range(latents):
        weight[i, i, 1, 1] = 1
        weight[latents + i, i, 1, 1] = -1
    return weight


def _colors(directions: np.ndarray) -> np.ndarray:
    latents = directions.shape[1]
    weight = np.zeros((COLORS, CHANNELS, 3, 3), np.float32)
    weight[:, :latents, 1, 1] = CONTRAST * directions
    weight[:, latents : 2 * latents, 1, 1] = -CONTRAST * directions
    return weight


def _latents(directions: np.ndarray) -> np.ndarray:
    weight = np.zeros((directions.shape[1], CHANNELS, 3, 3), np.float32)
    weight[:, :COLORS, 1, 1] = directions.T / CONTRAST
    return weight
