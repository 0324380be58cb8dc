"""A region of a picture on the grid of a model's image tokens: one for Flux, two for SDXL."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..system.mask_image import read_mask
from .region import TOKEN_PX, Region

__all__ = ["COARSE_TOKEN_PX", "TOKEN_PX", "SettledRegion", "box_px", "token_weights"]

COARSE_TOKEN_PX = 32
"""Side of an image token in the deeper layers of SDXL's UNet; in the others it is TOKEN_PX."""

_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class SettledRegion(Region):
    """A region whose mask, if it has one, is read and is nobody else's: it is drawn only once."""

    drawn: dict[tuple[Any, ...], NDArray[np.float32]] = field(default_factory=dict, repr=False)
    """By size of the picture in pixels, the size in which a box counts, and a token's side."""


def token_weights(
    region: Region,
    width_px: int,
    height_px: int,
    box_size: tuple[int, int] | None = None,
    *,
    cell_px: int = TOKEN_PX,
) -> NDArray[np.float32]:
    """How far each image token is inside a region.

    Args:
        width_px, height_px: Of the picture that is made, multiples of `cell_px`.
        box_size: Width and height of the picture in whose pixels a box counts, if that is another:
            the first pass, when the second is drawn.
        cell_px: Side of an image token in pixels: TOKEN_PX or COARSE_TOKEN_PX.

    Returns:
        (height / cell_px, width / cell_px) float32, 0 outside to 1 inside: the part of the
        token's pixels that a box covers, their mean brightness in a mask.

    Raises:
        ValueError: Nothing of the picture is inside a box.
        ImageFileError: The mask cannot be read, or is black everywhere.
    """
    size = (width_px, height_px)
    box_size = box_size or size
    if not isinstance(region, SettledRegion):
        return _draw(region, size, box_size, cell_px)
    key = (size, box_size, cell_px)
    if key not in region.drawn:
        region.drawn[key] = _draw(region, size, box_size, cell_px)
    return region.drawn[key]


def _draw(
    region: Region, size: tuple[int, int], box_size: tuple[int, int], cell_px: int
) -> NDArray[np.float32]:
    width_px, height_px = size
    if region.box is None:
        return _of_mask(region, width_px // cell_px, height_px // cell_px)
    weights = _of_box(region, size, box_size, cell_px)
    if not weights.any():
        raise ValueError(
            "the region of a person is outside the picture: its box "
            f"{region.box} is not within {box_size[0]}x{box_size[1]}"
        )
    return weights


def box_px(region: Region, width_px: int, height_px: int) -> tuple[float, float, float, float]:
    """Where a region's box lies in a picture: left, top, right, bottom, cut at its edges.

    What is wholly outside has a right left of its left, or a bottom above its top.
    """
    assert region.box is not None  # where this is called
    x, y, width, height = region.box
    if region.in_parts:
        x, width = x * width_px, width * width_px
        y, height = y * height_px, height * height_px
    return x, y, min(x + width, width_px), min(y + height, height_px)


def _of_box(
    region: Region, size: tuple[int, int], box_size: tuple[int, int], cell_px: int
) -> NDArray[np.float32]:
    left, top, right, bottom = box_px(region, *box_size)
    x_scale, y_scale = size[0] / box_size[0], size[1] / box_size[1]
    across = _covered(left * x_scale, right * x_scale, size[0] // cell_px, cell_px)
    down = _covered(top * y_scale, bottom * y_scale, size[1] // cell_px, cell_px)
    return np.outer(down, across).astype(np.float32)


def _of_mask(region: Region, columns: int, rows: int) -> NDArray[np.float32]:
    from PIL import Image

    assert region.mask is not None
    mask = region.mask if isinstance(region, SettledRegion) else read_mask(region.mask)
    assert isinstance(mask, Image.Image)
    # In float: eight bits would round a token that is almost black to nothing.
    brightness = mask.convert("F").resize((columns, rows), Image.Resampling.BOX)
    weights: NDArray[np.float32] = np.asarray(brightness, np.float32) / np.float32(255)
    return weights


def _covered(begin_px: float, end_px: float, tokens: int, cell_px: int) -> NDArray[np.float64]:
    """The part of each token of a row that lies between two places."""
    edges = np.arange(tokens + 1) * float(cell_px)
    inside = np.minimum(edges[1:], end_px) - np.maximum(edges[:-1], begin_px)
    part = np.clip(inside / cell_px, 0.0, 1.0)
    # A third of the picture ends a rounding error beside a token's edge.
    return np.where(part < _ROUNDING, 0.0, np.where(part > 1 - _ROUNDING, 1.0, part))
