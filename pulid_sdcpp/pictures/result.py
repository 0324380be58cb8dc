"""A picture that was made, with everything needed to make it again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
        seed: What its noise was drawn with, also when a random one was asked for.
        metadata: The parameters it was made with; `recipe_from` reads them from the saved file.
    """

    image: Image
    seed: int
    metadata: PictureText

    @property
    def text(self) -> str:
        """`metadata` in the form of AUTOMATIC1111's web UI, as it is written into the file."""
        return format_text(self.metadata)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Save the picture with its parameters in it; the file appears whole or not at all.

        Args:
            path: Where to, with a suffix of `png_text.PICTURE_SUFFIXES`. Only PNG keeps the
                pixels exactly.
            overwrite: Whether a file that is there may be replaced.

        Returns:
            The path.

        Raises:
            OutputFileError: It cannot be written; OutputExistsError: there is such a file, and
                `overwrite` is off.
            ValueError: The suffix is of no format we write.
        """
        target = Path(path)
        save_picture(self.image, target, self.text, overwrite=overwrite)
        return target
