"""Tensors of Flux's and SDXL's autoencoders, and of the tiny ones (TAEF1, TAESDXL).

Source: the published files; stable-diffusion.cpp, src/auto_encoder_kl.hpp and src/tae.hpp.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["FLUX_LATENTS", "SDXL_LATENTS", "autoencoder_shapes", "tiny_autoencoder_shapes"]

Shapes = Iterator[tuple[str, tuple[int, ...]]]

FLUX_LATENTS, SDXL_LATENTS = 16, 4
"""Channels of the latent picture."""
_COLORS = 3
_CHANNELS = 128
_FACTORS = (1, 2, 4, 4)
_TINY_CHANNELS = 64
# Number of each layer: blocks of three convolutions, and convolutions that change the size.
_TINY_DECODER = ((2, 3, 4, 7, 8, 9, 12, 13, 14, 17), (6, 11, 16))
_TINY_ENCODER = ((1, 3, 4, 5, 7, 8, 9, 11, 12, 13), (2, 6, 10))


def autoencoder_shapes(*, latents: int = FLUX_LATENTS, decoder_only: bool = False) -> Shapes:
    """Name and shape of each tensor of an autoencoder; SDXL's has a convolution more at each end.

    Args:
        latents: `FLUX_LATENTS` or `SDXL_LATENTS`.
        decoder_only: Without the encoder.
    """
    if not decoder_only:
        yield from _encoder(latents)
        if latents == SDXL_LATENTS:
            yield from _conv("quant_conv", 2 * latents, 2 * latents, 1)
    if latents == SDXL_LATENTS:
        yield from _conv("post_quant_conv", latents, latents, 1)
    yield from _decoder(latents)


def tiny_autoencoder_shapes(*, latents: int = FLUX_LATENTS) -> Shapes:
    """Name and shape of each tensor of TAEF1, or with `SDXL_LATENTS` of TAESDXL."""
    channels = _TINY_CHANNELS
    for half, (blocks, resizes), into, out, last in (
        ("encoder", _TINY_ENCODER, _COLORS, latents, 14),
        ("decoder", _TINY_DECODER, latents, _COLORS, 18),
    ):
        yield from _conv(f"{half}.layers.0", channels, into, 3)
        yield from _conv(f"{half}.layers.{last}", out, channels, 3)
        for layer in resizes:
            yield f"{half}.layers.{layer}.weight", (channels, channels, 3, 3)
        for layer in blocks:
            for part in (0, 2, 4):
                yield from _conv(f"{half}.layers.{layer}.conv.{part}", channels, channels, 3)


def _encoder(latents: int) -> Shapes:
    width = _CHANNELS
    yield from _conv("encoder.conv_in", width, _COLORS, 3)
    for level, factor in enumerate(_FACTORS):
        for block in range(2):
            yield from _block(f"encoder.down.{level}.block.{block}", _CHANNELS * factor, width)
            width = _CHANNELS * factor
        if level < len(_FACTORS) - 1:
            yield from _conv(f"encoder.down.{level}.downsample.conv", width, width, 3)
    yield from _middle("encoder", width)
    yield from _norm("encoder.norm_out", width)
    yield from _conv("encoder.conv_out", 2 * latents, width, 3)


def _decoder(latents: int) -> Shapes:
    width = _CHANNELS * _FACTORS[-1]
    yield from _conv("decoder.conv_in", width, latents, 3)
    yield from _middle("decoder", width)
    for level in reversed(range(len(_FACTORS))):
        for block in range(3):
            rows = _CHANNELS * _FACTORS[level]
            yield from _block(f"decoder.up.{level}.block.{block}", rows, width)
            width = rows
        if level:
            yield from _conv(f"decoder.up.{level}.upsample.conv", width, width, 3)
    yield from _norm("decoder.norm_out", width)
    yield from _conv("decoder.conv_out", _COLORS, width, 3)


def _middle(half: str, width: int) -> Shapes:
    yield from _block(f"{half}.mid.block_1", width, width)
    yield from _norm(f"{half}.mid.attn_1.norm", width)
    for part in ("q", "k", "v", "proj_out"):
        yield from _conv(f"{half}.mid.attn_1.{part}", width, width, 1)
    yield from _block(f"{half}.mid.block_2", width, width)


def _block(name: str, rows: int, columns: int) -> Shapes:
    yield from _norm(f"{name}.norm1", columns)
    yield from _conv(f"{name}.conv1", rows, columns, 3)
    yield from _norm(f"{name}.norm2", rows)
    yield from _conv(f"{name}.conv2", rows, rows, 3)
    if rows != columns:
        yield from _conv(f"{name}.nin_shortcut", rows, columns, 1)


def _norm(name: str, width: int) -> Shapes:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _conv(name: str, rows: int, columns: int, size: int) -> Shapes:
    yield f"{name}.weight", (rows, columns, size, size)
    yield f"{name}.bias", (rows,)
