"""Rotation, scale and shift that most of five landmarks agree on, as OpenCV finds them.

Least median of squares: of pairs of points, each of which gives a similarity, the one whose median
error over all points is the least; then the least-squares fit of the points that agree with it.
facexlib aligns faces so. OpenCV draws its pairs by chance, with a generator that always starts the
same way, so that of five points it tries the same 13 pairs each time; here are those.

Source: OpenCV, modules/calib3d (`estimateAffinePartial2D`, `LMeDSPointSetRegistrator`,
`RANSACUpdateNumIters`) and modules/core (`RNG`); Rousseeuw, "Least median of squares regression"
(1984).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["least_squares", "points_as_numbers", "robust_similarity"]

_CONFIDENCE = 0.99
_OUTLIERS = 0.45
"""Share of points that may be wrong, by which the number of pairs is found."""
_RANDOM_FACTOR = 4164903690
_SMALLEST_SIGMA = 0.001

Matrix = NDArray[np.float64]


def robust_similarity(source: NDArray[np.float32], target: NDArray[np.float32]) -> Matrix | None:
    """The similarity by which most points come to their targets.

    Args:
        source: (n, 2), more than two.
        target: (n, 2).

    Returns:
        (2, 3): target ~ matrix[:, :2] @ source + matrix[:, 2]; None: there is none.
    """
    a, b = points_as_numbers(source), points_as_numbers(target)
    best, least = None, math.inf
    for first, second in _pairs(len(a)):
        step = a[second] - a[first]
        if not step:
            continue
        turn = (b[second] - b[first]) / step
        errors = _errors(a, b, turn, b[first] - turn * a[first])
        median = float(np.sort(errors)[len(errors) // 2])
        if median < least:
            best, least = errors, median
    if best is None or not math.isfinite(least):
        return None
    sigma = 2.5 * 1.4826 * (1 + 5 / (len(a) - 2)) * math.sqrt(least)
    agree = best <= max(sigma, _SMALLEST_SIGMA) ** 2
    if agree.sum() < 2:
        return None
    return least_squares(a[agree], b[agree])


def points_as_numbers(points: NDArray[Any]) -> NDArray[np.complex128]:
    """(n, 2) to (n,): x + y i, of which a product turns and scales."""
    return np.asarray(points[:, 0] + 1j * points[:, 1], np.complex128)


def least_squares(a: NDArray[np.complex128], b: NDArray[np.complex128]) -> Matrix | None:
    """The similarity from points to others, as complex numbers; None: all points are one.

    Source: the least-squares z of b = z a, with a and b centred, is <a, b> / <a, a>; without
    mirroring it is the solution of Umeyama (1991).
    """
    a_mean, b_mean = a.mean(), b.mean()
    spread = np.vdot(a - a_mean, a - a_mean).real
    if not spread > 0:
        return None
    turn = np.vdot(a - a_mean, b - b_mean) / spread
    shift = b_mean - turn * a_mean
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _errors(
    a: NDArray[np.complex128], b: NDArray[np.complex128], turn: complex, shift: complex
) -> NDArray[np.float64]:
    """Squared distances."""
    distances = turn * a + shift - b
    return np.asarray(distances.real**2 + distances.imag**2)


@lru_cache(maxsize=4)
def _pairs(count: int) -> tuple[tuple[int, int], ...]:
    tries = round(math.log(1 - _CONFIDENCE) / math.log(1 - (1 - _OUTLIERS) ** 2))
    state = (1 << 64) - 1
    drawn = []
    for _ in range(tries):
        pair: list[int] = []
        while len(pair) < 2:
            state = (state & 0xFFFFFFFF) * _RANDOM_FACTOR + (state >> 32)
            index = (state & 0xFFFFFFFF) % count
            if index not in pair:
                pair.append(index)
        drawn.append((pair[0], pair[1]))
    return tuple(drawn)
