"""How often a sampling method evaluates the model."""

from __future__ import annotations

import pytest

from pulid_sdcpp import GenerationOptions
from pulid_sdcpp.options.evaluations import evaluations_of


@pytest.mark.parametrize(
    ("method", "steps", "from_pure_noise", "evaluations"),
    [
        ("euler", 4, False, 4),
        ("heun", 4, False, 7),
        ("heun", 4, True, 7),
        ("dpm++2s_a", 4, False, 7),
        ("dpm++2s_a", 4, True, 6),
        ("dpm++sde", 4, True, 6),
        ("dpm++sde", 1, True, 1),
        ("dpm++sde", 1, False, 1),
    ],
)
def test_evaluations(method: str, steps: int, from_pure_noise: bool, evaluations: int) -> None:
    assert evaluations_of(method, steps, from_pure_noise=from_pure_noise) == evaluations


@pytest.mark.parametrize(("method", "option", "stop"), [
    ("euler", "stop=0.5", 0.5), ("dpm++sde", "stop=0.5", 1.0), ("dpm++2s_a", "", 1.8),
])  # fmt: skip
def test_spectrum_ends_at_a_part_of_the_steps_though_the_engine_counts_evaluations(
    method: str, option: str, stop: float
) -> None:
    picture = GenerationOptions(
        "a", sampling_method=method, cache_mode="spectrum", cache_option=option
    )
    assert picture.to_engine_kwargs()["cache_spectrum_stop_percent"] == stop
