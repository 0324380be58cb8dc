"""How the stand-in autoencoders turn latent channels into three colours and back.

Each colour is a sum of the latents with signs from a row of a Hadamard matrix. Rows are
orthogonal, so that encoding a picture and decoding it gives its colours back.
"""

from __future__ import annotations

import numpy as np

from .random_values import random_bytes

__all__ = ["COLORS", "CONTRAST", "LATENTS", "SMOOTHING", "color_directions"]

LATENTS = 16
"""Channels of Flux's latents; SDXL's have 4."""
COLORS = 3
CONTRAST = 0.25
"""Standard deviation of a colour (0..1) when latents are independent, of deviation one."""
SMOOTHING = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16
"""3 x 3 kernel; after each doubling by repetition it makes blobs of the squares."""


def color_directions(seed: int, latents: int = LATENTS) -> np.ndarray:
    """(3, latents) float32 of +-1/sqrt(latents): orthonormal rows, other ones for other seeds.

    Args:
        latents: 4 or 16.
    """
    row, column = np.arange(1, latents), np.arange(latents)
    bits = row[:, np.newaxis] & column
    parity = bits ^ bits >> 2
    parity = (parity ^ parity >> 1) & 1
    order = np.argsort(random_bytes(seed, "color_directions", 2 * len(row)).view("<u2"))
    signs: np.ndarray = (1 - 2 * parity[order[:COLORS]]).astype(np.float32)
    signs /= np.float32(latents**0.5)
    return signs
