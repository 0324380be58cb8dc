"""A preview in the size of its picture: it comes at an eighth, or decoded at the whole."""

from __future__ import annotations

import io

from ..pictures.formats import QUALITY, suffix_of

__all__ = ["enlarged_preview"]


def enlarged_preview(png: bytes, width: int, height: int, output_format: str) -> bytes:
    """The preview as a file that a client can show in the place of the picture.

    Args:
        png: The engine's.
        width, height: Of the picture, in pixels.
        output_format: "png", "jpeg" or "webp".
    """
    from PIL import Image

    from ..pictures.png_text import encoded_picture

    with Image.open(io.BytesIO(png)) as opened:
        image = opened.convert("RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return bytes(encoded_picture(image, suffix_of(output_format), quality=QUALITY))
