"""A small SDXL UNet: the published file's tensors with fewer channels and layers.

The weights are random, scaled so that activations stay of the order of one, and the latent is
led through to the output: what the model calls noise is mostly its input, as of a model of
Gaussian pictures. So samplers end at latents of the order of one, and a difference between two
computations neither vanishes nor grows on the way.

Source of the layout: Stability-AI/generative-models, configs/inference/sd_xl_base.yaml;
stable-diffusion.cpp, src/unet.hpp.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from pulid_sdcpp.tensors.tensor_spec import TensorSpec

from .random_values import normal

__all__ = ["LATENT_CHANNELS", "UnetShape", "attention_modules", "unet_tensors"]

HEAD_DIM = 64
GROUPS = 32
"""Of the group norms: widths are multiples of it."""
MULTIPLIERS = (1, 2, 4)
BLOCKS_PER_LEVEL = 2
LATENT_CHANNELS = 4
LATENT_GAIN = 3.0
"""How much louder the latent is than the rest where it enters the last block."""


@dataclass(frozen=True)
class UnetShape:
    """Sizes of an SDXL UNet; brackets: the published model's.

    Raises:
        ValueError: The sizes do not make such a UNet.
    """

    channels: int = 32
    """Of the first level (320); the others have two and four times as many."""
    depths: tuple[int, int] = (2, 3)
    """Transformer blocks of an attention on the second and third level (2, 10)."""
    context_dim: int = 2048
    """Width of the text: CLIP-L's and CLIP-G's hidden states side by side (2048)."""
    adm_channels: int = 2816
    """CLIP-G's pooled output and six sizes of 256 numbers each (2816)."""
    in_channels: int = LATENT_CHANNELS
    """4; 9 in an inpainting model."""

    def __post_init__(self) -> None:
        if self.channels < GROUPS or self.channels % GROUPS:
            raise ValueError(f"channels {self.channels}: expected a multiple of {GROUPS}")
        if min(self.depths) < 1:
            raise ValueError(f"depths {self.depths}: expected 1 or more")

    @property
    def time_dim(self) -> int:
        """Width of the embedding of time and sizes."""
        return 4 * self.channels

    def width(self, level: int) -> int:
        return self.channels * MULTIPLIERS[level]

    def depth(self, level: int) -> int:
        """Transformer blocks of an attention on this level; the first has none."""
        return self.depths[level - 1] if level else 0


def attention_modules(shape: UnetShape) -> list[tuple[int, str, int]]:
    """(index in the PuLID file, module, width) of every cross-attention, in order of the index.

    The order is down, up, middle, that in which diffusers' UNet registers its blocks, not the
    one in which they are computed.

    Source: ToTheBeginning/PuLID, pulid/pipeline.py, hack_unet_attn_layers.
    """
    blocks = [
        *((f"input_blocks.{3 * level + 1 + j}.1", level) for level in (1, 2) for j in (0, 1)),
        *((f"output_blocks.{3 * (2 - level) + j}.1", level) for level in (2, 1) for j in (0, 1, 2)),
        ("middle_block.1", 2),
    ]
    modules = [
        (f"{block}.transformer_blocks.{b}.attn2", shape.width(level))
        for block, level in blocks
        for b in range(shape.depth(level))
    ]
    return [(2 * k + 1, module, width) for k, (module, width) in enumerate(modules)]


def unet_tensors(shape: UnetShape, seed: int, dtype: str = "f16") -> list[TensorSpec]:
    """The tensors of a UNet's own file, named without `model.diffusion_model.`.

    Args:
        dtype: Type of the matrices: "f32", "f16", and for gguf "q8_0", "q4_0", ... Convolutions
            stay "f16", which is what the engine computes with, those of time and sizes at least
            that, and vectors "f32".
    """
    return [
        TensorSpec(name, size, _stored_type(name, size, dtype), make(seed, name, size))
        for name, size, make in _parameters(shape)
    ]


def _stored_type(name: str, size: tuple[int, ...], dtype: str) -> str:
    """Source of what is not quantized: stable-diffusion.cpp, tensor_should_be_converted."""
    if len(size) == 1:
        return "f32"
    if len(size) == 4 or (name.startswith(("time_embed.", "label_emb.")) and dtype != "f32"):
        return "f16"
    return dtype


