"""Who is in a part of the noise levels in the first pass is in the same in the second."""

from __future__ import annotations

from typing import Any

import pytest

from pulid_sdcpp.options.generation import GenerationOptions
from pulid_sdcpp.people.second_pass_step import step_of_second_pass


# Steps, denoising strength, steps of the second pass; the step and what becomes of it.
@pytest.mark.parametrize(
    ("steps", "strength", "second", "step", "begins", "ends"),
    [
        (20, 0.7, 0, 0, 0, 0),
        (20, 0.7, 0, 4, 0, 0),  # 28 steps, of which the last 20 are made: 5.6 is before them
        (20, 0.7, 0, 10, 6, 6),  # in the midst of 28
        (20, 0.7, 0, 19, 18, 19),  # 26.6 of 28
        (20, 1.0, 0, 7, 7, 7),
        (20, 1.0, 10, 7, 3, 4),
        (4, 0.5, 8, 2, 1, 1),  # 16 steps, of which the last 9 are made
    ],
)
def test_the_step_with_as_much_noise(
    steps: int, strength: float, second: int, step: int, begins: int, ends: int
) -> None:
    given: dict[str, Any] = {"hires_denoising_strength": strength, "hires_steps": second}
    generation = GenerationOptions("", steps=steps, hires=True, **given)
    assert step_of_second_pass(step, generation) == begins
    assert step_of_second_pass(step, generation, is_end=True) == ends
    assert step_of_second_pass(step, GenerationOptions("", steps=steps)) == 0


def test_a_picture_to_start_from_begins_later() -> None:
    """Of 20 steps, 11 are made, the first of which is number 9; 10 of them, 19 of 20, in both."""
    generation = GenerationOptions(
        "", steps=20, init_image="a.png", strength=0.5, hires=True, hires_denoising_strength=1.0
    )
    assert generation.evaluated_steps == 11
    assert generation.second_steps.total == 11
    assert step_of_second_pass(0, generation) == 0
    assert step_of_second_pass(10, generation) == 10
    assert step_of_second_pass(1, generation) == 5
