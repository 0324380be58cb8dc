"""A point in a generation: the number of a step, or a fraction of all of them.

The type tells which: 4 is the step after four others, 0.2 a fifth of the way.
"""

from __future__ import annotations

import math

from ..terminal_text import shown
from .checks import check_number, check_whole

__all__ = ["StepPoint", "check_step_point", "parse_step_point", "step_at"]

StepPoint = int | float

_ROUNDING = 1e-9  # 0.1 * 30 is 3.0000000000000004, and means step 3


def check_step_point(name: str, value: object) -> None:
    """Refuse what is neither a step nor a fraction from 0 to 1.

    Raises:
        ValueError: Names the argument, its value and the range.
    """
    if isinstance(value, float):
        check_number(f"{name} as a fraction of the steps", value, 0.0, 1.0)
    else:
        check_whole(name, value, 0, 2**31 - 1)


def step_at(point: StepPoint, steps: int) -> int:
    """The first step at or after a point, counted from 0; `steps` is after the last."""
    if isinstance(point, float):
        return math.ceil(point * steps - _ROUNDING)
    return int(point)


def parse_step_point(text: str) -> StepPoint:
    """`4`, `0.2` or `20%`.

    Raises:
        ValueError: None of these.
    """
    stripped = text.strip()
    try:
        if stripped.endswith("%"):
            point: StepPoint = float(stripped[:-1]) / 100
        else:
            point = int(stripped) if stripped.isdecimal() else float(stripped)
    except ValueError:
        raise ValueError(
            f"{shown(text)} is not a step; give a number (4) or a share of the steps (0.2, 20%)"
        ) from None
    check_step_point("the step", point)
    return point
