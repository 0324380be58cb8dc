"""Pictures moved, resized and measured with NumPy, as OpenCV does it, to a grey level.

OpenCV's own package for Python brings a window system, without which it cannot be imported.

Source of what is computed: OpenCV, modules/imgproc (`warpAffine`, `resize`, `Laplacian`,
`cvtColor`); where it rounds to fixed point, here are floating point numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "dilated",
    "grey_of",
    "laplacian",
    "resized_area",
    "resized_bicubic",
    "resized_lanczos",
    "resized_linear",
    "warped",
    "warped_mask",
]

Picture = NDArray[np.uint8]

LANCZOS_TAPS = 8
_CUBIC = -0.75
_LUMA = (0.299, 0.587, 0.114)
_BAND_ROWS = 128
"""Rows moved at a time: what is needed meanwhile is a few times their size."""


def warped(
    pixels: Picture, matrix: NDArray[Any], size: tuple[int, int], border: Sequence[int] = (0, 0, 0)
) -> Picture:
    """A picture moved by a matrix, bilinearly.

    Args:
        pixels: (H, W, 3).
        matrix: (2, 3), from places of the picture to those of the result.
        size: Width and height of the result.
        border: What lies outside the picture.

    Returns:
        (height, width, 3).
    """
    back = _inverse(matrix)
    width, height = size
    # One pixel of border on every side is what numbers between the edge and outside are mixed of.
    padded = np.empty((pixels.shape[0] + 2, pixels.shape[1] + 2, 3), np.float32)
    padded[:] = border
    padded[1:-1, 1:-1] = pixels
    last_y, last_x = pixels.shape[0], pixels.shape[1]
    result = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _BAND_ROWS):
        rows = np.arange(top, min(top + _BAND_ROWS, height))
        x, y = (place + 1 for place in _places(back, rows, width))
        left = np.clip(np.floor(x), 0, last_x).astype(np.intp)
        above = np.clip(np.floor(y), 0, last_y).astype(np.intp)
        across = np.clip(x - left, 0, 1).astype(np.float32)[..., None]
        down = np.clip(y - above, 0, 1).astype(np.float32)[..., None]
        upper = padded[above, left] * (1 - across) + padded[above, left + 1] * across
        lower = padded[above + 1, left] * (1 - across) + padded[above + 1, left + 1] * across
        result[rows] = _rounded(upper * (1 - down) + lower * down)
    return result


def warped_mask(mask: NDArray[np.bool_], matrix: NDArray[Any], size: tuple[int, int]) -> Any:
    """A mask looked up where a matrix says, (height, width); outside of it there is nothing.

    Args:
        mask: (H, W).
        matrix: (2, 3), from places of the result to those of the mask.
        size: Width and height of the result.
    """
    width, height = size
    x, y = _places(np.asarray(matrix, np.float64), np.arange(height), width)
    column, row = np.rint(x).astype(np.intp), np.rint(y).astype(np.intp)
    inside = (column >= 0) & (column < mask.shape[1]) & (row >= 0) & (row < mask.shape[0])
    found = np.zeros((height, width), bool)
    found[inside] = mask[row[inside], column[inside]]
    return found


def dilated(mask: NDArray[np.bool_], radius_px: int) -> NDArray[np.bool_]:
    """All that is within a distance of a mask, (H, W): its union with a disc at each place."""
    height, width = mask.shape
    result = np.zeros_like(mask)
    for row in range(-radius_px, radius_px + 1):
        reach = round(float(np.sqrt(radius_px**2 - row**2)))
        # How many places of the mask are within reach in each row: differences of running counts.
        counts = np.zeros((height, width + 1 + 2 * reach), np.int32)
        counts[:, 1 + reach : 1 + reach + width] = np.cumsum(mask, axis=1)
        counts[:, 1 + reach + width :] = counts[:, reach + width : reach + width + 1]
        wide = counts[:, 2 * reach + 1 :] > counts[:, :width]
        first, last = max(row, 0), height + min(row, 0)
        result[first:last] |= wide[first - row : last - row]
    return result


def resized_linear(pixels: Picture, size: tuple[int, int]) -> Picture:
    """Bilinear, without antialiasing, to a width and height."""

    def weights(offset: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        return [1 - offset, offset]

    return _resized(pixels, size, 2, weights)


def resized_lanczos(pixels: Picture, size: tuple[int, int]) -> Picture:
    """Lanczos with four lobes on each side, without antialiasing, to a width and height.

    Source: OpenCV, `interpolateLanczos4`: the window is sinc of a quarter, the weights are divided
    by their sum.
    """

    def weights(offset: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        half = LANCZOS_TAPS // 2
        taps = [offset - (tap - half + 1) for tap in range(LANCZOS_TAPS)]
        values = [np.sinc(tap) * np.sinc(tap / half) for tap in taps]
        total = np.sum(values, axis=0)
        return [value / total for value in values]

    return _resized(pixels, size, LANCZOS_TAPS, weights)


def resized_bicubic(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Numbers, (H, W), bicubically, without antialiasing, to a width and height; not rounded.

    Source: Keys, "Cubic convolution interpolation for digital image processing" (1981), with the
    slope of PyTorch's `interpolate`.
    """

    def weight(distance: NDArray[np.float64]) -> NDArray[np.float64]:
        far = np.abs(distance)
        near = ((_CUBIC + 2) * far - (_CUBIC + 3)) * far**2 + 1
        further = ((_CUBIC * far - 5 * _CUBIC) * far + 8 * _CUBIC) * far - 4 * _CUBIC
        return np.where(far <= 1, near, further)

    def weights(offset: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        return [weight(offset + 1 - tap) for tap in range(4)]

    width, height = size
    rows = _taps(values.shape[0], height, 4, weights)
    columns = _taps(values.shape[1], width, 4, weights)
    down = np.sum([values[index] * part[:, None] for index, part in rows], axis=0)
    across = np.sum([down[:, index] * part[None] for index, part in columns], axis=0)
    return np.asarray(across, np.float32)


def resized_area(pixels: Picture, size: tuple[int, int]) -> Picture:
    """To a smaller width and height: of each pixel the mean of what it covers."""
    return _rounded(_covered(_covered(pixels, size[1], 0), size[0], 1))


def grey_of(pixels: Picture) -> Picture:
    """(H, W, 3) RGB to (H, W)."""
    return _rounded(pixels.astype(np.float32) @ np.array(_LUMA, np.float32))


def laplacian(grey: NDArray[Any]) -> NDArray[np.float64]:
    """The sum of a pixel's four neighbours less four times itself, (H, W); edges are mirrored."""
    padded = np.pad(grey.astype(np.float64), 1, mode="reflect")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return around - 4 * padded[1:-1, 1:-1]


_Weights = Callable[[NDArray[np.float64]], list[NDArray[np.float64]]]


def _resized(pixels: Picture, size: tuple[int, int], taps: int, weights: _Weights) -> Picture:
    width, height = size
    rows = _taps(pixels.shape[0], height, taps, weights)
    columns = _taps(pixels.shape[1], width, taps, weights)
    result = np.empty((height, width, pixels.shape[2]), np.uint8)
    for top in range(0, height, _BAND_ROWS):
        band = slice(top, min(top + _BAND_ROWS, height))
        down = np.zeros((len(result[band]), *pixels.shape[1:]), np.float32)
        for index, weight in rows:
            down += pixels[index[band]] * weight[band, None, None]
        across = np.zeros((len(down), width, pixels.shape[2]), np.float32)
        for index, weight in columns:
            across += down[:, index] * weight[None, :, None]
        result[band] = _rounded(across)
    return result


def _covered(values: NDArray[Any], after: int, axis: int) -> NDArray[np.float64]:
    """Means over equal parts of an axis: differences of its running sum."""
    before = values.shape[axis]
    moved = np.moveaxis(values, axis, 0)
    sums = np.concatenate([np.zeros((1, *moved.shape[1:])), np.cumsum(moved, axis=0, dtype=float)])
    edges = np.arange(after + 1) * (before / after)
    whole = np.minimum(edges.astype(np.intp), before - 1)
    part = (edges - whole)[:, None, None]
    at_edges = sums[whole] * (1 - part) + sums[whole + 1] * part
    return np.moveaxis(np.diff(at_edges, axis=0) * (after / before), 0, axis)


def _taps(
    before: int, after: int, taps: int, weights: _Weights
) -> list[tuple[NDArray[np.intp], NDArray[np.float32]]]:
    """Which lines a line of the result is made of, and of how much of each."""
    place = (np.arange(after) + 0.5) * (before / after) - 0.5
    first = np.floor(place)
    found = []
    for tap, weight in enumerate(weights(place - first)):
        index = first.astype(np.intp) + tap - taps // 2 + 1
        found.append((np.clip(index, 0, before - 1), weight.astype(np.float32)))
    return found


def _places(
    matrix: NDArray[np.float64], rows: NDArray[np.intp], width: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where a matrix brings the pixels of some rows: x and y, (rows, width)."""
    columns = np.arange(width)[None]
    x, y = (row[0] * columns + row[1] * rows[:, None] + row[2] for row in matrix)
    return x, y


def _inverse(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Of a (2, 3) matrix; of one that has none, to one place."""
    whole = np.vstack([np.asarray(matrix, np.float64), (0, 0, 1)])
    if not np.linalg.det(whole):
        return np.zeros((2, 3))
    return np.asarray(np.linalg.inv(whole)[:2])


def _rounded(values: Any) -> Picture:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
