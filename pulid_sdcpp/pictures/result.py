"""A picture that was made, with everything needed to make it again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, overload

from ..terminal_text import shown
from .formats import FORMATS, QUALITY, Quality, suffix_of
from .png_text import (
    PictureText,
    check_picture_path,
    encoded_picture,
    format_text,
    save_picture,
)

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Result"]


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """One picture that `PulidPipeline` made.

        result = pipeline.generate("photo of a person", alice, seed=7)
        result.save("alice.png")
        answer = result.to_bytes("jpeg", quality=85)

    Attributes:
        image: RGB.
        seed: The seed of its noise, also if a random one was asked for.
        metadata: Its parameters; `recipe_from` reads them from the saved file.
    """

    image: Image
    seed: int
    metadata: PictureText

    @property
    def text(self) -> str:
        """`metadata` in the format of AUTOMATIC1111's web UI, as written into the file."""
        return format_text(self.metadata)

    def __repr__(self) -> str:
        width, height = self.image.size
        return f"Result({width}x{height}, seed={self.seed})"

    @overload
    def save(
        self,
        path: str | os.PathLike[str],
        *,
        format: str | None = None,
        quality: Quality = QUALITY,
        overwrite: bool = False,
    ) -> Path: ...

    @overload
    def save(
        self, path: BinaryIO, *, format: str | None = None, quality: Quality = QUALITY
    ) -> None: ...

    def save(
        self,
        path: str | os.PathLike[str] | BinaryIO,
        *,
        format: str | None = None,
        quality: Quality = QUALITY,
        overwrite: bool = False,
    ) -> Path | None:
        """Save the picture with its parameters inside; a file is written whole or not at all.

        Args:
            path: The file, with a suffix from `png_text.PICTURE_SUFFIXES`; or something that is
                open for writing bytes, such as `io.BytesIO`. Only PNG keeps the pixels exactly, and
                WebP with "lossless".
            format: "png", "jpeg" or "webp"; None: as the suffix says, and "png" without a name.
            quality: Of JPEG and WebP, 1 to 100; "lossless": WebP that keeps every pixel.
            overwrite: Whether an existing file may be replaced.

        Returns:
            The path, if it is one.

        Raises:
            OutputFileError: It cannot be written; OutputExistsError: it exists, and `overwrite` is
                off.
            ValueError: The suffix is of another format, or there is no such quality; or JPEG and
                WebP have no room for so long a prompt.
        """
        if not isinstance(path, str | os.PathLike):
            path.write(self.to_bytes("png" if format is None else format, quality=quality))
            return None
        target = Path(path)
        if format is not None:
            check_picture_path(target)
            if FORMATS[suffix_of(format)] != FORMATS[target.suffix.lower()]:
                raise ValueError(f"format is {shown(format)}, but {target} is of another")
        save_picture(self.image, target, self.text, overwrite=overwrite, quality=quality)
        return target

    def to_bytes(self, format: str = "png", *, quality: Quality = QUALITY) -> bytes:
        """What `save` would write into a file.

        Args:
            format: "png", "jpeg" or "webp".
            quality: As for `save`.

        Raises:
            ValueError: Another format, no such quality, or no room for the prompt.
        """
        picture = encoded_picture(self.image, suffix_of(format), self.text, quality=quality)
        return bytes(picture)
