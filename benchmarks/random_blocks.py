"""Random matrices made as quantized blocks directly: as fast as random bytes can be made.

Quantizing random floats gives the same kind of numbers at fifty times the cost. Values have
mean zero (an offset would add up over thousands of columns) and the standard deviation asked for.

Source of the layouts: block_q4_0, block_q8_0, block_q4_K in ggml/src/ggml-common.h.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from pulid_sdcpp.tensors.q4_k import quantize_q4_k
from standins import random_bytes

__all__ = ["TYPES", "random_matrix"]

BLOCK = 32
"""Values of a Q4_0 or Q8_0 block: a float16 scale and 4 or 8 bits each."""
SUPER_BLOCK = 256
Q4_K_HEADER_BYTES = 16
"""Two float16 scales and twelve bytes of 6-bit ones, before the 128 bytes of numbers."""
DEVIATION_4_BIT = math.sqrt((16**2 - 1) / 12)
"""Of uniformly distributed 4-bit numbers."""
DEVIATION_7_BIT = math.sqrt((128**2 - 1) / 12)


def random_matrix(
    dtype: str, seed: int, name: str, shape: tuple[int, ...], deviation: float
) -> np.ndarray:
    """A matrix as a file holds it.

    Args:
        dtype: One of `TYPES`.
        seed, name: Of the stream of random numbers.
        shape: The last dimension a multiple of 32, of 256 for "q4_k".
        deviation: Standard deviation of the values.

    Returns:
        uint8, as many as the file holds.

    Raises:
        ValueError: A type or shape that cannot be made.
    """
    if dtype not in TYPES:
        raise ValueError(f"type {dtype!r}: expected one of {', '.join(TYPES)}")
    whole = SUPER_BLOCK if dtype == "q4_k" else BLOCK
    if shape[-1] % whole:
        raise ValueError(f"{name}: rows of {shape[-1]}, but {dtype} needs a multiple of {whole}")
    return _MAKERS[dtype](partial(random_bytes, seed, name), math.prod(shape), deviation)


_RandomBytes = Callable[[int], np.ndarray]


def _f16(random: _RandomBytes, count: int, deviation: float) -> np.ndarray:
    integers = random(2 * count).view("<i2")
    scale = np.float32(deviation * math.sqrt(3) / 2**15)
    values: np.ndarray = integers * scale
    return values.astype("<f2").view(np.uint8)


def _q4_0(random: _RandomBytes, count: int, deviation: float) -> np.ndarray:
    blocks = random(count // BLOCK * 18).reshape(-1, 18)
    # 4-bit numbers are -8..7, of mean -0.5: scales of either sign, as real files have them.
    sign_bit = blocks[:, 1] & 0x80
    blocks[:, :2] = _f16_bytes(deviation / DEVIATION_4_BIT)
    blocks[:, 1] |= sign_bit
    return blocks.ravel()


def _q8_0(random: _RandomBytes, count: int, deviation: float) -> np.ndarray:
    blocks = random(count // BLOCK * 34).reshape(-1, 34)
    numbers = blocks[:, 2:].view(np.int8)
    numbers >>= 1  # -64..63: no -128, which quantizing never gives and kernels need not know
    sign_bit = blocks[:, 1] & 0x80
    blocks[:, :2] = _f16_bytes(deviation / DEVIATION_7_BIT)
    blocks[:, 1] |= sign_bit
    return blocks.ravel()


def _q4_k(random: _RandomBytes, count: int, deviation: float) -> np.ndarray:
    # Scales of a block that spans -largest..largest in each of its eight parts.
    largest = np.float32(deviation / DEVIATION_4_BIT * 7.5)
    sample = np.tile(np.linspace(-largest, largest, BLOCK, dtype=np.float32), SUPER_BLOCK // BLOCK)
    header = quantize_q4_k(sample)[:Q4_K_HEADER_BYTES]
    blocks = random(count // SUPER_BLOCK * 144).reshape(-1, 144)
    blocks[:, :Q4_K_HEADER_BYTES] = header
    return blocks.ravel()


def _f16_bytes(value: float) -> np.ndarray:
    return np.array([value], "<f2").view(np.uint8)


_MAKERS: dict[str, Callable[[_RandomBytes, int, float], np.ndarray]] = {
    "f16": _f16,
    "q4_0": _q4_0,
    "q4_k": _q4_k,
    "q8_0": _q8_0,
}
TYPES = tuple(_MAKERS)
