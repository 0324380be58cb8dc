"""What a picture's bytes say of it, before a decoder looks at them: its format and its size."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["FORMATS", "jpeg_scans", "picture_format", "picture_size"]

FORMATS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"PNG": ("PNG",), "JPEG": ("JPEG", "MPO"), "WebP": ("WEBP",), "AVIF": ("AVIF",)}
)
"""What a client may send, and what Pillow calls it: a JPEG with a second view is an MPO."""

_PNG = b"\x89PNG\r\n\x1a\n"
# A marker that is neither a byte of the picture, nor one for going on in it, nor filling.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


def picture_format(content: bytes) -> str:
    """One of `FORMATS` by the first bytes; "" for all else."""
    if content.startswith(_PNG):
        return "PNG"
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP"
    if content[4:8] == b"ftyp" and content[8:12] in (b"avif", b"avis"):
        return "AVIF"
    return ""


def picture_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG or a WebP; None: only its decoder can tell.

    Decoders of WebP reserve memory for all pixels when they open a file, so its size must be known
    before.
    """
    if content.startswith(_PNG) and content[12:16] == b"IHDR" and len(content) >= 24:
        return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    if picture_format(content) != "WebP" or len(content) < 30:
        return None
    kind = content[12:16]
    if kind == b"VP8X":
        return (
            1 + int.from_bytes(content[24:27], "little"),
            1 + int.from_bytes(content[27:30], "little"),
        )
    if kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = (int.from_bytes(content[at : at + 2], "little") for at in (26, 28))
        return width & 0x3FFF, height & 0x3FFF
    return None


def jpeg_scans(content: bytes, most: int) -> int:
    """How often a JPEG goes over all of its picture; counting ends above `most`.

    A scan of ten bytes can cost as much time as the whole picture, and a file has room for a
    million of them.
    """
    scans = 0
    at = 2
    while scans <= most and (marker := _MARKER.search(content, at)):
        kind = marker[1][0]
        if kind == _END_OF_IMAGE:
            break
        scans += kind == _START_OF_SCAN
        length = int.from_bytes(content[marker.end() : marker.end() + 2], "big")
        at = marker.end() + max(length, 2)
    return scans
