"""A photo, in whatever form it comes, as RGB pixels the right way up."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pulid_sdcpp.errors import ImageFileError
from pulid_sdcpp.system.given_content import FileContent, content_of, is_content
from pulid_sdcpp.system.picture_decoding import MAX_PICTURE_BYTES, decoding, opened_picture
from pulid_sdcpp.system.regular_file import read_regular
from pulid_sdcpp.terminal_text import reason_of

from .pixels import resized_lanczos

__all__ = ["MAX_LONG_SIDE_PX", "MIN_SIDE_PX", "Photo", "PhotoSource", "load_photo", "photo_sha256"]

PhotoSource: TypeAlias = "str | os.PathLike[str] | FileContent | Image.Image | NDArray[Any]"

MAX_LONG_SIDE_PX = 1024
"""Longer photos are reduced to this (PuLID app_flux.py, `resize_numpy_image_long`)."""
MIN_SIDE_PX = 32
"""No face in a smaller picture is worth recognising: ArcFace alone looks at 112 pixels."""
BAND_PX = 512
"""Rows converted at a time: of a large photo only one copy is held besides the decoder's."""

_GIVEN = "the given picture"

_logger = logging.getLogger("pulid_extractor")


@dataclass(frozen=True)
class Photo:
    """A photo, prepared for the networks.

    Args:
        pixels: (H, W, 3) uint8 RGB, long side at most 1024.
        name: Its name in messages: the file's path, or "the given picture".
        sha256: SHA-256 of the file's bytes, or of the RGB pixels of a Pillow image or an array.
        scale: Pixels here per pixel of the given photo, at most 1.
    """

    pixels: NDArray[np.uint8] = field(repr=False)
    name: str
    sha256: str
    scale: float


def load_photo(source: PhotoSource) -> Photo:
    """Read a photo.

    EXIF orientation is applied; transparency becomes white; CMYK, palette, greyscale and 16-bit
    pictures are converted to 8-bit RGB; of an animation the first frame is used.

    Args:
        source: A file, what is in it (bytes), or a file that is open for reading bytes; a Pillow
            image; or an array: (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey, uint8 or uint16.

    Raises:
        ImageFileError: The file is missing, not a picture, damaged, or too small or too big.
        ValueError: The array has another shape or type, or is too small; or an open file gives
            text.
    """
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else _GIVEN
    if isinstance(source, (str, os.PathLike)) or is_content(source):
        content = _content(source)
        pixels = _decode(content, name)
        digest = hashlib.sha256(content).hexdigest()
    else:
        pixels = _given(source, name)
        digest = hashlib.sha256(pixels.data).hexdigest()
    reduced = _limit_long_side(pixels)
    return Photo(reduced, name, digest, scale=max(reduced.shape[:2]) / max(pixels.shape[:2]))


def photo_sha256(source: PhotoSource) -> str:
    """`Photo.sha256` of what `load_photo` would give, without decoding a file.

    Raises:
        ImageFileError: The file is missing or unreadable; a picture in memory cannot be used.
        ValueError: As `load_photo`.
    """
    if isinstance(source, (str, os.PathLike)) or is_content(source):
        return hashlib.sha256(_content(source)).hexdigest()
    return hashlib.sha256(_given(source, _GIVEN).data).hexdigest()


def _content(source: Any) -> bytes:
    if isinstance(source, (str, os.PathLike)):
        return _read(os.fspath(source))
    return content_of(
        source, MAX_PICTURE_BYTES, lambda reason: ImageFileError(f"{_GIVEN}: {reason}")
    )


def _read(name: str) -> bytes:
    """A file's bytes; never waits for a pipe, never reads a device that has no end."""
    try:
        content = read_regular(name, MAX_PICTURE_BYTES)
    except FileNotFoundError:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", name):
            raise ImageFileError(
                f"{name}: expected a photo's file, found a web address; download the photo first"
            ) from None
        raise ImageFileError(f"{name}: no such file; expected a photo") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = reason_of(error)
        raise ImageFileError(f"{name}: cannot be read: {reason}") from error
    if not content:
        raise ImageFileError(f"{name}: expected a photo, found an empty file")
    return content


