"""Enlarging finished pictures with an upscaling model (ESRGAN)."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import GenerationError, Message, named
from ..native.calls import NativeFailure
from ..native.library import last_error, library

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MAX_PIXELS", "check_upscaled_size", "upscaled"]

MAX_PIXELS = 89_478_485
"""The largest picture that Pillow, and so most programs, opens without taking it for an attack."""


def check_upscaled_size(size: tuple[int, int], factor: int, repeats: int) -> None:
    """Refuse a picture that would become larger than other programs open.

    Args:
        size: Width and height before, in pixels.
        factor: How many times as wide and high the model makes it each time.

    Raises:
        GenerationError: It would; names the size.
    """
    width, height = (side * factor**repeats for side in size)
    if width * height > MAX_PIXELS:
        raise GenerationError(
            Message(
                f"{size[0]}x{size[1]} enlarged {factor} times, {repeats} times over, would be "
                f"{width}x{height}; {MAX_PIXELS / 1e6:.0f} million pixels are possible: make a "
                f"smaller picture, or enlarge it fewer times ({named('upscale_repeats')})"
            ),
            engine_is_good=True,
        )


def upscaled(context: Any, upscaler: Any, factor: int, picture: Image) -> Image:
    """A picture, enlarged once; called on the engine's thread.

    Args:
        context: The engine's `sd_ctx_t*`, whose cancelling stops it.
        upscaler: An `upscaler_ctx_t*`, which makes it `factor` times as wide and high.
        picture: With what it notes of itself, which the new one has, too.

    Raises:
        NativeFailure: The engine could not do it, or was cancelled.
    """
    from PIL import Image

    pixels = np.ascontiguousarray(np.asarray(picture.convert("RGB"), np.uint8))
    height, width, channels = pixels.shape
    data = pixels.ctypes.data_as(ctypes.c_void_p)
    made = library().pulid_upscale(context, upscaler, data, width, height)
    if not made:
        raise NativeFailure(last_error())
    try:
        shape = (height * factor, width * factor, channels)
        larger = Image.fromarray(np.ctypeslib.as_array(made, shape).copy())
    finally:
        library().pulid_free_pixels(made)
    larger.info = picture.info
    return larger
