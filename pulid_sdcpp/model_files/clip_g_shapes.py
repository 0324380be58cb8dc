"""Tensors of CLIP-G, SDXL's second text encoder (OpenCLIP's ViT-bigG-14), as checkpoints hold it.

Names are without "conditioner.embedders.1.model." before them.

Source: open_clip, `TextTransformer`; stable-diffusion.cpp, src/clip.hpp (OPEN_CLIP_VIT_BIGG_14).
"""

from __future__ import annotations

from collections.abc import Iterator

from .clip_l_layout import POSITIONS, VOCABULARY

__all__ = ["CLIP_G_LAYERS", "CLIP_G_WIDTH", "clip_g_shapes"]

CLIP_G_LAYERS = 32
CLIP_G_WIDTH = 1280
_MLP_WIDTH = 4 * CLIP_G_WIDTH

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def clip_g_shapes(layers: int = CLIP_G_LAYERS) -> Shapes:
    """Name and row-major shape of each tensor that text is encoded with.

    Args:
        layers: Fewer for a smaller one of the same width.
    """
    width = CLIP_G_WIDTH
    yield "token_embedding.weight", (VOCABULARY, width)
    yield "positional_embedding", (POSITIONS, width)
    for layer in range(layers):
        block = f"transformer.resblocks.{layer}"
        yield f"{block}.attn.in_proj_weight", (3 * width, width)
        yield f"{block}.attn.in_proj_bias", (3 * width,)
        for name, rows, columns in (
            ("attn.out_proj", width, width),
            ("mlp.c_fc", _MLP_WIDTH, width),
            ("mlp.c_proj", width, _MLP_WIDTH),
        ):
            yield f"{block}.{name}.weight", (rows, columns)
            yield f"{block}.{name}.bias", (rows,)
        for norm in ("ln_1", "ln_2"):
            yield from _norm(f"{block}.{norm}")
    yield from _norm("ln_final")
    yield "text_projection", (width, width)


def _norm(name: str) -> Shapes:
    yield f"{name}.weight", (CLIP_G_WIDTH,)
    yield f"{name}.bias", (CLIP_G_WIDTH,)
