"""Which schedules a step alone is refused with."""

from __future__ import annotations

import pytest

from pulid_sdcpp import GenerationOptions
from pulid_sdcpp.options.sampling_names import SCHEDULERS

OF_TWO = ("gits", "karras", "exponential")


@pytest.mark.parametrize("scheduler", OF_TWO)
def test_schedules_that_begin_at_two_steps(scheduler: str) -> None:
    words = f"^steps is 1, but the {scheduler} scheduler needs at least 2$"
    with pytest.raises(ValueError, match=words):
        GenerationOptions("p", steps=1, scheduler=scheduler)
    GenerationOptions("p", steps=2, scheduler=scheduler)
    # With levels of one's own no schedule is made.
    GenerationOptions("p", steps=1, scheduler=scheduler, sigmas=[1.0, 0.0])


@pytest.mark.parametrize("scheduler", sorted(set(SCHEDULERS) - set(OF_TWO)))
def test_others_make_one_step(scheduler: str) -> None:
    assert GenerationOptions("p", steps=1, scheduler=scheduler).evaluated_steps == 1
