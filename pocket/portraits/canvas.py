"""A picture and its labels, drawn together, several times larger than wanted."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from .palette import Color

__all__ = ["LABELS", "Canvas"]

LABELS = {
    name: index
    for index, name in enumerate(
        (
            "background",
            "skin",
            "left brow",
            "right brow",
            "left eye",
            "right eye",
            "glasses",
            "left ear",
            "right ear",
            "earring",
            "nose",
            "mouth",
            "upper lip",
            "lower lip",
            "neck",
            "necklace",
            "cloth",
            "hair",
            "hat",
        )
    )
}
"""The 19 classes of face parsing, in the order of CelebAMask-HQ as BiSeNet is trained on it."""

OUTLINE: Color = (22, 20, 30)


class Canvas:
    """Polygons in shares of the picture's side; what is drawn later covers what is below.

    Args:
        side_px: Of the finished picture.
        background: Its colour.
        oversampling: How much larger it is drawn, per side, against jagged edges.
        with_labels: Whether labels are drawn too.
        outline: Width of a dark line around every shape that asks for one, in shares of the
            side; 0 draws none.
    """

    def __init__(
        self,
        side_px: int,
        background: Color,
        *,
        oversampling: int = 3,
        with_labels: bool = True,
        outline: float = 0.0,
    ) -> None:
        self.side_px = side_px
        self.outline = outline
        self._oversampling = oversampling
        self._side = side_px * oversampling
        self._image = Image.new("RGB", (self._side, self._side), _bytes(background))
        self._draw = ImageDraw.Draw(self._image)
        self._labels = Image.new("L", (self._side, self._side)) if with_labels else None
        self._label_draw = ImageDraw.Draw(self._labels) if self._labels is not None else None

    def polygon(
        self, points: np.ndarray, color: Color, label: str | None, *, outlined: bool = True
    ) -> None:
        """Fill a polygon; (n, 2) points as x, y. Without a label it is paint on what is there."""
        corners = (np.asarray(points) * self._side).ravel().tolist()
        self._draw.polygon(corners, fill=_bytes(color))
        if outlined and self.outline:
            width = max(1, round(self.outline * self._side))
            self._draw.line(corners + corners[:4], fill=_bytes(OUTLINE), width=width, joint="curve")
        if label is not None and self._label_draw is not None:
            self._label_draw.polygon(corners, fill=LABELS[label])

    def line(self, points: np.ndarray, width: float, color: Color, label: str | None) -> None:
        """Draw a line of `width` shares of the side."""
        corners = (np.asarray(points) * self._side).ravel().tolist()
        width_px = max(1, round(width * self._side))
        self._draw.line(corners, fill=_bytes(color), width=width_px, joint="curve")
        if label is not None and self._label_draw is not None:
            self._label_draw.line(corners, fill=LABELS[label], width=width_px, joint="curve")

    def pixels(self) -> np.ndarray:
        """(side, side, 3) float32, 0..255, each the mean of what was drawn there."""
        small = self._image.reduce(self._oversampling)
        return np.asarray(small, np.float32)

    def labels(self) -> np.ndarray:
        """(side, side) uint8, each the label in the middle of the pixel.

        Raises:
            ValueError: The canvas has none.
        """
        if self._labels is None:
            raise ValueError("this canvas was made without labels")
        middle = self._oversampling // 2
        return np.asarray(self._labels)[middle :: self._oversampling, middle :: self._oversampling]


def _bytes(color: Color) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, round(part))) for part in color)
    return red, green, blue
