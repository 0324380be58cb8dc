"""Random matrices made as quantized blocks directly: as fast as random bytes can be made.

Quantizing random floats gives the same kind of numbers at fifty times the cost. Values have
mean zero (an offset would add up over thousands of columns) and the standard deviation asked for.

Source of the layouts: block_q4_0 to block_q6_K in ggml/src/ggml-common.h.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import gguf
import numpy as np

from .random_values import random_bytes
from .tensor_encoding import ggml_type

__all__ = ["TYPES", "random_matrix"]


@dataclass(frozen=True)
class _Blocks:
    """A quantized type, as far as random numbers need it.

    Attributes:
        scale: Offset of a block's float16 scale.
        offset: Offset of the float16 that is multiplied with 1 (or a part's own 6 or 4 bits) and
            added, or subtracted; -1: there is none.
        offset_by_scale: Their ratio at which the mean is zero.
        signed: Numbers have a mean of -0.5, so scales take either sign, as real files have them.
        halved: First byte of numbers of 8 bits, which are halved: quantizing never gives -128, and
            kernels need not know it.
    """

    scale: int
    offset: int = -1
    offset_by_scale: float = 0.0
    signed: bool = False
    halved: int = -1


_BLOCKS = {
    "q4_0": _Blocks(0, signed=True),
    "q4_1": _Blocks(0, 2, -7.5),
    "q5_0": _Blocks(0, signed=True),
    "q5_1": _Blocks(0, 2, -15.5),
    "q8_0": _Blocks(0, signed=True, halved=2),
    "iq4_nl": _Blocks(0, signed=True),
    "q2_k": _Blocks(80, 82, 1.5),
    "q3_k": _Blocks(108, signed=True),
    "q4_k": _Blocks(0, 2, 7.5),
    "q5_k": _Blocks(0, 2, 15.5),
    "q6_k": _Blocks(208, signed=True),
}
TYPES = ("f16", "bf16", *_BLOCKS)
_SAMPLE_VALUES = 1 << 16


def random_matrix(
    dtype: str, seed: int, name: str, shape: tuple[int, ...], deviation: float
) -> np.ndarray:
    """A matrix as a file holds it.

    Args:
        dtype: One of `TYPES`.
        seed, name: Of the stream of random numbers.
        shape: The last dimension a multiple of the type's block: 32, 256 for K types.
        deviation: Standard deviation of the values.

    Returns:
        uint8, as many as the file holds.

    Raises:
        ValueError: A type or shape that cannot be made.
    """
    if dtype not in TYPES:
        raise ValueError(f"type {dtype!r}: expected one of {', '.join(TYPES)}")
    whole, _ = gguf.GGML_QUANT_SIZES[ggml_type(dtype)]
    if shape[-1] % whole:
        raise ValueError(f"{name}: rows of {shape[-1]}, but {dtype} needs a multiple of {whole}")
    random, count = partial(random_bytes, seed, name), math.prod(shape)
    if dtype in _BLOCKS:
        return _quantized(dtype, random, count, deviation / _unit_deviation(dtype))
    return _float(dtype, random, count, deviation)


_RandomBytes = Callable[[int], np.ndarray]


def _float(dtype: str, random: _RandomBytes, count: int, deviation: float) -> np.ndarray:
    integers = random(2 * count).view("<i2")
    scale = np.float32(deviation * math.sqrt(3) / 2**15)
    values: np.ndarray = integers * scale
    if dtype == "f16":
        return values.astype("<f2").view(np.uint8)
    upper: np.ndarray = values.astype("<f4").view("<u4") >> 16
    return upper.astype("<u2").view(np.uint8)


def _quantized(dtype: str, random: _RandomBytes, count: int, scale: float) -> np.ndarray:
    form = _BLOCKS[dtype]
    whole, size = gguf.GGML_QUANT_SIZES[ggml_type(dtype)]
    blocks = random(count // int(whole) * int(size)).reshape(-1, int(size))
    if form.halved >= 0:
        numbers = blocks[:, form.halved :].view(np.int8)
        numbers >>= 1
    sign_bit = blocks[:, form.scale + 1] & 0x80
    blocks[:, form.scale : form.scale + 2] = _f16_bytes(scale)
    if form.signed:
        blocks[:, form.scale + 1] |= sign_bit
    if form.offset >= 0:
        blocks[:, form.offset : form.offset + 2] = _f16_bytes(scale * form.offset_by_scale)
    return blocks.ravel()


@lru_cache(maxsize=len(_BLOCKS))
def _unit_deviation(dtype: str) -> float:
    """Standard deviation of a random matrix with scale 1."""
    packed = _quantized(dtype, partial(random_bytes, 0, "sample"), _SAMPLE_VALUES, 1.0)
    rows = packed.reshape(_SAMPLE_VALUES // 256, -1)
    return float(gguf.quants.dequantize(rows, ggml_type(dtype)).std())


def _f16_bytes(value: float) -> np.ndarray:
    return np.array([value], "<f2").view(np.uint8)
