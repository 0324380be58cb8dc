"""Every tensor of SDXL's UNet by name and shape, at the published sizes or smaller ones.

Names are those of the checkpoints, without "model.diffusion_model." before them.

Source: stable-diffusion.cpp, `UnetModelBlock` (unet.hpp), `SpatialTransformer`, `ResBlock`
(common_block.hpp), which follow ldm's `openaimodel.UNetModel`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["LATENT_CHANNELS", "UNET_HEAD_DIM", "UnetSizes", "unet_tensor_shapes"]

LATENT_CHANNELS = 4
UNET_HEAD_DIM = 64
RES_BLOCKS = 2
"""On each level on the way down; one more on the way up."""
TIME_FACTOR = 4
"""The time embedding is so many times as wide as the first level."""
FEED_FACTOR = 4
"""The feed-forward layer is so many times as wide as its transformer; its gate as wide again."""

Shapes = Iterator[tuple[str, tuple[int, ...]]]


@dataclass(frozen=True)
class UnetSizes:
    """What the shape of an SDXL-like UNet depends on; the published one by default.

    Attributes:
        model_channels: Width of the first level, which has no attention; the second is twice, the
            third four times as wide.
        depths: Transformer blocks in each attention of the second and third level. The middle has
            the third's.
        context_width: Of the text's tokens: CLIP-L's and CLIP-G's beside each other.
        adm_width: Of the vector made of CLIP-G's pooled text and the picture's sizes.
        in_channels: 4; 9 in inpainting models.
    """

    model_channels: int = 320
    depths: tuple[int, int] = (2, 10)
    context_width: int = 2048
    adm_width: int = 2816
    in_channels: int = LATENT_CHANNELS

    @property
    def widths(self) -> tuple[int, int, int]:
        """Channels of each level."""
        return self.model_channels, 2 * self.model_channels, 4 * self.model_channels

    @property
    def time_width(self) -> int:
        """Of the time embedding."""
        return TIME_FACTOR * self.model_channels


def unet_tensor_shapes(sizes: UnetSizes) -> Shapes:
    """Name and row-major shape of every tensor, in the order of the forward pass."""
    time, widths = sizes.time_width, sizes.widths
    depths = (0, *sizes.depths)
    yield from _linear("time_embed.0", time, sizes.model_channels)
    yield from _linear("time_embed.2", time, time)
    yield from _linear("label_emb.0.0", time, sizes.adm_width)
    yield from _linear("label_emb.0.2", time, time)
    width = sizes.model_channels
    yield from _conv("input_blocks.0.0", width, sizes.in_channels)
    skipped = [width]
    number = 1
    for level, (level_width, depth) in enumerate(zip(widths, depths, strict=True)):
        for _ in range(RES_BLOCKS):
            block = f"input_blocks.{number}"
            yield from _level_block(block, level_width, width, depth, sizes)
            width = level_width
            skipped.append(width)
            number += 1
        if level < len(widths) - 1:
            yield from _conv(f"input_blocks.{number}.0.op", width, width)
            skipped.append(width)
            number += 1
    yield from _res_block("middle_block.0", width, width, time)
    yield from _transformer("middle_block.1", width, depths[-1], sizes.context_width)
    yield from _res_block("middle_block.2", width, width, time)
    number = 0
    for level in reversed(range(len(widths))):
        for index in range(RES_BLOCKS + 1):
            block = f"output_blocks.{number}"
            joined = width + skipped.pop()
            yield from _level_block(block, widths[level], joined, depths[level], sizes)
            width = widths[level]
            if level and index == RES_BLOCKS:
                yield from _conv(f"{block}.{2 if depths[level] else 1}.conv", width, width)
            number += 1
    yield from _norm("out.0", width)
    yield from _conv("out.2", LATENT_CHANNELS, width)


def _level_block(block: str, rows: int, columns: int, depth: int, sizes: UnetSizes) -> Shapes:
    yield from _res_block(f"{block}.0", rows, columns, sizes.time_width)
    if depth:
        yield from _transformer(f"{block}.1", rows, depth, sizes.context_width)


def _res_block(name: str, rows: int, columns: int, time: int) -> Shapes:
    yield from _norm(f"{name}.in_layers.0", columns)
    yield from _conv(f"{name}.in_layers.2", rows, columns)
    yield from _linear(f"{name}.emb_layers.1", rows, time)
    yield from _norm(f"{name}.out_layers.0", rows)
    yield from _conv(f"{name}.out_layers.3", rows, rows)
    if rows != columns:
        yield from _conv(f"{name}.skip_connection", rows, columns, 1)


def _transformer(name: str, width: int, depth: int, context: int) -> Shapes:
    yield from _norm(f"{name}.norm", width)
    yield from _linear(f"{name}.proj_in", width, width)
    for index in range(depth):
        block = f"{name}.transformer_blocks.{index}"
        for attention, source in (("attn1", width), ("attn2", context)):
            yield f"{block}.{attention}.to_q.weight", (width, width)
            yield f"{block}.{attention}.to_k.weight", (width, source)
            yield f"{block}.{attention}.to_v.weight", (width, source)
            yield from _linear(f"{block}.{attention}.to_out.0", width, width)
        yield from _linear(f"{block}.ff.net.0.proj", 2 * FEED_FACTOR * width, width)
        yield from _linear(f"{block}.ff.net.2", width, FEED_FACTOR * width)
        for norm in ("norm1", "norm2", "norm3"):
            yield from _norm(f"{block}.{norm}", width)
    yield from _linear(f"{name}.proj_out", width, width)


def _norm(name: str, width: int) -> Shapes:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _linear(name: str, rows: int, columns: int) -> Shapes:
    yield f"{name}.weight", (rows, columns)
    yield f"{name}.bias", (rows,)


def _conv(name: str, rows: int, columns: int, size: int = 3) -> Shapes:
    yield f"{name}.weight", (rows, columns, size, size)
    yield f"{name}.bias", (rows,)
