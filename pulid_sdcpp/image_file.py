"""Pictures that a user gives as input, read upright: from a file, or as a Pillow image."""

from __future__ import annotations

import io
import os
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import ImageFileError

__all__ = ["is_transparent", "open_upright", "picture_bytes", "read_image"]

ImageSource = str | os.PathLike[str] | Image.Image


def read_image(source: ImageSource, content: bytes | None = None) -> Image.Image:
    """Read a picture: RGB, turned upright by its EXIF orientation, transparency on white.

    Args:
        source: A file; or a Pillow image, which is treated like the file it may come from.
        content: What is in the file, where that was read already.

    Raises:
        ImageFileError: The file is missing, damaged, or not a picture.
    """
    image = open_upright(source, content)
    if is_transparent(image):
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return image.convert("RGB")


def open_upright(source: ImageSource, content: bytes | None = None) -> Image.Image:
    """Read a picture in the mode that it has, but upright and with 8 bits a channel.

    Args:
        source, content: As for `read_image`.

    Raises:
        ImageFileError: As `read_image`.
    """
    name = "the given picture" if isinstance(source, Image.Image) else str(source)
    try:
        if isinstance(source, Image.Image):
            source.load()  # pictures are read from their file when first used
            return _upright(source)
        with Image.open(io.BytesIO(picture_bytes(source) if content is None else content)) as file:
            return _upright(file)
    except UnidentifiedImageError as error:
        raise ImageFileError(f"{name} is not a picture that can be read") from error
    except (ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageFileError(f"{name} is not a picture that can be read: {error}") from error
    except OSError as error:
        raise ImageFileError(f"cannot read {name}: {error.strerror or error}") from error


def picture_bytes(path: str | os.PathLike[str]) -> bytes:
    """What is in a picture's file: to be hashed and decoded, so that both are of one content.

    Raises:
        ImageFileError: It is missing or cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise ImageFileError(f"cannot read {path}: {reason}") from error


def is_transparent(image: Image.Image) -> bool:
    """Whether it has transparency, be it that all of it is opaque."""
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def _upright(image: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(image)
    # A PNG of 16 bits is "I" in some versions of Pillow; its own conversion cuts off at 255.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        upright.info.pop("transparency", None)  # of 16 bits
        upright = upright.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    return upright
