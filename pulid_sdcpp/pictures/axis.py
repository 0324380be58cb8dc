"""The axis of a chart: round numbers that reach around all values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Axis", "round_axis"]

_INTERVALS = 7
"""About how many an axis has at most."""


@dataclass(frozen=True)
class Axis:
    """Round numbers at equal distances.

    Attributes:
        step: Between two of them: 1, 2 or 5 times a power of ten.
        first, last: Which multiples of the step it begins and ends with.
    """

    step: float
    first: int
    last: int

    @property
    def low(self) -> float:
        return self.first * self.step

    @property
    def high(self) -> float:
        return self.last * self.step

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Its numbers, and how they are written."""
        digits = max(0, -math.floor(math.log10(self.step) + 1e-9))
        values = [index * self.step for index in range(self.first, self.last + 1)]
        return [(value, f"{value:,.{digits}f}") for value in values]

    def share(self, value: float) -> float:
        """Where a value is: 0 at the low end, 1 at the high one."""
        return (value - self.low) / (self.high - self.low)


def round_axis(values: Iterable[float], include: Iterable[float] = ()) -> Axis:
    """The shortest axis of round numbers that has all values on it.

    Args:
        values: What is shown; none at all: 0 to 1.
        include: What is on the axis besides, such as 0.
    """
    shown = [*values, *include]
    low, high = (min(shown), max(shown)) if shown else (0.0, 1.0)
    if low == high:
        low, high = (low, low + 1) if low == 0 else (min(low, 0), max(low, 0))
    rough = (high - low) / _INTERVALS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    tiny = 1e-9  # 0.30000000000000004 is three tenths
    return Axis(step, math.floor(low / step + tiny), math.ceil(high / step - tiny))
