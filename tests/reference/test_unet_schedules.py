"""v1's four steps of definition/unet_schedules.py against diffusers' scheduler."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch

from definition.samplers import dpmpp_2m
from definition.unet_schedules import BETA_FIRST, BETA_LAST, denoiser, lightning

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # diffusers with NumPy 2


def epsilon(x: np.ndarray, timestep: float) -> np.ndarray:
    """In the UNet's place."""
    return np.tanh(x) * (0.5 + timestep / 2000)


@pytest.mark.parametrize("steps", [2, 4, 8])
def test_levels_and_update(library: Callable[[str], ModuleType], steps: int) -> None:
    scheduler = library("diffusers").DPMSolverMultistepScheduler(
        beta_start=BETA_FIRST, beta_end=BETA_LAST, beta_schedule="scaled_linear",
        timestep_spacing="trailing", final_sigmas_type="sigma_min",
    )  # fmt: skip
    scheduler.set_timesteps(steps)
    ours = lightning(steps)
    assert scheduler.timesteps.tolist() == list(ours.timesteps)
    assert scheduler.sigmas.tolist() == pytest.approx(ours.sigmas, rel=1e-4)
    noise = np.random.default_rng(0).normal(size=(1, 4, 8, 8))
    latent = torch.from_numpy(noise)
    for timestep in scheduler.timesteps:
        predicted = torch.from_numpy(epsilon(latent.numpy(), float(timestep)))
        latent = scheduler.step(predicted, timestep, latent).prev_sample
    start = noise * np.sqrt(ours.sigmas[0] ** 2 + 1)
    made = dpmpp_2m(denoiser(epsilon), start, ours.sigmas, ends_first_order=True)
    made = made / np.sqrt(ours.sigmas[-1] ** 2 + 1)  # diffusers scales latents to variance 1
    difference = np.abs(latent.numpy() - made).max()
    print(f"max difference {difference:.1e} of {np.abs(made).max():.2f}")
    assert difference <= 1e-5 * np.abs(made).max()
