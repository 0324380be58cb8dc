"""The pictures that a generation starts from or looks at: read once, and known by their bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from PIL.Image import Image

from ..errors import named, option_error
from ..options.generation import GenerationOptions, with_checked
from ..pictures.text_entries import FileUsed
from ..system.given_content import is_content
from ..system.image_file import picture_bytes, read_image
from ..system.mask_image import read_mask
from ..terminal_text import shown

__all__ = ["ImageNames", "read_images", "read_once"]

ImageNames = Mapping[str, tuple[FileUsed | None, ...]]
"""Name and hash of each image that came from a file, by its role: init, mask, control, ref,
people."""

_IMAGES: dict[str, tuple[str, Callable[..., Image]]] = {
    "init": ("init_image", read_image),
    "mask": ("mask_image", read_mask),
    "control": ("control_image", read_image),
}


def read_images(generation: GenerationOptions) -> tuple[GenerationOptions, ImageNames]:
    """The options with their images read, and the files of these.

    Raises:
        ValueError: What is given as an image is none, nor a file or what is in one.
        ImageFileError: A file that is no picture.
    """
    read: dict[str, Any] = {}
    names: dict[str, tuple[FileUsed | None, ...]] = dict.fromkeys(_IMAGES, ())
    for role, (name, read_one) in _IMAGES.items():
        if (source := getattr(generation, name)) is not None:
            read[name], used = read_once(name, source, read_one)
            names[role] = (used,)
    references = generation.ref_images
    if not isinstance(references, list | tuple):
        raise option_error(
            f"{named('ref_images')} is {shown(references)}, but must be a list of pictures"
        )
    refs = [read_once("ref_images", image, read_image) for image in references]
    read["ref_images"] = tuple(image for image, _ in refs)
    names["ref"] = tuple(used for _, used in refs)
    return with_checked(generation, **read), names


def read_once(name: str, image: Any, read: Callable[..., Image]) -> tuple[Image, FileUsed | None]:
    """A picture, and of a file its name and hash: of the very bytes that the picture is.

    Raises:
        ValueError: It is neither a picture, nor a path, bytes or an open file.
        ImageFileError: It is no picture.
    """
    if is_content(image):
        return read(image, picture_bytes(image)), None
    if not isinstance(image, str | os.PathLike):
        if not isinstance(image, Image):
            raise option_error(
                f"{named(name)} is {shown(image)}, but must be a picture, the path of one, its "
                f"bytes or "
                "an open file"
            )
        return read(image), None
    content = picture_bytes(image)
    return read(image, content), FileUsed.of(image, content)
