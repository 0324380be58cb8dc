"""A picture that was made, with everything needed to make it again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .formats import QUALITY, Quality
from .png_text import PictureText, format_text, save_picture

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Result"]


@dataclass(frozen=True, eq=False)
class Result:
    """One picture that `PulidFlux` made.

        result = pipeline.generate("photo of a person", alice, seed=7)
        result.save("alice.png")

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

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        quality: Quality = QUALITY,
    ) -> Path:
        """Save the picture with its parameters inside; the file is written whole or not at all.

        Args:
            path: The file, with a suffix from `png_text.PICTURE_SUFFIXES`. Only PNG keeps the
                pixels exactly, and WebP with "lossless".
            overwrite: Whether an existing file may be replaced.
            quality: Of JPEG and WebP, 1 to 100; "lossless": WebP that keeps every pixel.

        Returns:
            The path.

        Raises:
            OutputFileError: It cannot be written; OutputExistsError: it exists, and `overwrite` is
                off.
            ValueError: The suffix is of another format, or there is no such quality.
        """
        target = Path(path)
        save_picture(self.image, target, self.text, overwrite=overwrite, quality=quality)
        return target