def _decode(content: bytes, name: str) -> NDArray[np.uint8]:
    """The pixels of a picture file, upright, (H, W, 3) RGB."""
    with opened_picture(content, name, "a photo") as picture:
        _check_size(picture, name, ImageFileError)
        frames = getattr(picture, "n_frames", 1)
        # An MPO is a JPEG with previews or a second view behind it, a HEIC may have several views:
        # no animations. Of a HEIC, the picture is not always the first, but the one it opens with.
        if frames > 1 and picture.format not in ("HEIF", "MPO"):
            _logger.warning("%s: %d frames; only the first is used", name, frames)
        if picture.format != "HEIF":
            picture.seek(0)
        ImageOps.exif_transpose(picture, in_place=True)
        return _pixels(picture, name)


def _given(source: Any, name: str) -> NDArray[np.uint8]:
    if isinstance(source, Image.Image):
        _check_size(source, name, ValueError)
        with decoding(name, "a photo"):
            return _pixels(ImageOps.exif_transpose(source), name)
    array = np.asarray(source)
    if array.dtype == np.uint16:
        array = _eight_bit(array)
    if array.dtype != np.uint8 or not (
        array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    ):
        raise ValueError(
            "expected a photo as (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey, uint8 or uint16; "
            f"found {array.shape} {array.dtype}"
        )
    if 0 in array.shape:
        raise ValueError(f"expected a photo, found an array of shape {array.shape}")
    picture = Image.fromarray(np.ascontiguousarray(array))
    _check_size(picture, name, ValueError)
    return _pixels(picture, name)


def _pixels(picture: Image.Image, name: str) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of a picture in any mode."""
    width, height = picture.size
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, BAND_PX):
        bottom = min(top + BAND_PX, height)
        try:
            pixels[top:bottom] = np.asarray(_rgb(picture.crop((0, top, width, bottom))))
        except _UnsupportedDepth as error:
            raise ImageFileError(
                f"{name}: expected 8 or 16 bits per channel, found {error}"
            ) from None
    return pixels


class _UnsupportedDepth(Exception):
    """A picture whose numbers have no fixed white."""


def _rgb(picture: Image.Image) -> Image.Image:
    """Any Pillow mode as 8-bit RGB."""
    if picture.mode.startswith("I;16") or picture.mode == "I":
        # Pillow clips these to 255 where they should be scaled.
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 65535:
            raise _UnsupportedDepth("a 32-bit integer picture")
        picture = Image.fromarray(_eight_bit(values.astype(np.uint16)))
    elif picture.mode == "F":
        raise _UnsupportedDepth("floating point")
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return picture.convert("RGB")


def _eight_bit(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """0..65535 to 0..255, rounded: 65535 = 255 * 257."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _check_size(picture: Image.Image, name: str, error: type[Exception]) -> None:
    """Before anything is decoded, which for a big picture takes seconds."""
    width, height = picture.size
    # The short side counts after the reduction, too: a strip of 4000 x 40 is no photo.
    reduced = min(height, width) * min(1.0, MAX_LONG_SIDE_PX / max(height, width, 1))
    if reduced < MIN_SIDE_PX:
        raise error(
            f"{name}: expected a photo of at least {MIN_SIDE_PX} pixels on the short side (with "
            f"the long side reduced to {MAX_LONG_SIDE_PX}), found {width} x {height}"
        )


def _limit_long_side(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduce to MAX_LONG_SIDE_PX with Lanczos, sizes rounded down: the reference's way."""
    height, width = pixels.shape[:2]
    if max(height, width) <= MAX_LONG_SIDE_PX:
        return np.ascontiguousarray(pixels)
    factor = MAX_LONG_SIDE_PX / max(height, width)
    return resized_lanczos(pixels, (int(width * factor), int(height * factor)))
