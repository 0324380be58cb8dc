"""Samplers as their sources have them, in float64: with logarithms, and noise from a path.

Samplers of k-diffusion take `denoised(x, sigma)`, the picture that a model sees in the latent x of
noise level sigma. Latents of flow models hold 1 - sigma of the picture; others all of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["BrownianPath", "Denoised", "dpmpp_2m", "dpmpp_sde"]

Denoised = Callable[[np.ndarray, float], np.ndarray]
SNR_START = 1.0
"""The level of a flow model at which nothing of the picture is there."""


class BrownianPath:
    """A random path over noise levels, walked downwards, that is remembered where it was asked.

    Source: crowsonkb/k-diffusion, sampling.py, BrownianTreeNoiseSampler (its tree is another way
    to draw such a path).

    Args:
        normal: Draws normal numbers, an array of the latent's shape.
    """

    def __init__(self, normal: Callable[[], np.ndarray]) -> None:
        self._normal = normal
        self._at: dict[float, np.ndarray] = {}

    def __call__(self, sigma: float, following: float) -> np.ndarray:
        """The increment between two levels, of variance 1."""
        if not self._at:
            self._at[sigma] = np.zeros(())
        return (self._value(following) - self._value(sigma)) / math.sqrt(abs(following - sigma))

    def _value(self, sigma: float) -> np.ndarray:
        if sigma not in self._at:
            lowest = min(self._at)
            assert sigma < lowest, "the path is walked downwards only"
            step = math.sqrt(lowest - sigma) * self._normal()
            self._at[sigma] = self._at[lowest] + step
        return self._at[sigma]


def dpmpp_sde(
    denoised: Denoised,
    x: np.ndarray,
    sigmas: Sequence[float],
    normal: Callable[[], np.ndarray],
    *,
    eta: float = 1.0,
    is_flow: bool = False,
) -> np.ndarray:
    """DPM-Solver++ (stochastic), r = 1/2.

    At a flow model's level of 1 the formulas are taken in their limit: the middle of the step is
    its beginning, so the model is asked once.

    Source: crowsonkb/k-diffusion, sampling.py, sample_dpmpp_sde; of flow models ComfyUI,
    comfy/k_diffusion/sampling.py, which begins at a level just below 1.
    """
    noise = BrownianPath(normal)
    r = 1 / 2

    def half_snr(sigma: float) -> float:
        return math.log((1 - sigma) / sigma) if is_flow else -math.log(sigma)

    def level(half_snr: float) -> float:
        return 1 / (1 + math.exp(half_snr)) if is_flow else math.exp(-half_snr)

    def moved(x: np.ndarray, towards: np.ndarray, start: float, end: float) -> np.ndarray:
        """x at `start` taken to `end`, both half log-SNRs."""
        share, following_share = (level(at) * math.exp(at) for at in (start, end))
        down, up = ancestral_step(math.exp(-start), math.exp(-end), eta)
        step = -math.log(down) - start if down else math.inf
        x = following_share / share * math.exp(-step) * x
        x = x - following_share * math.expm1(-step) * towards
        return x + following_share * up * noise(level(start), level(end)) if up else x

    for sigma, following in itertools.pairwise(sigmas):
        seen = denoised(x, sigma)
        if following == 0:
            x = seen
        elif is_flow and sigma >= SNR_START:
            fresh = min(eta, 1.0)
            x = (1 - following) * seen + following * math.sqrt(1 - fresh**2) * x
            if fresh:
                x = x + following * fresh * noise(sigma, level(half_snr(following)))
        else:
            start, end = half_snr(sigma), half_snr(following)
            middle = start + r * (end - start)
            in_the_middle = moved(x, seen, start, middle)
            factor = 1 / (2 * r)
            both = (1 - factor) * seen + factor * denoised(in_the_middle, level(middle))
            x = moved(x, both, start, end)
    return x


def ancestral_step(sigma: float, following: float, eta: float) -> tuple[float, float]:
    """How far a step goes down, and how much noise brings it up again.

    Source: crowsonkb/k-diffusion, sampling.py, get_ancestral_step.
    """
    up = min(following, eta * math.sqrt(following**2 * (sigma**2 - following**2) / sigma**2))
    return math.sqrt(following**2 - up**2), up


def dpmpp_2m(
    denoised: Denoised, x: np.ndarray, sigmas: Sequence[float], *, ends_first_order: bool = False
) -> np.ndarray:
    """DPM-Solver++(2M).

    Args:
        ends_first_order: The last step is of first order also where its level is not 0, as in
            diffusers' DPMSolverMultistepScheduler with fewer than 15 steps.

    Source: crowsonkb/k-diffusion, sampling.py, sample_dpmpp_2m.
    """
    last_step = len(sigmas) - 2
    last: tuple[float, np.ndarray] | None = None
    for number, (sigma, following) in enumerate(itertools.pairwise(sigmas)):
        seen = denoised(x, sigma)
        if following == 0:
            x = seen
            continue
        step = math.log(sigma / following)
        both = seen
        if last is not None and not (ends_first_order and number == last_step):
            ratio = last[0] / step
            both = (1 + 1 / (2 * ratio)) * seen - 1 / (2 * ratio) * last[1]
        x = following / sigma * x - math.expm1(-step) * both
        last = step, seen
    return x
