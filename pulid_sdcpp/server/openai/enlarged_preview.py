"""A preview in the size of its picture: it comes at an eighth, or decoded at the whole."""

from __future__ import annotations

import io

from ...pictures.formats import holding_suffix, suffix_of

__all__ = ["enlarged_preview"]


def enlarged_preview(png: bytes, scale: int, output_format: str) -> tuple[bytes, tuple[int, int]]:
    """The preview as a file that a client can show in the place of the picture, and its size.

    Args:
        png: The engine's.
        scale: How many pixels of the picture are one of it, along a side.
        output_format: "png", "jpeg" or "webp"; too large for that, it is a PNG.
    """
    from PIL import Image

    from ...pictures.png_text import encoded_picture

    with Image.open(io.BytesIO(png)) as opened:
        image = opened.convert("RGB")
    size_px = image.width * scale, image.height * scale
    if scale != 1:
        image = image.resize(size_px, Image.Resampling.BICUBIC)
    suffix = holding_suffix(suffix_of(output_format), size_px)
    return bytes(encoded_picture(image, suffix)), size_px
