"""Pictures of every kind that a client may send, made here: good ones, huge ones, wrong ones."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["file_of", "noise", "png_chunk", "png_chunks", "png_of_size", "webp_of_size"]

PNG = b"\x89PNG\r\n\x1a\n"


def noise(width: int = 24, height: int = 16, mode: str = "RGB") -> Image.Image:
    """Pixels that no two places have in common, the same in every run."""
    numbers = np.random.default_rng(7).integers(0, 256, (height, width, 4), np.uint8)
    return Image.fromarray(numbers).convert(mode)


def file_of(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    """A picture's file."""
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG."""
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png_chunks(png: bytes) -> list[bytes]:
    """The kinds of a PNG's parts, in order; nothing stands behind the last."""
    assert png.startswith(PNG)
    kinds, at = [], len(PNG)
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kinds.append(png[at + 4 : at + 8])
        at += length + 12
    assert at == len(png)
    return kinds


def png_of_size(width: int, height: int, *more: bytes, rows: int | None = None) -> bytes:
    """A PNG of one bit a pixel, black, whose pixels take next to nothing.

    Args:
        width, height: As its header says.
        more: Parts between header and pixels.
        rows: How many there really are.
    """
    row = b"\0" * (1 + (width + 7) // 8)
    pack = zlib.compressobj(9)
    data = b"".join(pack.compress(row) for _ in range(height if rows is None else rows))
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        PNG
        + png_chunk(b"IHDR", header)
        + b"".join(more)
        + png_chunk(b"IDAT", data + pack.flush())
        + png_chunk(b"IEND", b"")
    )


def webp_of_size(width: int, height: int) -> bytes:
    """The beginning of a WebP with a canvas, and no picture on it."""
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + canvas + b"VP8L\0\0\0\0"
    return b"RIFF" + struct.pack("<I", len(body)) + body
