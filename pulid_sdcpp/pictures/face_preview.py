"""A photo with a numbered box around each face, to choose one by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MAX_SIDE_PX", "MIN_SIDE_PX", "face_preview"]

MAX_SIDE_PX = 1024
MIN_SIDE_PX = 640
"""Long side of a preview: larger photos are reduced, smaller ones enlarged for the numbers."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

_FRAME = (255, 214, 0)
_INK = (0, 0, 0)


def face_preview(photo: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """Draw the boxes on a copy of the photo, numbered from 0 in the order given.

    A number stands above, below or beside its box, where it covers the least of other boxes and
    numbers; black on yellow, so that it can be read on any photo.

    Args:
        photo: Of any size and mode, upright.
        boxes: In pixels of the photo; may reach beyond its edge.

    Returns:
        RGB, long side MIN_SIDE_PX to MAX_SIDE_PX.
    """
    from PIL import Image, ImageDraw, ImageFont

    factor = min(max(MIN_SIDE_PX / max(photo.size), 1.0), MAX_SIDE_PX / max(photo.size))
    size = tuple(max(round(side * factor), 1) for side in photo.size)
    width, height = size
    preview = photo.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(preview)
    # The one font that Pillow brings along.
    font = ImageFont.load_default(max(size) / 32)
    line = max(2, max(size) // 400)
    frames = [_framed(box, factor, width, height) for box in boxes]
    for frame in frames:
        draw.rectangle(_grown(frame, line), outline=_INK, width=3 * line)
        draw.rectangle(frame, outline=_FRAME, width=line)
    placed: list[Box] = []
    for number, frame in enumerate(frames):
        text = str(number)
        _, _, right, bottom = draw.textbbox((0, 0), text, font)
        label_size = (round(right) + 4 * line, round(bottom) + 3 * line)
        others = [*frames[:number], *frames[number + 1 :], *placed]
        place = min(
            _places(frame, label_size, 2 * line, width, height),
            key=lambda place: _covered(place, [frame], 2) + _covered(place, others, 1),
        )
        draw.rectangle(place, fill=_FRAME, outline=_INK, width=max(1, line // 2))
        draw.text((place[0] + 2 * line, place[1] + line), text, _INK, font)
        placed.append(place)
    return preview


def _framed(box: Box, factor: float, width: int, height: int) -> Box:
    """A box in pixels of the preview, as far as it is on it."""
    left, right = (min(max(edge * factor, 0.0), width - 1.0) for edge in box[::2])
    top, bottom = (min(max(edge * factor, 0.0), height - 1.0) for edge in box[1::2])
    return left, top, max(right, left), max(bottom, top)


def _grown(box: Box, by_px: int) -> Box:
    return box[0] - by_px, box[1] - by_px, box[2] + by_px, box[3] + by_px


def _places(frame: Box, size: tuple[int, int], gap: int, width: int, height: int) -> Iterable[Box]:
    """Where a frame's label may stand, the best first; all of it on the preview."""
    # Whole pixels, or the letters are smeared.
    left, top, right, bottom = map(round, frame)
    label_width, label_height = size
    corners = [
        (left, top - label_height - gap),
        (left, bottom + gap),
        (right + gap, top),
        (left - label_width - gap, top),
        (left, top),
    ]
    for x, y in corners:
        x = min(max(x, 0), width - 1 - label_width)
        y = min(max(y, 0), height - 1 - label_height)
        yield x, y, x + label_width, y + label_height


def _covered(place: Box, boxes: Sequence[Box], weight: float) -> float:
    """Square pixels of the boxes under a label."""
    area = 0.0
    for box in boxes:
        wide = min(place[2], box[2]) - max(place[0], box[0])
        high = min(place[3], box[3]) - max(place[1], box[1])
        area += max(wide, 0.0) * max(high, 0.0)
    return weight * area
