"""Bytes of the buffer in which the engine computes SDXL's UNet, as a closed formula.

As in `compute`, it is that of the fullest moment; which one that is depends on the size:

    convolution   in the first block of the last level on the way up, at full size: 3 x 3
                  neighbourhoods of three times the level's channels (F16), what they are made of
                  and the input itself (F32), and the first level's results that wait to be joined
    attention     in the second level on the way down: tokens x tokens for each head, beside the
                  streams, what waits to be joined, and the keys and values that all layers make
                  of the text, which the graph computes first
    identity      in the same level: keys' scores twice and their softmax, and six streams more

A test compares it with what the engine says it allocated: at most a few percent above, and not
below.

Source: the graphs of stable-diffusion.cpp (unet.hpp, common_block.hpp, `ggml_ext_attention_ext`).
"""

from __future__ import annotations

import math

from ..families.sdxl.unet_shapes import UNET_HEAD_DIM, UnetSizes
from ..options.size_multiple import SDXL_SIZE_MULTIPLE_PX
from .compute import CHARACTERS_PER_TOKEN, DEVICE_CHUNK_BYTES, FLASH_PAD, LATENT_PX

__all__ = [
    "CLIP_TOKENS",
    "clip_tokens",
    "skipped_bytes",
    "unet_bytes",
    "unet_tokens",
]

CLIP_TOKENS = 77
"""A prompt is cut into pieces of so many tokens."""

_MARKS = 2
"""Tokens of a piece that are its beginning and its end."""

_F16, _F32 = 2, 4
_INPUT_BYTES = 90
"""Of the picture's noise on its way in and out, for each latent pixel."""
_JOINED = 3
"""The last level's first block joins the second level's stream to the first's: its channels."""
_STREAMS = 14
"""In an attention: the block's input, the residual, q, k and v as they come and as they are
needed, and what waits to be joined: three streams of the level above (6) and two of this one."""
_STREAMS_BEFORE = 3
"""Left over by the level above, where the scores do not fit between."""
_SMALL_PICTURE_BYTES = 66
"""Without flash attention, up to 512 x 512: beside the text's keys and values, for each channel and
pixel of the first level. Measured."""
_IDENTITY_STREAMS = 6
_ATTENTION_LEVEL = 1


def clip_tokens(prompt: str) -> int:
    """At most so many tokens of a prompt reach the UNet."""
    words = len(prompt) / CHARACTERS_PER_TOKEN
    return CLIP_TOKENS * max(math.ceil(words / (CLIP_TOKENS - _MARKS)), 1)


def unet_tokens(width_px: int, height_px: int, level: int) -> int:
    """Tokens (or pixels) of a level of the UNet: 0 has one for each latent pixel."""
    step = SDXL_SIZE_MULTIPLE_PX  # others are enlarged
    width, height = (math.ceil(side / step) * step for side in (width_px, height_px))
    return (width // LATENT_PX >> level) * (height // LATENT_PX >> level)


def unet_bytes(
    sizes: UnetSizes,
    width_px: int,
    height_px: int,
    text_tokens: int = CLIP_TOKENS,
    *,
    flash_attention: bool = False,
    identity_rows: int = 0,
    on_cpu: bool = False,
) -> int:
    """One evaluation of the UNet; true CFG makes two, one after the other, in the same buffer.

    Args:
        sizes: Of the UNet.
        width_px, height_px: Of the picture.
        text_tokens: A multiple of `CLIP_TOKENS`.
        identity_rows: Rows of an identity's keys for a head, with padding; 0: nobody.
        on_cpu: There flash attention needs no mask, and memory is one piece.
    """
    pixels = unet_tokens(width_px, height_px, 0)
    tokens = unet_tokens(width_px, height_px, _ATTENTION_LEVEL)
    first, width = sizes.widths[0], sizes.widths[_ATTENTION_LEVEL]
    heads = width // UNET_HEAD_DIM
    inputs = _INPUT_BYTES * pixels + _F32 * text_tokens * sizes.context_width
    convolution = first * pixels * (_JOINED * (9 * _F16 + 3 * _F32) + 2 * _F32)
    streams = _STREAMS * _F32 * width * tokens
    if flash_attention:
        text = 0
        attention = streams + _mask_bytes(tokens, on_cpu)
    else:
        text = 2 * _F32 * text_tokens * _keys_width(sizes)
        scores = _F32 * heads * tokens**2
        copies = 1 if on_cpu or scores <= DEVICE_CHUNK_BYTES else 2
        before = _STREAMS_BEFORE * _F32 * width * tokens
        attention = text + streams + before + copies * scores
        attention = max(attention, text + _SMALL_PICTURE_BYTES * first * pixels)
    identity = 0
    if identity_rows:
        rows = 3 * identity_rows + text_tokens
        identity = text + streams + _F32 * tokens * (_IDENTITY_STREAMS * width + rows * heads)
    return max(convolution, attention, identity) + inputs


def skipped_bytes(sizes: UnetSizes, width_px: int, height_px: int) -> int:
    """What the way down keeps for the way up, all levels together."""
    below = 0
    total = 0
    for level, width in enumerate(sizes.widths):
        # The first convolution, or the one that made it smaller; then two blocks.
        resized = width if level == 0 else below
        total += _F32 * unet_tokens(width_px, height_px, level) * (resized + 2 * width)
        below = width
    return total


def _mask_bytes(tokens: int, on_cpu: bool) -> int:
    """Devices fill keys up to whole blocks, under a mask."""
    padded = -(-tokens // FLASH_PAD) * FLASH_PAD
    return 0 if on_cpu or padded == tokens else _F32 * (tokens + padded) * tokens


def _keys_width(sizes: UnetSizes) -> int:
    """Widths of all cross-attentions together: 2 and 3 on both levels, 1 in the middle."""
    second, third = sizes.depths
    return 5 * second * sizes.widths[1] + 6 * third * sizes.widths[2]
