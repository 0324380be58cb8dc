"""What the sides of a picture are multiples of: it depends on the model."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import named, option_error
from .generation import SIZE_MULTIPLE_PX, GenerationOptions
from .identity_mode import has_identity_modes

__all__ = ["SDXL_SIZE_MULTIPLE_PX", "check_size_multiple", "size_multiple_px"]

SDXL_SIZE_MULTIPLE_PX = 64
"""The autoencoder's factor 8 times that of the UNet's levels, 8; the engine rounds others up.
Source: stable-diffusion.cpp, align_image_size.
"""


def size_multiple_px(encoders: Sequence[str], *, is_sdxl: bool = False) -> int:
    """What widths and heights are multiples of, in pixels.

    Args:
        encoders: Of the PuLID weights, as for `identity_uses`; without weights, Flux's holds.
        is_sdxl: Whether the model itself is known to be SDXL.
    """
    if is_sdxl or any(map(has_identity_modes, encoders)):
        return SDXL_SIZE_MULTIPLE_PX
    return SIZE_MULTIPLE_PX


def check_size_multiple(
    generation: GenerationOptions, encoders: Sequence[str] = (), *, is_sdxl: bool = False
) -> None:
    """Refuse a size that the model does not make exactly.

    Args:
        encoders, is_sdxl: As for `size_multiple_px`.

    Raises:
        ValueError: Names the side, and the nearest that are possible.
    """
    step = size_multiple_px(encoders, is_sdxl=is_sdxl)
    passes = [("width", "height", (generation.width, generation.height))]
    if generation.second_size is not None:
        passes.append(("hires_width", "hires_height", generation.second_size))
    for width, height, sides in passes:
        for name, side in zip((width, height), sides, strict=True):
            if side % step:
                lower = side - side % step
                nearest = f"{lower} or {lower + step}" if lower else f"{step}"
                raise option_error(
                    f"{named(name)} is {side}, but must be a multiple of {step} with an SDXL "
                    f"model; use {nearest}"
                )
