"""Float8 numbers, which NumPy has not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["float8_values"]


def float8_values(kind: str) -> NDArray[np.float32]:
    """What each of the 256 codes of a float8 means. Source: arXiv:2209.05433, table 1."""
    import numpy as np

    codes = np.arange(256, dtype=np.uint16)
    if kind == "f8_e5m2":  # the upper half of a float16
        return (codes << 8).view(np.float16).astype(np.float32)
    exponent, mantissa = codes >> 3 & 15, (codes & 7) / 8
    size = np.where(
        exponent > 0, (1 + mantissa) * 2.0 ** (exponent.astype(int) - 7), mantissa * 2.0**-6
    )
    size[codes & 127 == 127] = np.nan
    return np.where(codes & 128, -size, size).astype(np.float32)
