"""Pictures that a user names as input, read as upright RGB."""

from __future__ import annotations

import os

from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import ImageFileError

__all__ = ["read_image"]


def read_image(path: str | os.PathLike[str]) -> Image.Image:
    """Read a picture: RGB, turned upright by its EXIF orientation, transparency on white.

    Raises:
        ImageFileError: The file is missing, damaged, or not a picture.
    """
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                ground = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(ground, image.convert("RGBA"))
            return image.convert("RGB")
    except (UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageFileError(f"{path} is not a picture that can be read: {error}") from error
    except OSError as error:
        raise ImageFileError(f"cannot read {path}: {error.strerror or error}") from error
