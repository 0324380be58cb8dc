"""Masks: pictures of which brightness says how far each pixel is inside."""

from __future__ import annotations

import functools
import logging
import os
from typing import cast

from PIL import Image, ImageChops

from ..errors import ImageFileError
from .image_file import ImageSource, is_transparent, open_upright, picture_name
from .picture_decoding import decoding

__all__ = ["MASK_VERSION", "read_mask"]

LOGGER = logging.getLogger("pulid_sdcpp.mask_image")

MASK_VERSION = 2
"""Another one when the same file becomes another mask. 1: transparency was white."""

_MOST_COLOUR = 32
"""Difference of a grey's channels, of 255: what JPEG and colour profiles make of it."""


def read_mask(source: ImageSource, content: bytes | None = None) -> Image.Image:
    """Read a mask: white is inside, black outside, grey in between; transparent is outside.

    Image editors save what is painted white on a transparent layer as white with an alpha of 0 to
    255; brightness times alpha is what one sees of it on black.

    Args:
        source: A file, its content, an open file, or a Pillow image.
        content: What is in the file, where that was read already.

    Returns:
        Mode "L", upright.

    Raises:
        ImageFileError: The file cannot be read; or the mask is black everywhere, or has both
            colours and transparency, so that what is meant cannot be told.
        ValueError: That of a Pillow image; or an open file that gives no bytes.
    """
    is_file = isinstance(source, str | os.PathLike)
    name = picture_name(source) if is_file else "the mask"
    error = ValueError if isinstance(source, Image.Image) else ImageFileError
    image = open_upright(source, content)
    if image.mode in ("F", "I"):
        raise error(
            f"{name}: expected a mask of 8 or 16 bits, found numbers of 32 bits; convert it"
        )
    transparent = is_transparent(image)
    with decoding(name):  # some modes have no way to RGB
        rgba = image.convert("RGBA") if transparent else image.convert("RGB")
        mask = rgba.convert("RGB").convert("L")
    if transparent and (alpha := rgba.getchannel("A")).getextrema() != (255, 255):
        if _colour(rgba, alpha) > _MOST_COLOUR:
            raise error(
                f"{name}: expected a mask, found colours and transparency; paint it white on "
                "black, or white on transparent"
            )
        mask = ImageChops.multiply(mask, alpha)
    lowest, highest = mask.getextrema()
    if highest == 0:
        hint = " and what is transparent stay" if transparent else " stays"
        raise error(
            f"{name} is black everywhere, so nothing is inside: white is what belongs to it; black"
            f"{hint} out"
        )
    if lowest == highest:
        what = "white" if lowest == 255 else "of one grey"
        _warn_once(f"{name} is {what} everywhere: it is a mask of the whole picture")
    return mask


def _colour(rgba: Image.Image, alpha: Image.Image) -> int:
    """How far the channels of visible pixels differ, 0 to 255."""
    red, green, blue, _ = rgba.split()
    brightest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    darkest = ImageChops.darker(ImageChops.darker(red, green), blue)
    difference = ImageChops.multiply(ImageChops.subtract(brightest, darkest), alpha)
    return cast(int, difference.getextrema()[1])


@functools.cache
def _warn_once(reason: str) -> None:
    """It is read more than once for a picture."""
    LOGGER.warning(reason)
