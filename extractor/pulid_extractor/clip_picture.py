"""What the vision tower looks at: the picture of a face at its size."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .eva_shape import CLIP_MEAN, CLIP_STD

__all__ = ["clip_picture"]


def clip_picture(face: torch.Tensor, side_px: int) -> torch.Tensor:
    """Resize to the vision tower's size and normalise.

    Bicubic without antialiasing, as in the torchvision 0.15 that PuLID pins; newer ones
    antialias by default, which changes an identity by a cosine of 0.99997.

    Args:
        face: (n, 3, H, W) float32 in 0..1.
        side_px: Side of the result.
    """
    small = F.interpolate(face, (side_px, side_px), mode="bicubic", align_corners=False)
    mean, std = (small.new_tensor(values).view(1, 3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    return (small - mean) / std
