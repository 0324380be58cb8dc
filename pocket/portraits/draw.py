"""A person in a scene, drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import LABELS, Canvas
from .face import draw_face, draw_glasses
from .hair import draw_hair_behind, draw_hair_in_front
from .head import Head
from .palette import BACKGROUNDS, SHIRTS, mix
from .people import Person
from .scenes import STYLES, Scene

__all__ = ["Portrait", "draw_portrait"]

COMIC_OUTLINE = 0.011
LUMA_RGB = np.array((0.299, 0.587, 0.114), np.float32)
"""ITU-R BT.601."""


@dataclass(frozen=True)
class Portrait:
    """A picture and what is known of it.

    Attributes:
        pixels: (side, side, 3) uint8 RGB.
        labels: (side, side) uint8, one of the 19 classes of `canvas.LABELS` for every pixel, or
            None where none were asked for.
        landmarks: (5, 2) float, pixels: eyes, nose, corners of the mouth, left before right.
        box: (4,) float, pixels: left, top, right, bottom of the face.
    """

    pixels: np.ndarray
    labels: np.ndarray | None
    landmarks: np.ndarray
    box: np.ndarray

    def mask(self, part: str) -> np.ndarray:
        """(side, side) bool: where `part` is seen: "face", "hair", "head" or "background".

        Raises:
            ValueError: No such part, or the portrait was drawn without labels.
        """
        if self.labels is None:
            raise ValueError("this portrait was drawn without labels")
        body = [LABELS[name] for name in ("background", "neck", "necklace", "cloth")]
        hair = self.labels == LABELS["hair"]
        head = ~np.isin(self.labels, body)
        masks = {
            "face": head & ~hair,
            "hair": hair,
            "head": head,
            "background": self.labels == LABELS["background"],
        }
        if part not in masks:
            raise ValueError(f"part {part!r}: expected one of {', '.join(masks)}")
        return masks[part]


def draw_portrait(
    person: Person, scene: Scene, side_px: int, *, with_labels: bool = False, oversampling: int = 3
) -> Portrait:
    """Draw a person in a scene; the same arguments give the same pixels."""
    comic = STYLES[scene.style] == "comic"
    canvas = Canvas(
        side_px,
        list(BACKGROUNDS.values())[scene.background],
        oversampling=oversampling,
        with_labels=with_labels,
        outline=COMIC_OUTLINE if comic else 0.0,
    )
    head = Head(person, scene)
    draw_hair_behind(canvas, head)
    _draw_body(canvas, head)
    draw_face(canvas, head)
    draw_hair_in_front(canvas, head)
    draw_glasses(canvas, head)
    return Portrait(
        pixels=_develop(canvas.pixels(), scene),
        labels=canvas.labels() if with_labels else None,
        landmarks=head.landmarks() * side_px,
        box=head.box() * side_px,
    )


def _draw_body(canvas: Canvas, head: Head) -> None:
    scene = head.scene
    shirt = list(SHIRTS.values())[scene.shirt]
    middle = np.array([0.5 + scene.shift_x, 0.5 + scene.shift_y])
    right = [(0.14, 0.345), (0.37, 0.395), (0.46, 0.6)]
    left = [(-x, y) for x, y in reversed(right)]
    canvas.polygon(np.array([*left, *right]) + middle, shirt, "cloth")
    if scene.open_collar:
        opening = np.array([(-0.1, 0.35), (0, 0.46), (0.1, 0.35)])
        canvas.polygon(opening + middle, head.skin, "neck")
    half = head.half_width * 0.48 + 0.01
    right = [(half, 0.17), (half * 1.08, 0.37), (0.0, 0.41)]
    left = [(-x, y) for x, y in reversed(right[:2])]
    canvas.polygon(head.place([*right, *left]), mix(head.skin, head.shade, 0.75), "neck")


def _develop(pixels: np.ndarray, scene: Scene) -> np.ndarray:
    """Light and style, on the whole picture."""
    across = np.linspace(-1, 1, pixels.shape[1], dtype=np.float32)[None, :, None]
    lit = pixels * (1 + 0.9 * scene.light * across) * scene.brightness
    style = STYLES[scene.style]
    if style == "monochrome":
        lit = np.repeat((lit @ LUMA_RGB)[..., None], 3, axis=-1)
    elif style == "comic":
        grey = (lit @ LUMA_RGB)[..., None]
        lit = grey + 1.25 * (lit - grey)
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)
