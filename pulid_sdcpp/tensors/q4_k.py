"""Quantization to ggml's Q4_K, which the `gguf` package reads but does not write.

A super-block of 256 values is eight blocks of 32; a value is `d * scale * q - dmin * min`
with q in 0..15, 6-bit `scale` and `min` per block, float16 `d` and `dmin` per super-block:
144 bytes. The plain choice of scales: exact ends of each block, without ggml's search.

Source: block_q4_K in ggml/src/ggml-common.h.
"""

from __future__ import annotations

import numpy as np

__all__ = ["BLOCK", "quantize_q4_k"]

BLOCK = 256
_LEVELS = 15
_SCALE_LEVELS = 63


def quantize_q4_k(values: np.ndarray) -> np.ndarray:
    """Quantize rows.

    Args:
        values: (..., n) float32, n a multiple of 256.

    Returns:
        (..., n / 256 * 144) uint8.

    Raises:
        ValueError: The rows are not whole super-blocks.
    """
    if values.shape[-1] % BLOCK:
        raise ValueError(f"q4_k needs rows of a multiple of {BLOCK}, found {values.shape[-1]}")
    blocks = np.ascontiguousarray(values, dtype=np.float32).reshape(-1, 8, 32)
    offset = np.maximum(-blocks.min(axis=2), 0)
    step = (blocks.max(axis=2) + offset) / _LEVELS
    d, scale = _six_bit(step)
    dmin, minimum = _six_bit(offset)

    used_step = (d.astype(np.float32) * scale)[..., np.newaxis]
    used_offset = (dmin.astype(np.float32) * minimum)[..., np.newaxis]
    ratio = np.divide(
        blocks + used_offset, used_step, out=np.zeros_like(blocks), where=used_step > 0
    )
    q = np.rint(ratio).clip(0, _LEVELS).astype(np.uint8).reshape(-1, 4, 2, 32)

    # The last four scales and minima are split: four bits together, two beside the first four.
    packed_scales = np.concatenate(
        [
            scale[:, :4] | (scale[:, 4:] >> 4 << 6),
            minimum[:, :4] | (minimum[:, 4:] >> 4 << 6),
            (scale[:, 4:] & 15) | (minimum[:, 4:] << 4),
        ],
        axis=1,
    )
    packed_q = (q[:, :, 0] | q[:, :, 1] << 4).reshape(-1, 128)
    parts = [d.view(np.uint8), dmin.view(np.uint8), packed_scales, packed_q]
    return np.concatenate(parts, axis=1).reshape(*values.shape[:-1], -1)


def _six_bit(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Express (n, 8) values that are not negative as a common float16 unit (n, 1) times 0..63."""
    unit = (values.max(axis=1, keepdims=True) / _SCALE_LEVELS).astype("<f2")
    exact = unit.astype(np.float32)
    levels = np.divide(values, exact, out=np.zeros_like(values), where=exact > 0)
    return unit, np.rint(levels).clip(0, _SCALE_LEVELS).astype(np.uint8)