class _Random:
    """Makes normally distributed values, some rows copying input channels instead."""

    def __init__(
        self,
        deviation: float,
        mean: float = 0.0,
        copies: dict[tuple[int, int], float] | None = None,
    ) -> None:
        self.deviation = deviation
        self.mean = mean
        self.copies = copies or {}

    def __call__(self, seed: int, name: str, size: tuple[int, ...]) -> partial[np.ndarray]:
        return partial(self._values, seed, name, size)

    def _values(self, seed: int, name: str, size: tuple[int, ...]) -> np.ndarray:
        values = normal(seed, name, size, self.deviation, self.mean)
        for (row, column), gain in self.copies.items():
            kernel = np.zeros(size[2:], np.float32)
            kernel[tuple(n // 2 for n in size[2:])] = gain
            values[row, column] = kernel
        return values


_Parameter = tuple[str, tuple[int, ...], _Random]


def _parameters(shape: UnetShape) -> Iterator[_Parameter]:
    time = shape.time_dim
    yield from _linear("time_embed.0", time, shape.channels)
    yield from _linear("time_embed.2", time, time, gain=1.5)
    # The prompt's vector among what arrives here is to be seen in the noise.
    yield from _linear("label_emb.0.0", time, shape.adm_channels, gain=2.0)
    yield from _linear("label_emb.0.2", time, time, gain=2.0)
    signed = {(i + 4 * k, i): (1.0, -1.0)[k] for i in range(LATENT_CHANNELS) for k in (0, 1)}
    yield from _conv("input_blocks.0.0", shape.channels, shape.in_channels, 3, copies=signed)
    width, index = shape.channels, 0
    skips = [width]
    for level in range(len(MULTIPLIERS)):
        for _ in range(BLOCKS_PER_LEVEL):
            index += 1
            yield from _res_block(f"input_blocks.{index}.0", shape, width, shape.width(level))
            width = shape.width(level)
            yield from _attention(f"input_blocks.{index}.1", shape, level)
            skips.append(width)
        if level < len(MULTIPLIERS) - 1:
            index += 1
            yield from _conv(f"input_blocks.{index}.0.op", width, width, 3)
            skips.append(width)
    yield from _res_block("middle_block.0", shape, width, width)
    yield from _attention("middle_block.1", shape, len(MULTIPLIERS) - 1)
    yield from _res_block("middle_block.2", shape, width, width)
    index = 0
    for level in reversed(range(len(MULTIPLIERS))):
        for j in range(BLOCKS_PER_LEVEL + 1):
            block = f"output_blocks.{index}"
            inside = width + skips.pop()
            # The last skip is the first convolution's output, where the latent is.
            kept = {(i, width + i): LATENT_GAIN for i in range(8)} if not skips else None
            yield from _res_block(f"{block}.0", shape, inside, shape.width(level), kept)
            width = shape.width(level)
            yield from _attention(f"{block}.1", shape, level)
            if level and j == BLOCKS_PER_LEVEL:
                yield from _conv(f"{block}.2.conv", width, width, 3)
            index += 1
    yield from _norm("out.0", width)
    # silu(x) - silu(-x) = x: the difference of the two undoes the activation.
    signed = {(i, i + 4 * k): (1.0, -1.0)[k] for i in range(LATENT_CHANNELS) for k in (0, 1)}
    yield from _conv("out.2", LATENT_CHANNELS, width, 3, gain=0.7, copies=signed)


def _res_block(
    name: str,
    shape: UnetShape,
    inside: int,
    outside: int,
    copies: dict[tuple[int, int], float] | None = None,
) -> Iterator[_Parameter]:
    yield from _norm(f"{name}.in_layers.0", inside)
    yield from _conv(f"{name}.in_layers.2", outside, inside, 3, gain=1.5)
    yield from _linear(f"{name}.emb_layers.1", outside, shape.time_dim, gain=0.5)
    yield from _norm(f"{name}.out_layers.0", outside)
    yield from _conv(f"{name}.out_layers.3", outside, outside, 3)
    if inside != outside:
        yield from _conv(f"{name}.skip_connection", outside, inside, 1, copies=copies)


def _attention(name: str, shape: UnetShape, level: int) -> Iterator[_Parameter]:
    if not shape.depth(level):
        return
    width = shape.width(level)
    yield from _norm(f"{name}.norm", width)
    yield from _linear(f"{name}.proj_in", width, width)
    for b in range(shape.depth(level)):
        block = f"{name}.transformer_blocks.{b}"
        for attention, source in (("attn1", width), ("attn2", shape.context_dim)):
            yield from _matrix(f"{block}.{attention}.to_q", width, width, gain=1.5)
            yield from _matrix(f"{block}.{attention}.to_k", width, source)
            # A mean of many values is small; this makes up for it.
            yield from _matrix(f"{block}.{attention}.to_v", width, source, gain=2.0)
            yield from _linear(f"{block}.{attention}.to_out.0", width, width)
        for norm in ("norm1", "norm2", "norm3"):
            yield from _norm(f"{block}.{norm}", width)
        yield from _linear(f"{block}.ff.net.0.proj", 8 * width, width)
        yield from _linear(f"{block}.ff.net.2", width, 4 * width)
    yield from _linear(f"{name}.proj_out", width, width)


def _norm(name: str, width: int) -> Iterator[_Parameter]:
    yield f"{name}.weight", (width,), _Random(0.1, 1.0)
    yield f"{name}.bias", (width,), _Random(0.1)


def _matrix(name: str, rows: int, columns: int, *, gain: float = 1.0) -> Iterator[_Parameter]:
    yield f"{name}.weight", (rows, columns), _Random(gain / math.sqrt(columns))


def _linear(name: str, rows: int, columns: int, *, gain: float = 1.0) -> Iterator[_Parameter]:
    yield from _matrix(name, rows, columns, gain=gain)
    yield f"{name}.bias", (rows,), _Random(0.05)


def _conv(
    name: str,
    rows: int,
    columns: int,
    size: int,
    *,
    gain: float = 1.0,
    copies: dict[tuple[int, int], float] | None = None,
) -> Iterator[_Parameter]:
    deviation = gain / math.sqrt(columns * size * size)
    yield f"{name}.weight", (rows, columns, size, size), _Random(deviation, copies=copies)
    yield f"{name}.bias", (rows,), _Random(0.05)
