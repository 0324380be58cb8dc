"""The latents of a picture: the principal components of its 8 x 8 pixel patches.

A linear map, known at once, in which the autoencoder's decoder and Flux can be trained at the same
time. TAEF1's encoder can hold it exactly (`export_autoencoder`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

__all__ = ["LATENTS", "PATCH_PX", "PatchPca", "fit_patch_pca"]

PATCH_PX = 8
LATENTS = 16
WHITENING = 0.7
"""1 would give all components the same spread, 0 leave them as they are."""
SPREAD = 0.65
"""Of the latents, before the decoder's clamp of 3 tanh(x / 3)."""


@dataclass(frozen=True)
class PatchPca:
    """The map.

    Attributes:
        matrix: (192, 16) float32; a patch's numbers are ordered row, column, colour, 0..1.
        mean: (192,) float32.
    """

    matrix: np.ndarray
    mean: np.ndarray

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """(n, H, W, 3) in 0..1 -> (n, 16, H / 8, W / 8)."""
        n, height, width, _ = pictures.shape
        rows, columns = height // PATCH_PX, width // PATCH_PX
        patches = pictures.reshape(n, rows, PATCH_PX, columns, PATCH_PX, 3)
        flat = patches.permute(0, 1, 3, 2, 4, 5).reshape(n, rows, columns, -1)
        matrix, mean = torch.from_numpy(self.matrix), torch.from_numpy(self.mean)
        return ((flat - mean) @ matrix).permute(0, 3, 1, 2).contiguous()


def fit_patch_pca(pictures: np.ndarray) -> PatchPca:
    """Fit it to (n, H, W, 3) uint8 pictures."""
    n, height, width, _ = pictures.shape
    rows, columns = height // PATCH_PX, width // PATCH_PX
    patches = pictures.reshape(n, rows, PATCH_PX, columns, PATCH_PX, 3)
    flat = patches.transpose(0, 1, 3, 2, 4, 5).reshape(-1, PATCH_PX * PATCH_PX * 3)
    flat = flat.astype(np.float32) / 255
    mean = flat.mean(axis=0)
    covariance = (flat - mean).T @ (flat - mean) / len(flat)
    variance, vectors = np.linalg.eigh(covariance)
    deviation = np.sqrt(variance[::-1][:LATENTS])
    matrix = vectors[:, ::-1][:, :LATENTS] * deviation**-WHITENING
    spread = np.sqrt(np.mean(((flat - mean) @ matrix) ** 2))
    return PatchPca((matrix * SPREAD / spread).astype(np.float32), mean)
