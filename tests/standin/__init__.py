"""Stand-in weights: every file of the real set, small, made from a seed.

They have the real tensor names and formats; pictures made with them are noise.
"""

from __future__ import annotations

from .flux import FluxShape
from .weight_set import QUANTIZATIONS, make_standin_weights

__all__ = ["QUANTIZATIONS", "FluxShape", "make_standin_weights"]
