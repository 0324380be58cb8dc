"""A small SDXL UNet in which one attention works and all else hands values on unchanged.

The engine rounds the input of each convolution to float16. Two computations that differ by a
float32's last bit then differ by a float16's in a few places, after a second convolution in more,
and after four the roundings of the two have nothing in common: they cannot be compared more
closely than to 1e-3, whatever they share. Here values that are rounded already are only copied,
so that between the working attention and the output there is one rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from pulid_sdcpp.tensors.tensor_spec import TensorSpec

from .unet import UnetShape, unet_tensors

__all__ = ["quiet_unet_tensors"]


def quiet_unet_tensors(shape: UnetShape, seed: int, module: str) -> list[TensorSpec]:
    """The tensors, matrices f32.

    Args:
        module: The attention that works, such as "input_blocks.4.1". Its transformer blocks have
            no feed-forward layers, as their GELU is a table of float16.
    """
    return [_quiet(spec, module) for spec in unet_tensors(shape, seed, "f32")]


def _quiet(spec: TensorSpec, module: str) -> TensorSpec:
    name = spec.name
    if name.startswith("out."):
        return spec
    if name.startswith("input_blocks.0.0."):
        return _made(spec, _shifted)
    if ".out_layers.3." in name or ".ff.net.2." in name:
        return replace(spec, values=None)
    if ".proj_out." in name and not name.startswith(f"{module}."):
        return replace(spec, values=None)
    if name.endswith((".op.weight", ".conv.weight", ".op.bias", ".conv.bias")):
        return _made(spec, _copied)
    if ".skip_connection." in name:
        return _made(spec, _halves if name.startswith("output_blocks.") else _copied)
    return spec


def _made(spec: TensorSpec, rule: Callable[[tuple[int, ...]], np.ndarray]) -> TensorSpec:
    """No bias; weights by a rule."""
    if len(spec.shape) == 1:
        return replace(spec, values=None)
    return replace(spec, values=partial(rule, spec.shape))


def _shifted(size: tuple[int, ...]) -> np.ndarray:
    """Each output channel is a latent channel, moved by up to one pixel."""
    weight = np.zeros(size, np.float32)
    for row in range(size[0]):
        y, x = divmod(row // size[1] % 9, 3)
        weight[row, row % size[1], y, x] = 1 if row % 2 else -1
    return weight


def _copied(size: tuple[int, ...]) -> np.ndarray:
    """Channel i is channel i; where there are more, again from the first on."""
    weight = np.zeros(size, np.float32)
    for row in range(size[0]):
        weight[row, row % size[1], size[2] // 2, size[3] // 2] = 1
    return weight


def _halves(size: tuple[int, ...]) -> np.ndarray:
    """Half of the channels from what comes from below, half from what was kept, spread evenly."""
    weight = np.zeros(size, np.float32)
    half = size[0] // 2
    # The block below is as wide as what was kept, or twice as wide.
    below = size[1] // 2 if size[1] % (2 * size[0]) == 0 else size[1] * 2 // 3
    for row in range(half):
        weight[row, row * below // half] = 1
        weight[half + row, below + row * (size[1] - below) // half] = 1
    return weight
