"""What upscaling models need while they enlarge a picture, told from their files' headers."""

from __future__ import annotations

import os
from math import prod

from ..model_files.description import describe_file
from ..model_files.upscaler_layout import upscaler_scale
from ..model_files.upscalers import second_pass_upscaler
from ..options.checks import FilePath
from ..options.context import ContextOptions
from ..options.generation import GenerationOptions
from .compute import esrgan_bytes
from .model import UpscalerSizes

__all__ = ["upscaler_sizes"]

_F16 = 2
_TORCH_SCALE = 4
"""Of a torch checkpoint, which is not opened: the largest there is."""
_PIXEL_BYTES = 3 * 4 + 2 * 3
"""Of a picture on its way: floats, and bytes in the engine and in Python."""


def upscaler_sizes(
    context: ContextOptions, picture: GenerationOptions
) -> tuple[UpscalerSizes, ...]:
    """Of the second pass's model and of that for finished pictures, where there are any.

    Raises:
        ValueError, ModelFileError: There is no such model, or it cannot be used.
    """
    found = []
    second = second_pass_upscaler(picture, context.hires_upscalers_dir)
    if second is not None:
        size = (picture.width, picture.height)
        found.append(_sizes(second, size, picture.hires_upscale_tile_size, stays=False))
    if context.upscaler_path is not None:
        repeats = picture.upscale_repeats
        path = context.upscaler_path
        found.append(
            _sizes(path, picture.made_size, context.upscale_tile_size, repeats, stays=True)
        )
    return tuple(found)


def _sizes(
    path: FilePath, size: tuple[int, int], tile: int, repeats: int = 1, *, stays: bool
) -> UpscalerSizes:
    tensors = describe_file(path).tensors
    scale = upscaler_scale({tensor.name: tensor for tensor in tensors}) or _TORCH_SCALE
    weights = sum(prod(tensor.shape) for tensor in tensors) * _F16 or os.path.getsize(path)
    if not repeats:
        return UpscalerSizes(weights, 0, 0, stays)
    largest = scale ** (repeats - 1)  # of what goes into the last run
    width, height = (min(side * largest, tile) for side in size)
    pixels = prod(size) * largest**2 * (1 + scale**2)
    return UpscalerSizes(weights, esrgan_bytes(width, height, scale), pixels * _PIXEL_BYTES, stays)
