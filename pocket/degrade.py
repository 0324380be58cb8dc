"""What happens to a picture between its drawing and its reading: blur, noise, compression."""

from __future__ import annotations

import cv2
import numpy as np

__all__ = ["degrade"]

CHANCE = 0.3
"""Of each kind of damage, in a picture that is damaged at all."""


def degrade(pixels: np.ndarray, rng: np.random.Generator, *, sharp: float = 0.35) -> np.ndarray:
    """A damaged copy, like a picture that went through an autoencoder or a JPEG file.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        rng: Decides the damage.
        sharp: Chance that there is none.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    if rng.random() < sharp:
        return pixels
    height, width = pixels.shape[:2]
    damaged = pixels
    if rng.random() < CHANCE:
        share = 1 / rng.uniform(1.15, 2.2)
        small = (max(8, round(width * share)), max(8, round(height * share)))
        damaged = cv2.resize(damaged, small, interpolation=cv2.INTER_AREA)
        damaged = cv2.resize(damaged, (width, height), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 2 * CHANCE:
        damaged = cv2.GaussianBlur(damaged, (0, 0), rng.uniform(0.35, 1.1) * width / 128)
    if rng.random() < CHANCE:
        quality = int(rng.integers(25, 85))
        damaged = cv2.imdecode(  # type: ignore[assignment]
            cv2.imencode(".jpg", damaged, (cv2.IMWRITE_JPEG_QUALITY, quality))[1],
            cv2.IMREAD_COLOR,
        )
    if rng.random() < 1.5 * CHANCE:
        noise = rng.standard_normal(damaged.shape, np.float32) * rng.uniform(1, 9)
        damaged = np.clip(np.rint(damaged + noise), 0, 255).astype(np.uint8)
    return damaged
