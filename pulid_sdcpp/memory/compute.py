"""Bytes of the buffers in which the engine computes, as closed formulas.

ggml plans one buffer per network, in which tensors take each other's place as soon as they are
not needed any more. Its size is that of the tensors that live at once in the fullest moment,
which the formulas below name. A test compares them with what the engine says it allocated
(tests/pulid_sdcpp/memory/test_compute.py): they are at most a few percent above, and not below.

Source: the graphs of stable-diffusion.cpp (flux.hpp, rope.hpp, auto_encoder_kl.hpp, tae.hpp,
t5.hpp, `ggml_ext_attention_ext`), all in F32 where no other type is named.
"""

from __future__ import annotations

import math

__all__ = [
    "CHARACTERS_PER_TOKEN",
    "CLIP_BYTES",
    "CLIP_G_BYTES",
    "DEFAULT_TILE",
    "DEVICE_CHUNK_BYTES",
    "FLASH_PAD",
    "LATENT_PX",
    "NEVER_BYTES",
    "T5_TOKENS",
    "decoder_bytes",
    "decoder_in_one_piece",
    "encode_tile",
    "encoder_bytes",
    "esrgan_bytes",
    "flux_bytes",
    "matmul_workspace_bytes",
    "t5_bytes",
    "text_tokens",
    "token_count",
]

LATENT_PX = 8
"""Pixels of a picture to one of its latent."""
PATCH_PX = 2 * LATENT_PX
T5_TOKENS = 256
"""A prompt is cut into pieces of so many tokens, and the last one filled up."""
DEFAULT_TILE = 32
"""Side of the engine's tiles in latent pixels (vae.hpp, `get_tile_sizes`)."""
ENCODE_TILE_FACTOR = 1.30539
"""By which the engine enlarges tiles for the encoder (vae.hpp, `encode`)."""
CLIP_BYTES = 2 << 20
"""CLIP-L on its 77 tokens: 1.42 MB."""
CLIP_G_BYTES = 4 << 20
"""CLIP-G on its 77 tokens: 3.03 MB."""

_F16, _F32 = 2, 4
_CONTEXT_WIDTH = 4096
_T5_WIDTH, _T5_HEADS = 4096, 64
CHARACTERS_PER_TOKEN = 3
"""English has four to five; fewer is the careful side."""
FLASH_PAD = 256
"""Flash attention works on keys in blocks of so many, the last one filled up under a mask."""
DEVICE_CHUNK_BYTES = 1 << 30
"""ggml-vulkan allocates in pieces of so much at most (`suballocation_block_size`); what is larger
has a piece of its own, in which nothing else finds room: 0.9 times as much again was measured."""
_MOST_AT_ONCE = 2 << 30
"""Drivers give 2 to 4 GiB in one allocation, CUDA's more; Vulkan asks for no more than 1 GiB."""
NEVER_BYTES = 1 << 50
"""More than any device has."""
_TINY_CHANNELS = 64
_MIDDLE_FACTOR = 4
"""The autoencoder's middle is four times as wide as its last level."""


def text_tokens(prompt: str, has_t5: bool = True) -> int:
    """At most so many tokens of a prompt reach the diffusion model; without T5 it gets zeros."""
    pieces = math.ceil((len(prompt) / CHARACTERS_PER_TOKEN + 1) / T5_TOKENS) if has_t5 else 1
    return T5_TOKENS * max(pieces, 1)


def token_count(width_px: int, height_px: int) -> int:
    """Tokens of a picture in the diffusion model."""
    return math.ceil(width_px / PATCH_PX) * math.ceil(height_px / PATCH_PX)


