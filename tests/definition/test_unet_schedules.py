"""The schedules have the published figures.

Against diffusers: tests/reference/test_unet_schedules.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from definition.samplers import dpmpp_2m, dpmpp_sde
from definition.unet_schedules import (
    guided,
    karras,
    lightning,
    nearest_timestep,
    sgm_uniform,
    sigma_of,
    timestep_of,
)


def epsilon(x: np.ndarray, timestep: float) -> np.ndarray:
    return np.tanh(x) * (0.5 + timestep / 2000)


def test_four_steps_of_v1() -> None:
    official, engine = lightning(4), sgm_uniform(4)
    assert official.timesteps == (999, 749, 499, 249)
    assert engine.timesteps == (999, 749.25, 499.5, 249.75)
    expected = (14.6146, 4.0817, 1.6129, 0.6932, 0.0292)
    assert official.sigmas == pytest.approx(expected, abs=6e-5)
    assert engine.sigmas == pytest.approx((14.6146, 4.0861, 1.6156, 0.6951, 0), abs=6e-5)


def test_karras_of_v1_1() -> None:
    expected = (14.6146, 4.7965, 1.2741, 0.2479, 0.0292, 0)
    assert karras(5).sigmas == pytest.approx(expected, abs=6e-5)
    many = karras(25)
    assert (len(many.sigmas), len(many.timesteps)) == (26, 25)
    assert many.sigmas[:25:24] == pytest.approx((14.6146, 0.0292), abs=6e-5)
    rounded = karras(25, nearest_timestep)
    assert rounded.sigmas == many.sigmas
    assert np.abs(np.subtract(rounded.timesteps, many.timesteps)).max() <= 0.51
    assert all(timestep.is_integer() for timestep in rounded.timesteps)


def test_a_timestep_comes_back() -> None:
    for timestep in (0, 249.75, 999):
        assert timestep_of(sigma_of(timestep)) == pytest.approx(timestep, abs=1e-6)
    assert nearest_timestep(sigma_of(249.75)) == 250


def test_guidance_of_1_is_the_positive_pass() -> None:
    x = np.linspace(-2, 2, 9)
    both = guided(epsilon, lambda x, timestep: -x, 1.0)
    assert both(x, 3.0) == pytest.approx(epsilon(x, 3.0))


def test_samplers_agree_where_the_picture_is_certain() -> None:
    """A model that knows the picture gives it, whatever the way there."""
    picture = np.array([0.2, -0.7, 1.1])
    x = picture + 14.6146 * np.array([1.0, -1.0, 0.5])

    def seen(x: np.ndarray, sigma: float) -> np.ndarray:
        return picture

    random = np.random.default_rng(0)
    levels = karras(5).sigmas
    assert np.array_equal(dpmpp_2m(seen, x, levels), picture)
    assert np.array_equal(dpmpp_sde(seen, x, levels, lambda: random.normal(size=3)), picture)
    left = dpmpp_2m(seen, x, lightning(4).sigmas, ends_first_order=True)
    assert np.abs(left - picture).max() <= 14.7 * lightning(4).sigmas[-1] / 14.6
