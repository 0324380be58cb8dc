"""A small picture of a person's face, to know the person by in a list."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["THUMBNAIL_PX", "face_thumbnail"]

THUMBNAIL_PX = 256
_MARGIN = 0.4
"""Around the face's box, in its longer sides: hair and chin are part of what one recognises."""
_QUALITY = 85


def face_thumbnail(photo: Image.Image, box: Sequence[float]) -> bytes:
    """The face as a JPEG without any metadata.

    Args:
        photo: RGB, upright.
        box: Left, top, right, bottom of the face in its pixels; may reach beyond its edge.

    Returns:
        A JPEG of at most THUMBNAIL_PX a side.
    """
    from PIL import Image

    left, top, right, bottom = box
    half = max(right - left, bottom - top, 1) * (0.5 + _MARGIN)
    x, y = (left + right) / 2, (top + bottom) / 2
    width, height = photo.size
    left, top = max(round(x - half), 0), max(round(y - half), 0)
    right, bottom = min(round(x + half), width), min(round(y + half), height)
    if right <= left or bottom <= top:  # a box outside the photo
        left, top, right, bottom = 0, 0, width, height
    face = photo.convert("RGB").crop((left, top, right, bottom))
    face.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    face.info.clear()
    content = io.BytesIO()
    face.save(content, "JPEG", quality=_QUALITY)
    return content.getvalue()
