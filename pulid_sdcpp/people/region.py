"""Where in a picture a person is: a box, or a mask image."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..options.checks import check_number, check_path
from ..options.facts import described, plain_number
from ..system.given_content import FileContent, is_content
from ..terminal_text import listed

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["TOKEN_PX", "Region"]

TOKEN_PX = 16
"""Side of an image token of Flux, the least that the model sees: 2 x 2 latents of 8 x 8 pixels."""

_MAX_SIDE = 65536.0
_ROUNDING = 1e-6  # a third and two thirds of a picture are a whole one


@dataclass(frozen=True, eq=False, repr=False)
class Region:
    """A part of a picture; exactly one of the two is given.

    Args:
        box: (x, y, width, height) of a rectangle, from the upper left corner: shares of the picture
            if all four are at most 1, otherwise pixels.
        mask: A picture: a file, what is in it, an open file, or a Pillow image; white is inside,
            black outside, grey in between. It is scaled to the size of the new picture.

    Raises:
        ImageFileError: An open file that cannot be read.
        ValueError: Both or neither are given; or the box is outside the picture, mixes shares and
            pixels, or is smaller than 16 x 16 pixels.
    """

    box: tuple[float, float, float, float] | None = None
    mask: str | os.PathLike[str] | FileContent | Image.Image | None = None

    def __post_init__(self) -> None:
        if (self.box is None) == (self.mask is None):
            found = "neither is" if self.box is None else "both are"
            raise ValueError(f"a region needs either a box or a mask, but {found} given")
        if self.box is not None:
            object.__setattr__(self, "box", plain_number(self.box))
            _check_box(self.box)
        elif isinstance(self.mask, str | os.PathLike):
            check_path("mask", self.mask)
        elif is_content(self.mask):  # an open file may not be there when the mask is looked at
            from ..system.image_file import picture_bytes

            object.__setattr__(self, "mask", picture_bytes(self.mask))

    def __repr__(self) -> str:
        return described(self)

    @property
    def in_parts(self) -> bool:
        """Whether the box is in shares of the picture, not in pixels."""
        return self.box is not None and max(self.box) <= 1


def _check_box(box: tuple[float, float, float, float]) -> None:
    if not isinstance(box, tuple | list) or len(box) != 4:
        raise ValueError(f"box is {listed(box)}, but must be four numbers: x, y, width, height")
    for name, value in zip(("x", "y", "width", "height"), box, strict=True):
        check_number(f"box {name}", value, 0.0, _MAX_SIDE)
    x, y, width, height = box
    if width == 0 or height == 0:
        raise ValueError(f"box {_labelled(box)} has no area")
    if max(box) > 1:
        _check_box_px(box)
    elif x + width > 1 + _ROUNDING or y + height > 1 + _ROUNDING:
        raise ValueError(
            f"box {_labelled(box)} goes beyond the picture, which is 1 wide and 1 high"
        )


def _check_box_px(box: tuple[float, float, float, float]) -> None:
    """Refuse what was meant in parts of the picture, or is no room for anybody."""
    hint = "as shares of the picture, no number is above 1, and (0, 0, 1, 1) is all of it"
    if any(0 < value < 1 for value in box):
        raise ValueError(f"box {_labelled(box)} mixes shares of the picture and pixels; {hint}")
    if min(box[2:]) < TOKEN_PX:
        raise ValueError(
            f"box {_labelled(box)} is {box[2]:g}x{box[3]:g} pixels, but a person needs "
            f"{TOKEN_PX}x{TOKEN_PX} at least; {hint}"
        )


def _labelled(box: tuple[float, float, float, float]) -> str:
    """`(0.5, 0, 1, 1) (x, y, width, height)`."""
    return f"({', '.join(f'{value:g}' for value in box)}) (x, y, width, height)"
