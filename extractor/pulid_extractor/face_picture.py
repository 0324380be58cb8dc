"""What the networks look at: the aligned face, normalised, and in grey on white.

Source: PuLID pipeline_flux.py `get_id_embedding`, `to_gray`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .eva_shape import CLIP_MEAN, CLIP_STD
from .parsing_shape import BACKGROUND_LABELS, IMAGENET_MEAN, IMAGENET_STD, LUMA
from .pixels import resized_bicubic

__all__ = ["grey_face", "parser_picture", "tower_picture"]

Array = NDArray[np.float32]


def parser_picture(crop: NDArray[np.uint8]) -> Array:
    """What the face parser looks at.

    Args:
        crop: (H, W, 3) RGB, see `align.ffhq_crop`.

    Returns:
        (3, H, W), normalised with IMAGENET_MEAN and IMAGENET_STD.
    """
    face = crop.astype(np.float32) / 255
    normalised = (face - np.array(IMAGENET_MEAN, np.float32)) / np.array(IMAGENET_STD, np.float32)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))


def grey_face(crop: NDArray[np.uint8], labels: NDArray[np.int64]) -> Array:
    """The face in grey on white.

    Args:
        crop: (H, W, 3) RGB.
        labels: (H, W), the class of each pixel.

    Returns:
        (H, W) in 0..1: luma where the class is kept, 1 elsewhere.
    """
    luma = crop.astype(np.float32) / 255 @ np.array(LUMA, np.float32)
    return np.where(np.isin(labels, BACKGROUND_LABELS), np.float32(1), luma)


def tower_picture(grey: Array, side_px: int) -> Array:
    """What the vision tower looks at.

    Bicubic without antialiasing, as in the torchvision 0.15 that PuLID pins; newer ones
    antialias by default, which changes an identity by a cosine of 0.99997.

    Args:
        grey: (H, W) in 0..1.
        side_px: Side of the result.

    Returns:
        (3, side_px, side_px), normalised with CLIP_MEAN and CLIP_STD.
    """
    small = resized_bicubic(grey, (side_px, side_px))
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
    return np.asarray((small[None] - mean) / std, np.float32)
