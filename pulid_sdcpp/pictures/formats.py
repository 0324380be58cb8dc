"""The formats that pictures are written in, and how exactly."""

from __future__ import annotations

from typing import Literal

from ..terminal_text import shown

__all__ = ["FORMATS", "MAX_SIDE_PX", "PICTURE_SUFFIXES", "QUALITY", "Quality", "check_quality",
           "holding_suffix", "suffix_of"]  # fmt: skip

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Pillow's name of each, by suffix."""
PICTURE_SUFFIXES = tuple(FORMATS)
MAX_SIDE_PX = {"PNG": (1 << 31) - 1, "JPEG": 65_500, "WEBP": 16_383}
"""The longest side: PNG's standard, libjpeg's JPEG_MAX_DIMENSION, WebP's 14 bits."""

Quality = int | Literal["lossless"]
"""Of JPEG and WebP: 1 to 100; "lossless", of WebP, keeps every pixel, as PNG always does."""
QUALITY: Quality = 90  # what sd-cli writes


def suffix_of(format_name: str) -> str:
    """The suffix of a format that is named: "png", "jpeg", "jpg" or "webp".

    Raises:
        ValueError: It is none of those that are written here.
    """
    suffix = f".{str(format_name).lower()}"
    if suffix not in FORMATS:
        raise ValueError(f"format is {shown(format_name)}, but must be one of png, jpeg, webp")
    return suffix


def holding_suffix(suffix: str, size_px: tuple[int, int]) -> str:
    """The suffix, or .png where its format has no room for so large a picture.

    Args:
        suffix: Of PICTURE_SUFFIXES, in any case of its letters.
        size_px: Width and height.
    """
    return suffix if max(size_px) <= MAX_SIDE_PX[FORMATS[suffix.lower()]] else ".png"


def check_quality(quality: object, suffix: str = "") -> None:
    """Refuse what is no `Quality`, or none that a format has.

    Args:
        quality: What is asked for.
        suffix: The format's, of PICTURE_SUFFIXES; "": any.

    Raises:
        ValueError: Names what it may be.
    """
    if quality == "lossless":
        if FORMATS.get(suffix.lower()) == "JPEG":
            raise ValueError(f"quality is lossless, but {suffix} never is; use .webp or .png")
        return
    if isinstance(quality, bool) or not isinstance(quality, int) or not 1 <= quality <= 100:
        raise ValueError(f"quality is {shown(quality)}, but must be from 1 to 100, or lossless")
