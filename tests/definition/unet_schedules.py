"""The noise schedules of PuLID for SDXL, as published, and the engine's that stand for them.

Latents are those of k-diffusion: picture + sigma * noise. All in float64.

v1 with SDXL-Lightning: diffusers' DPMSolverMultistepScheduler with trailing steps is
`dpmpp_2m(denoised, x, lightning(4).sigmas, ends_first_order=True)`, the engine's `dpm++2m` with
`sgm_uniform` `dpmpp_2m(denoised, x, sgm_uniform(4).sigmas)`. v1.1: `dpmpp_2m` or `dpmpp_sde` with
`karras(steps).sigmas` is both; the UNet is told another timestep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from definition.samplers import Denoised

__all__ = [
    "Epsilon",
    "Schedule",
    "denoiser",
    "guided",
    "karras",
    "lightning",
    "nearest_timestep",
    "sgm_uniform",
    "sigma_of",
    "timestep_of",
]

TIMESTEPS = 1000
BETA_FIRST, BETA_LAST = 0.00085, 0.012
"""Source: stabilityai/stable-diffusion-xl-base-1.0, scheduler/scheduler_config.json."""
RHO = 7.0

Epsilon = Callable[[np.ndarray, float], np.ndarray]
"""A UNet: of a latent divided by sqrt(sigma**2 + 1), and a timestep, the noise in it."""


@dataclass(frozen=True)
class Schedule:
    """The levels of a run and what the UNet is told.

    Attributes:
        sigmas: (steps + 1,), falling.
        timesteps: (steps,), 0 to 999.
    """

    sigmas: tuple[float, ...]
    timesteps: tuple[float, ...]


def table() -> np.ndarray:
    """(1000,) float64: the noise level of each timestep.

    Source: huggingface/diffusers, schedulers, "scaled_linear".
    """
    betas = np.linspace(BETA_FIRST**0.5, BETA_LAST**0.5, TIMESTEPS) ** 2
    left = np.cumprod(1 - betas)
    levels: np.ndarray = np.sqrt((1 - left) / left)
    return levels


def sigma_of(timestep: float) -> float:
    """The level of a timestep, also between two: straight in its logarithm.

    Source: stable-diffusion.cpp, denoiser.hpp, CompVisDenoiser.t_to_sigma.
    """
    return float(np.exp(np.interp(timestep, np.arange(TIMESTEPS), np.log(table()))))


def timestep_of(sigma: float) -> float:
    """The timestep of a level as the engine has it, a fraction.

    Source: stable-diffusion.cpp, denoiser.hpp, CompVisDenoiser.sigma_to_t.
    """
    return float(np.interp(np.log(sigma), np.log(table()), np.arange(TIMESTEPS)))


def nearest_timestep(sigma: float) -> float:
    """The timestep of a level as the official v1.1 has it, a whole number.

    Source: ToTheBeginning/PuLID, pulid/pipeline_v1_1.py, timestep.
    """
    return float(np.abs(np.log(table()) - np.log(sigma)).argmin())


def lightning(steps: int) -> Schedule:
    """The official v1's: "trailing" steps; the last leaves the noise of timestep 0.

    Source: diffusers 0.25.0, DPMSolverMultistepScheduler.set_timesteps.
    """
    timesteps = np.arange(TIMESTEPS, 0, -TIMESTEPS / steps).round() - 1
    levels = table()[timesteps.astype(int)]
    return Schedule((*map(float, levels), float(table()[0])), tuple(map(float, timesteps)))


def sgm_uniform(steps: int) -> Schedule:
    """The engine's scheduler of that name, down to 0.

    Source: stable-diffusion.cpp, denoiser.hpp, SGMUniformScheduler.
    """
    timesteps = tuple(map(float, np.linspace(TIMESTEPS - 1, 0, steps + 1)[:-1]))
    return Schedule((*map(sigma_of, timesteps), 0.0), timesteps)


def karras(steps: int, timestep: Callable[[float], float] = timestep_of) -> Schedule:
    """The official v1.1's and the engine's `karras`, down to 0; more than one step.

    Args:
        timestep: `nearest_timestep` is the official one's.

    Source: ToTheBeginning/PuLID, pulid/pipeline_v1_1.py, get_sigmas_karras.
    """
    first, last = (table()[i] ** (1 / RHO) for i in (-1, 0))
    levels = tuple(map(float, np.linspace(first, last, steps) ** RHO))
    return Schedule((*levels, 0.0), tuple(map(timestep, levels)))


def denoiser(epsilon: Epsilon, timestep: Callable[[float], float] = timestep_of) -> Denoised:
    """The picture that a UNet sees in a latent, for samplers."""

    def denoised(x: np.ndarray, sigma: float) -> np.ndarray:
        return x - sigma * epsilon(x / np.sqrt(sigma**2 + 1), timestep(sigma))

    return denoised


def guided(positive: Epsilon, negative: Epsilon, cfg_scale: float) -> Epsilon:
    """True classifier-free guidance of two passes."""

    def epsilon(x: np.ndarray, timestep: float) -> np.ndarray:
        other = negative(x, timestep)
        return other + cfg_scale * (positive(x, timestep) - other)

    return epsilon
