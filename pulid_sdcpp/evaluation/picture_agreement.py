"""How much two pictures agree where they should: outside the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Agreement", "agreement_outside", "mean_difference", "ssim_map"]

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G, B (ITU-R BT.601)."""
WINDOW_SIGMA_PX = 1.5
WINDOW_RADIUS_PX = 5
"""A Gaussian of 11 x 11 pixels (Wang et al. 2004, section III.C)."""
DATA_RANGE = 255.0
C1, C2 = (0.01 * DATA_RANGE) ** 2, (0.03 * DATA_RANGE) ** 2


@dataclass(frozen=True)
class Agreement:
    """Two pictures, compared where neither shows a head. None: nothing is left to compare.

    Attributes:
        mean_difference: Mean absolute difference of pixels and channels, of 255.
        ssim: Structural similarity, at most 1.
        outside: Share of the picture that was compared.
    """

    mean_difference: float | None
    ssim: float | None
    outside: float


def agreement_outside(
    first: NDArray[np.uint8], second: NDArray[np.uint8], head: NDArray[np.bool_]
) -> Agreement:
    """Compare two pictures outside a mask.

    Args:
        first, second: (H, W, 3) uint8 RGB.
        head: (H, W): what is left out. For the structural similarity also what is nearer to it
            than WINDOW_RADIUS_PX, where the window would see it.

    Raises:
        ValueError: The shapes do not belong together.
    """
    if first.shape != second.shape or first.shape[:2] != head.shape:
        raise ValueError(
            f"pictures of {first.shape} and {second.shape} and a mask of {head.shape}: expected "
            "the same height and width"
        )
    outside = ~head
    clear = ~_grown(head, WINDOW_RADIUS_PX)
    return Agreement(
        mean_difference=mean_difference(first, second, outside),
        ssim=float(ssim_map(first, second)[clear].mean()) if clear.any() else None,
        outside=float(outside.mean()),
    )


def mean_difference(
    first: NDArray[np.uint8], second: NDArray[np.uint8], where: NDArray[np.bool_]
) -> float | None:
    """Mean absolute difference over pixels and channels, of 255; None when `where` is empty."""
    if not where.any():
        return None
    return float(np.abs(first[where].astype(np.int16) - second[where]).mean())


def ssim_map(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The structural similarity of two pictures' luma around every pixel.

    Args:
        first, second: (H, W, 3) uint8 RGB.

    Returns:
        (H, W), at most 1; at the edges the pictures are mirrored.

    Source: Wang, Bovik, Sheikh, Simoncelli (2004), "Image quality assessment: from error
    visibility to structural similarity", equation 13 with K1 = 0.01 and K2 = 0.03.
    """
    x, y = (np.asarray(picture, np.float64) @ LUMA for picture in (first, second))
    mean_x, mean_y = _blurred(x), _blurred(y)
    variance_x = _blurred(x * x) - mean_x**2
    variance_y = _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    return ((2 * mean_x * mean_y + C1) * (2 * covariance + C2)) / (
        (mean_x**2 + mean_y**2 + C1) * (variance_x + variance_y + C2)
    )


def _blurred(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    offsets = np.arange(-WINDOW_RADIUS_PX, WINDOW_RADIUS_PX + 1)
    weights = np.exp(-0.5 * (offsets / WINDOW_SIGMA_PX) ** 2)
    weights /= weights.sum()
    padded = np.pad(plane, WINDOW_RADIUS_PX, mode="symmetric")
    for axis, length in enumerate(plane.shape):
        padded = sum(
            weight * np.take(padded, range(start, start + length), axis)
            for start, weight in enumerate(weights)
        )
    return padded


def _grown(mask: NDArray[np.bool_], radius_px: int) -> NDArray[np.bool_]:
    """The mask and every pixel whose window of that radius has a pixel of it."""
    padded = np.pad(mask, radius_px)
    for axis, length in enumerate(mask.shape):
        padded = np.any(
            [
                np.take(padded, range(start, start + length), axis)
                for start in range(2 * radius_px + 1)
            ],
            axis=0,
        )
    return padded
