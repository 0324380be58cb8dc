"""Photos that a user names: files, or folders of them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import ImageFileError
from ..terminal_text import reason_of

__all__ = ["MAX_PHOTOS", "PHOTO_SUFFIXES", "photo_list", "photos_in"]

LOGGER = logging.getLogger("pulid_sdcpp.photos")

MAX_PHOTOS = 64
"""Of one folder. All are read together, and after some four they add nothing: see the guide."""

PHOTO_SUFFIXES = {
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jp2", ".jpeg", ".jpg", ".mpo"),
    *(".pgm", ".png", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
}
"""By which photos are known in a folder; a file that is named itself may have any name."""

_MOST_NAMED = 3


def photos_in(folder: Path) -> tuple[Path, ...]:
    """The photos in a folder, by name; not those in folders inside it.

    Other files are left out, and logged; hidden ones without a word.

    Raises:
        ImageFileError: It has no photo, too many, or cannot be read.
    """
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        files = [path for path in inside if path.is_file()]
    except OSError as error:
        raise ImageFileError(f"{folder}: cannot read the folder: {reason_of(error)}") from error
    photos = tuple(path for path in files if path.suffix.lower() in PHOTO_SUFFIXES)
    if not photos:
        raise ImageFileError(f"{folder}: there is no photo in this folder")
    if len(photos) > MAX_PHOTOS:
        raise ImageFileError(
            f"{folder}: there are {len(photos)} photos in this folder, but {MAX_PHOTOS} are the "
            "most; choose the best few"
        )
    if others := [path.name for path in files if path not in photos]:
        more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
        LOGGER.warning("%s: left out: %s%s", folder, ", ".join(others[:_MOST_NAMED]), more)
    return photos


def photo_list(named: Iterable[str | os.PathLike[str]]) -> tuple[Path, ...]:
    """The photos that are named, with those of a folder in its place; nothing is read yet.

    Raises:
        ImageFileError: One is not there; or as `photos_in`.
    """
    photos: list[Path] = []
    for path in map(Path, named):
        if not path.exists():
            raise ImageFileError(f"{path}: no such file; expected a photo")
        photos += photos_in(path) if path.is_dir() else [path]
    return tuple(photos)
