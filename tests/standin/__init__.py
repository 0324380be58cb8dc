"""Stand-in weights: every file of the real sets, small, made from a seed.

They have the real tensor names and formats; pictures made with them are noise.
"""

from __future__ import annotations

from .flux import FluxShape
from .sdxl_weight_set import make_sdxl_standin_weights
from .unet import UnetShape
from .weight_set import QUANTIZATIONS, make_standin_weights

__all__ = [
    "QUANTIZATIONS",
    "FluxShape",
    "UnetShape",
    "make_sdxl_standin_weights",
    "make_standin_weights",
]
