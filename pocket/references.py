"""Portraits as somebody brings them: any size, not always sharp, aligned by imperfect landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pulid_extractor.align import FFHQ_PX, FFHQ_TEMPLATE, ffhq_crop

from .degrade import degrade
from .portraits import Person, draw_portrait, sample_scene

__all__ = ["Reference", "aligned", "draw_reference"]

SIDES_PX = (128, 256, 512)
"""Generated pictures are of the first size, good photos of the last."""
SIDE_SHARES = (0.5, 0.35, 0.15)
LANDMARK_ERROR = 0.006
"""Largest standard deviation of a landmark, in shares of the side: a detector's."""


@dataclass(frozen=True)
class Reference:
    """A picture of somebody.

    Attributes:
        pixels: (side, side, 3) uint8 RGB.
        labels: (side, side) uint8, the class of every pixel, or None.
        landmarks: (5, 2) float32, pixels, with a detector's error.
    """

    pixels: np.ndarray
    labels: np.ndarray | None
    landmarks: np.ndarray


def draw_reference(
    person: Person, rng: np.random.Generator, *, with_labels: bool = False
) -> Reference:
    """Draw somebody in any scene, full range of pose, in any size and quality."""
    side_px = int(rng.choice(SIDES_PX, p=SIDE_SHARES))
    portrait = draw_portrait(person, sample_scene(rng), side_px, with_labels=with_labels)
    error = side_px * LANDMARK_ERROR * rng.random() * rng.standard_normal((5, 2))
    landmarks = (portrait.landmarks + error).astype(np.float32)
    return Reference(degrade(portrait.pixels, rng), portrait.labels, landmarks)


def aligned(reference: Reference) -> tuple[np.ndarray, np.ndarray | None]:
    """The extractor's crop, (512, 512, 3) uint8, and the labels in it, (512, 512) uint8."""
    crop = ffhq_crop(reference.pixels, reference.landmarks)
    if reference.labels is None:
        return crop, None
    matrix = cv2.estimateAffinePartial2D(reference.landmarks, FFHQ_TEMPLATE, method=cv2.LMEDS)[0]
    size = (FFHQ_PX, FFHQ_PX)
    return crop, cv2.warpAffine(reference.labels, matrix, size, flags=cv2.INTER_NEAREST)
