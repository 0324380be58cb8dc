"""Random numbers that are the same on every machine and for every NumPy.

NumPy promises a stable stream of raw bits per bit generator, not of its `normal()`. So
the bell curve is made here from raw bits with integer arithmetic: the sum of four uniform
16-bit numbers (Irwin-Hall), which is close enough to a normal distribution for weights.
"""

from __future__ import annotations

import math
import zlib

import numpy as np

__all__ = ["normal", "random_bytes"]

_UNIFORMS = 4
_MEAN = _UNIFORMS * 65535 / 2
_DEVIATION = math.sqrt(_UNIFORMS * (65536**2 - 1) / 12)


def normal(
    seed: int, name: str, shape: tuple[int, ...], deviation: float = 1.0, mean: float = 0.0
) -> np.ndarray:
    """Values of about normal distribution, never further than 3.5 deviations from the mean.

    Args:
        seed: 0 or more; one per set of weights.
        name: The tensor's name: every tensor has a stream of its own, so that its values
            do not depend on which other tensors there are.

    Returns:
        `shape` float32.
    """
    bits = _stream(seed, name).random_raw(math.prod(shape))
    total = bits.view(np.uint16).reshape(-1, _UNIFORMS).sum(axis=1, dtype=np.int32)
    values = (total - np.float32(_MEAN)) * np.float32(deviation / _DEVIATION) + np.float32(mean)
    rounded: np.ndarray = values.astype(np.float32, copy=False)
    return rounded.reshape(shape)


def random_bytes(seed: int, name: str, count: int) -> np.ndarray:
    """`count` uniformly distributed bytes (uint8) of the stream `name`."""
    words = _stream(seed, name).random_raw(-(-count // 8))
    return words.astype("<u8", copy=False).view(np.uint8)[:count]


def _stream(seed: int, name: str) -> np.random.PCG64:
    return np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(name.encode())]))