def flux_bytes(
    image_tokens: int,
    text_tokens: int,
    hidden: int,
    heads: int,
    *,
    flash_attention: bool = False,
    reference_tokens: int = 0,
    identity_rows: int = 0,
    on_cpu: bool = False,
) -> int:
    """One evaluation of Flux; true CFG makes two, one after the other, in the same buffer.

    With all tokens in `stream` bytes, the fullest moment is inside a single block: its input (1),
    the joint projection to queries, keys, values and the MLP (3 + 4, kept for the MLP's sake),
    the rotated q and k and the transposed v (3), and a gap between them (1): 12, beside the
    attention scores, tokens x tokens for each head; twice those on devices, above 1 GiB.

    Flash attention has no scores. Input (1), the projection (7), the MLP's part of it activated (4)
    and the result of the attention (1) live at once; with the gaps between them 15 streams were
    measured. Where the number of tokens is not a multiple of 256, devices need a mask beside that.

    Args:
        image_tokens: Of the picture that is made.
        text_tokens: Of the prompt, a multiple of 256.
        hidden, heads: Width of the model, and its attention heads.
        reference_tokens: Of Kontext references, together.
        identity_rows: Heads times tokens of an identity; 0: nobody.
        on_cpu: There flash attention needs no mask, and memory is one piece.
    """
    tokens = image_tokens + text_tokens + reference_tokens
    stream = _F32 * tokens * hidden
    # Rotations, 2x2 for each pair of a head's numbers; the text as it comes, and in the model.
    inputs = _F32 * (4 * 64 * tokens + text_tokens * (_CONTEXT_WIDTH + 4 * hidden))
    identity = _F32 * identity_rows * image_tokens  # its scores
    if not flash_attention:
        scores = _F32 * heads * tokens**2
        copies = 1 if on_cpu or scores <= DEVICE_CHUNK_BYTES else 2
        return 12 * stream + copies * scores + inputs + identity
    padded = -(-tokens // FLASH_PAD) * FLASH_PAD
    if on_cpu or padded == tokens:
        return 15 * stream + inputs + identity
    masked = 16 * stream + _F16 * padded * tokens
    mask_is_made = 11 * stream + _F32 * (tokens + padded) * tokens
    return max(masked, mask_is_made) + inputs + identity


def t5_bytes() -> int:
    """T5 on one piece of a prompt.

    The position bias and the scores (tokens x tokens for each head) beside nine streams: input,
    q, k, v, and the two halves of the gated MLP, 2.5 each; and the position table.
    """
    stream = _F32 * T5_TOKENS * _T5_WIDTH
    return 2 * _F32 * _T5_HEADS * T5_TOKENS**2 + 9 * stream + _F32 * T5_TOKENS**2


def decoder_bytes(
    width_px: int, height_px: int, channels: int, *, tiny: bool = False, direct: bool = False
) -> int:
    """The autoencoder's decoder on a whole picture, or on a tile of this size.

    The fullest moment is the convolution after the last enlargement: twice the last level's
    channels at full size as input and output (F32), and its 3 x 3 neighbourhoods unfolded (F16):
    26 bytes a channel and pixel, 6.7 GB for 1024 x 1024. Without the unfolding ("direct") it is
    the first block of the last level. From about 2048 x 2048 on, the attention in the middle,
    latent pixels x latent pixels, is larger still.
    """
    pixels = width_px * height_px
    latent = pixels // LATENT_PX**2
    if tiny:
        return pixels * (_TINY_CHANNELS * (9 * _F16 + 3 * _F32)) + latent * 16 * _F32
    unfolded = 2 * channels * (2 * _F32 + 9 * _F16)
    level = 2 * channels * 11 if direct else unfolded
    middle = _F32 * latent * (latent + 5 * _MIDDLE_FACTOR * channels)
    return max(pixels * level, middle) + latent * 16 * _F32


def decoder_in_one_piece(
    width_px: int, height_px: int, channels: int, *, tiny: bool = False, direct: bool = False
) -> int:
    """As `decoder_bytes`, on a device.

    Where a driver may refuse the largest tensor, NEVER_BYTES. The unfolded
    convolution is one tensor; above 1 GiB it has memory of its own, as in `flux_bytes`: 1984 MiB
    were allocated where 1664 would do (llvmpipe, 512 x 512).
    """
    whole = decoder_bytes(width_px, height_px, channels, tiny=tiny, direct=direct)
    numbers = width_px * height_px * (_TINY_CHANNELS if tiny else 2 * channels)
    largest = numbers * (_F32 if direct and not tiny else 9 * _F16)
    if largest > _MOST_AT_ONCE:
        return NEVER_BYTES
    return whole * 5 // 4 if largest > DEVICE_CHUNK_BYTES else whole


def encoder_bytes(width_px: int, height_px: int, *, tiny: bool = False) -> int:
    """The autoencoder's encoder, for pictures to start from.

    Its first level, at full size: unfolded neighbourhoods (F16), input and output; the picture
    and its own neighbourhoods. The engine fixes its width at 128 channels.
    """
    pixels = width_px * height_px
    latent = pixels // LATENT_PX**2
    picture = 3 * (_F32 + 9 * _F16)
    if tiny:
        return pixels * (_TINY_CHANNELS * (9 * _F16 + 3 * _F32) + picture)
    level = 128 * (9 * _F16 + 2 * _F32)
    return max(pixels * (level + picture), _F32 * latent * (latent + 5 * _MIDDLE_FACTOR * 128))


def esrgan_bytes(width_px: int, height_px: int, scale: int) -> int:
    """An upscaling model on a tile of this size, before it is enlarged.

    The fullest moment is a convolution at the new size: its 64 channels as input and output (F32),
    and its 3 x 3 neighbourhoods unfolded (F16). Where it does not become larger, the last one of a
    dense block: 192 channels unfolded, and these and those they are joined from.
    """
    enlarged = 64 * (2 * _F32 + 9 * _F16) * scale**2
    dense = 192 * (9 * _F16 + 2 * _F32)
    return width_px * height_px * max(enlarged, dense)


def encode_tile(tile: int) -> int:
    """The side of the encoder's tiles, in latent pixels."""
    return int(tile * ENCODE_TILE_FACTOR)


def matmul_workspace_bytes(tokens: int, hidden: int, largest_matrix: int) -> int:
    """What backends allocate beside the buffer to multiply with quantized weights.

    Vulkan (`prealloc_x`, `prealloc_y`) and cuBLAS take the matrix in F16 and what it is multiplied
    with in F16; the widest of the latter is a single block's, five times the model's width.

    Source: ggml-vulkan.cpp, ggml-cuda.cu.
    """
    return _F16 * (largest_matrix + 5 * hidden * tokens)
