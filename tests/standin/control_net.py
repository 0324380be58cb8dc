"""A small ControlNet for SDXL: the first half of its UNet again, with weights of its own.

Source of the layout: lllyasviel/ControlNet, cldm/cldm.py; stable-diffusion.cpp, src/control.hpp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from pulid_sdcpp.tensors.tensor_spec import TensorSpec

from .random_values import normal
from .unet import BLOCKS_PER_LEVEL, MULTIPLIERS, UnetShape, unet_tensors

__all__ = ["control_net_tensors"]

HINT_CHANNELS = (3, 16, 16, 32, 32, 96, 96, 256)
"""Of the convolutions that a control picture goes through, before the UNet's own width."""


def control_net_tensors(shape: UnetShape, seed: int) -> list[TensorSpec]:
    """The tensors of a ControlNet, as its own file names them.

    Args:
        shape: Of the UNet that it is for.
    """
    specs = [
        _as_convolution(spec) if ".proj_in.w" in spec.name or ".proj_out.w" in spec.name else spec
        for spec in unet_tensors(shape, seed)
        if not spec.name.startswith(("out.", "output_blocks."))
    ]
    for index, (inside, outside) in enumerate(
        zip(HINT_CHANNELS, (*HINT_CHANNELS[1:], shape.channels), strict=True)
    ):
        specs += _convolution(f"input_hint_block.{2 * index}", outside, inside, 3, seed)
    for index, width in enumerate(_widths(shape)):
        specs += _convolution(f"zero_convs.{index}.0", width, width, 1, seed)
    width = shape.width(len(MULTIPLIERS) - 1)
    return [*specs, *_convolution("middle_block_out.0", width, width, 1, seed)]


def _widths(shape: UnetShape) -> Iterator[int]:
    """Of what each input block hands on."""
    yield shape.channels
    for level in range(len(MULTIPLIERS)):
        more = level < len(MULTIPLIERS) - 1
        yield from [shape.width(level)] * (BLOCKS_PER_LEVEL + more)


def _as_convolution(spec: TensorSpec) -> TensorSpec:
    shape = (*spec.shape, 1, 1)
    make: Callable[[], np.ndarray] = spec.values  # type: ignore[assignment]
    return replace(spec, shape=shape, dtype="f16", values=lambda: make().reshape(shape))


def _convolution(name: str, outside: int, inside: int, side: int, seed: int) -> list[TensorSpec]:
    shape = (outside, inside, side, side)
    deviation = (inside * side * side) ** -0.5
    weight = f"{name}.weight"
    return [
        TensorSpec(weight, shape, "f16", partial(normal, seed, weight, shape, deviation, 0.0)),
        TensorSpec(f"{name}.bias", (outside,), "f32", partial(np.zeros, outside, np.float32)),
    ]
