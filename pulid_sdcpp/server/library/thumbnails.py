"""Small pictures for the gallery, made when they are first asked for and kept with their job."""

from __future__ import annotations

import contextlib
import io
import threading
from pathlib import Path

from PIL import Image

from ...errors import ImageFileError, OutputFileError
from ...system.atomic_file import atomic_file
from ...system.image_file import read_image
from ...terminal_text import reason_of
from ..errors import ApiError

__all__ = ["THUMBNAIL_SIDE_PX", "THUMBNAIL_TYPE", "thumbnail", "thumbnail_path"]

THUMBNAIL_SIDE_PX = 384
THUMBNAIL_TYPE = "image/webp"

_SUFFIX = ".webp"
_QUALITY = 80
_MAX_BYTES = 4 << 20

# A page of the gallery asks for fifty at once, and each is decoded to some megabytes.
_few_at_once = threading.BoundedSemaphore(2)


def thumbnail_path(picture: Path) -> Path:
    """Where the thumbnail of a job's picture is kept: beside it, and so removed with its job."""
    return picture.with_suffix(_SUFFIX)


def thumbnail(picture: Path) -> bytes:
    """A WebP of at most THUMBNAIL_SIDE_PX a side, without any metadata.

    Args:
        picture: The file of a job's picture.

    Raises:
        ApiError: "not_found": it cannot be read, or was removed meanwhile.
    """
    kept = thumbnail_path(picture)
    with contextlib.suppress(OSError):
        if 0 < kept.stat().st_size <= _MAX_BYTES:
            return kept.read_bytes()
    with _few_at_once:
        try:
            image = read_image(picture)
        except ImageFileError as error:
            reason = reason_of(error.__cause__) if error.__cause__ else "it is damaged"
            raise ApiError("not_found", f"the picture cannot be read: {reason}") from error
        image.thumbnail((THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), Image.Resampling.LANCZOS)
        image.info.clear()
        content = io.BytesIO()
        image.save(content, "WEBP", quality=_QUALITY)
    made = content.getvalue()
    # A full disk, or a job that was removed: the next one who asks waits again.
    with contextlib.suppress(OutputFileError), atomic_file(kept, private=True) as file:
        file.write(made)
    return made
