"""Pictures that a user gives as input, read upright: a file, its content, or a Pillow image."""

from __future__ import annotations

import os

from PIL import Image, ImageOps

from ..errors import ImageFileError
from ..terminal_text import reason_of
from .given_content import FileContent, content_of
from .picture_decoding import MAX_PICTURE_BYTES, decoding, opened_picture
from .regular_file import read_regular

__all__ = [
    "ImageSource",
    "is_transparent",
    "open_upright",
    "picture_bytes",
    "picture_name",
    "read_image",
    "upright",
]

ImageSource = str | os.PathLike[str] | FileContent | Image.Image


def read_image(source: ImageSource, content: bytes | None = None) -> Image.Image:
    """Read a picture: RGB, turned upright by its EXIF orientation, transparency on white.

    Args:
        source: A file, its content, or an open file; or a Pillow image, which is treated like the
            file it may come from.
        content: What is in the file, where that was read already.

    Raises:
        ImageFileError: The file is missing, damaged, or not a picture.
    """
    image = open_upright(source, content)
    with decoding(picture_name(source)):  # some modes have no way to RGB
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
    name = picture_name(source)
    if isinstance(source, Image.Image):
        with decoding(name):
            source.load()  # pictures are read from their file when first used
            return upright(source)
    content = picture_bytes(source) if content is None else content
    with opened_picture(content, name) as image:
        return upright(image)


def picture_bytes(path: str | os.PathLike[str] | FileContent) -> bytes:
    """What is in a picture's file: to be hashed and decoded, so that both are of one content.

    Args:
        path: The file, what is in it, or an open one.

    Raises:
        ImageFileError: It is missing, no regular file, or cannot be read.
        ValueError: An open file that gives no bytes.
    """
    if not isinstance(path, str | os.PathLike):
        name = picture_name(path)
        return content_of(
            path, MAX_PICTURE_BYTES, lambda reason: ImageFileError(f"{name}: {reason}")
        )
    try:
        return read_regular(path, MAX_PICTURE_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = reason_of(error)
        raise ImageFileError(f"cannot read {path}: {reason}") from error


def picture_name(source: ImageSource) -> str:
    """What to call it in messages."""
    return str(source) if isinstance(source, str | os.PathLike) else "the given picture"


def is_transparent(image: Image.Image) -> bool:
    """Whether it has transparency, be it that all of it is opaque."""
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def upright(image: Image.Image) -> Image.Image:
    """A Pillow image as its EXIF orientation says, with 8 bits a channel."""
    turned = ImageOps.exif_transpose(image)
    # A PNG of 16 bits is "I" in some versions of Pillow; its own conversion cuts off at 255.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        turned.info.pop("transparency", None)  # of 16 bits
        turned = turned.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    return turned
