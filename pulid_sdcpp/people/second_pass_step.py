"""Steps of the first pass in the second: where the noise is the same.

A second pass (hires) begins in the midst of its schedule, with the noise of
`hires_denoising_strength`. Who is in the first pass from a quarter of the schedule on, is in the
second pass from a quarter of its schedule on: with the usual strength, from its first step.
"""

from __future__ import annotations

import math

from ..options.generation import GenerationOptions

__all__ = ["step_of_second_pass"]

_ROUNDING = 1e-9


def step_of_second_pass(step: int, generation: GenerationOptions, *, is_end: bool = False) -> int:
    """The step of the second pass with as much noise as a step of the first has.

    Args:
        step: Of the first pass, from 0, as its steps are made.
        is_end: Whether it is the step before which something ends: it ends no earlier, as others
            begin no later.

    Returns:
        From 0, as the second pass's steps are made; 0 where there is no second pass.
    """
    if generation.second_size is None or step <= 0:
        return 0
    made = generation.evaluated_steps
    all_steps = len(generation.sigmas) - 1 if generation.sigmas else max(generation.steps, made)
    part = min((all_steps - made + step) / all_steps, 1.0)
    second = generation.second_steps
    exact = part * second.total
    whole = math.ceil(exact - _ROUNDING) if is_end else math.floor(exact + _ROUNDING)
    return max(whole - (second.total - second.made), 0)
