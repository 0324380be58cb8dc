"""SDXL's second text encoder, CLIP-G, of few layers: it tells prompts apart, nearly empty.

SDXL reads its hidden states one layer before the last, and the last token's output through
`text_projection`: with two layers the first one, which is random, makes both.

Source of sizes: laion/CLIP-ViT-bigG-14-laion2B-39B-b160k; stable-diffusion.cpp, src/clip.hpp.
"""

from __future__ import annotations

import math

from pulid_sdcpp.tensors.tensor_spec import TensorSpec

from .clip_text import ClipTextShape, clip_text_tensors, random_q4_0

__all__ = ["CLIP_G_WIDTH", "PUBLISHED_LAYERS", "clip_g_tensors"]

CLIP_G_WIDTH = 1280
"""Of the hidden states and of the projected output."""
CLIP_G_MLP_WIDTH = 5120
PUBLISHED_LAYERS = 32
_SEED_OFFSET = 1 << 20
"""Tensors are named as in CLIP-L: another seed keeps the two encoders from being alike."""


def clip_g_tensors(seed: int, layers: int = 2) -> list[TensorSpec]:
    """The tensors of a CLIP-G text encoder for a gguf file.

    Args:
        layers: 2 or more; an engine that does not read their number from the file needs 32.

    Raises:
        ValueError: Too few layers.
    """
    if layers < 2:
        raise ValueError(f"layers {layers}: expected 2 or more")
    seed += _SEED_OFFSET
    specs = clip_text_tensors(ClipTextShape(CLIP_G_WIDTH, CLIP_G_MLP_WIDTH, layers), seed)
    deviation = 1 / math.sqrt(CLIP_G_WIDTH)
    projection = random_q4_0("text_projection.weight", CLIP_G_WIDTH, CLIP_G_WIDTH, deviation, seed)
    return [*specs, projection]
