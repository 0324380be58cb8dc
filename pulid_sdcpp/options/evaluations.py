"""How often sampling methods evaluate the model.

Source: stable-diffusion.cpp, denoiser.hpp, and our pulid_sampler.hpp.
"""

from __future__ import annotations

__all__ = ["evaluates_twice", "evaluations_of"]

_TWICE = {"heun", "dpm2", "dpm++2s_a", "dpm++sde", "res_2s"}
_ONCE_IN_PURE_NOISE = {"dpm++2s_a", "dpm++sde"}
"""A flow model's level of 1 is its own middle, as nothing of the picture is there."""


def evaluates_twice(sampling_method: str) -> bool:
    """Whether a method evaluates the model twice in each step but the last."""
    return sampling_method in _TWICE


def evaluations_of(sampling_method: str, steps: int, *, from_pure_noise: bool = False) -> int:
    """Evaluations of one pass.

    Args:
        sampling_method: Its name.
        steps: That are made, 1 or more.
        from_pure_noise: Whether they begin at a flow model's level of 1.
    """
    if sampling_method not in _TWICE:
        return steps
    saved = from_pure_noise and steps > 1 and sampling_method in _ONCE_IN_PURE_NOISE
    return 2 * steps - 1 - saved
