"""Float16 to float32, at the speed of memory.

NumPy converts number by number where the processor's instruction for it is not compiled in: five
times as long as multiplying the numbers with an identity takes. Here the bits are moved to where
float32 has them, which leaves an exponent that is too small by 112; multiplying by 2^112 sets that
right and also normalizes subnormal numbers. It is exact, as every float16 is a float32.

Source: IEEE 754-2019, 3.6 (binary16: bias 15, 10 bits of fraction; binary32: bias 127, 23 bits).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["float32_of_float16"]

_EXPONENT = 0x7C00
_KEPT = 0x8FFFFFFF - (1 << 32)
"""All but the copies of the sign between it and the exponent, as an int32."""


def float32_of_float16(halves: NDArray[np.float16]) -> NDArray[np.float32]:
    """A new array of the same shape and numbers, NaN and infinity included.

    Args:
        halves: C-contiguous, little-endian.
    """
    import numpy as np

    signed = halves.view("<i2")
    bits = signed.astype(np.int32)
    bits <<= 13
    bits &= np.int32(_KEPT)
    numbers = bits.view(np.float32)
    numbers *= np.float32(2.0**112)
    exponents = signed & np.int16(_EXPONENT)
    if exponents.max(initial=0) == _EXPONENT:
        special = exponents == _EXPONENT
        numbers[special] = halves[special]
    return numbers
