"""What A1111's clients have done with a mask before it is used."""

from __future__ import annotations

import io
from dataclasses import dataclass

__all__ = ["MaskChange"]


@dataclass(frozen=True)
class MaskChange:
    """What is done with a mask before it is used.

    Attributes:
        invert: Whether black is what may change.
        blur_px: The radius of a Gaussian blur, in the mask's own pixels.
    """

    invert: bool = False
    blur_px: float = 0.0

    def of(self, png: bytes) -> bytes:
        """A mask, changed.

        Args:
            png: A grey picture, as `pictures_in.mask_from` writes it.

        Returns:
            A grey PNG of the same size.

        Raises:
            ValueError: Nothing is left inside.
        """
        if not self.invert and not self.blur_px:
            return png
        from PIL import Image, ImageFilter, ImageOps

        with Image.open(io.BytesIO(png)) as opened:
            mask = opened.convert("L")
        if self.invert:
            mask = ImageOps.invert(mask)
            if mask.getextrema() == (0, 0):
                raise ValueError("the mask is white everywhere, and inverted: nothing may change")
        if self.blur_px:
            mask = mask.filter(ImageFilter.GaussianBlur(self.blur_px))
        file = io.BytesIO()
        mask.save(file, "PNG", compress_level=1)
        return file.getvalue()
