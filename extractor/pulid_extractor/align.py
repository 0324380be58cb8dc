"""Aligned crops of a face from its five landmarks.

Landmarks are (5, 2) x y in pixels: the eye at the left of the picture, the other eye, the tip of
the nose, the corners of the mouth, left and right.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulid_sdcpp.errors import FaceNotFoundError

from .pixels import warped
from .robust_similarity import least_squares, points_as_numbers, robust_similarity

__all__ = [
    "ARCFACE_PX",
    "ARCFACE_TEMPLATE",
    "FFHQ_PX",
    "FFHQ_TEMPLATE",
    "arcface_crop",
    "ffhq_crop",
    "ffhq_matrix",
]

FFHQ_PX = 512
FFHQ_TEMPLATE = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)
"""Where the landmarks of an FFHQ face are at 512 x 512 (facexlib `FaceRestoreHelper`)."""
FFHQ_BORDER_BGR = (135, 133, 132)
"""What lies outside the photo (facexlib `align_warp_face`, given there for BGR)."""

ARCFACE_PX = 112
ARCFACE_TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
"""Where ArcFace expects the landmarks at 112 x 112 (insightface `face_align.arcface_dst`)."""


def ffhq_crop(pixels: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The face as facexlib crops it, which is what PuLID was trained on.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        landmarks: (5, 2).

    Returns:
        (512, 512, 3) uint8 RGB.

    Raises:
        FaceNotFoundError: The landmarks lie on one point, so nothing can be fitted to them.

    Source: facexlib `FaceRestoreHelper.align_warp_face`.
    """
    matrix = ffhq_matrix(landmarks)
    return warped(pixels, matrix, (FFHQ_PX, FFHQ_PX), FFHQ_BORDER_BGR[::-1])


def ffhq_matrix(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """How `ffhq_crop` moves a photo: crop ~ matrix[:, :2] @ photo + matrix[:, 2], in pixels.

    Args:
        landmarks: (5, 2).

    Returns:
        (2, 3).

    Raises:
        FaceNotFoundError: The landmarks lie on one point, so nothing can be fitted to them.
    """
    matrix = robust_similarity(np.asarray(landmarks, np.float32), FFHQ_TEMPLATE.astype(np.float32))
    if matrix is None or not np.isfinite(matrix).all():
        raise FaceNotFoundError("the face's landmarks cannot be aligned: they lie on one point")
    return matrix


def arcface_crop(pixels: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The face as ArcFace takes it.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        landmarks: (5, 2).

    Returns:
        (112, 112, 3) uint8 RGB.

    Source: insightface `face_align.norm_crop`.
    """
    matrix = similarity(np.asarray(landmarks, np.float64), ARCFACE_TEMPLATE)
    return warped(pixels, matrix, (ARCFACE_PX, ARCFACE_PX))


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation, uniform scale and shift that bring points nearest to others.

    Args:
        source: (n, 2).
        target: (n, 2).

    Returns:
        (2, 3): target ~ matrix[:, :2] @ source + matrix[:, 2], least squares.

    Raises:
        FaceNotFoundError: All source points are one.
    """
    matrix = least_squares(points_as_numbers(source), points_as_numbers(target))
    if matrix is None:
        raise FaceNotFoundError("the face's landmarks cannot be aligned: they lie on one point")
    return matrix
