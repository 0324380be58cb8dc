"""The noise schedule of pictures that are from before Flux's own, "flux", was the default.

Then it was the engine's choice for the sampling method, and a picture's text, like the key of a
batch's job, had only one that was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["former_default", "has_former_schedule"]

# Source: stable-diffusion.cpp, sd_get_default_scheduler.
_OF_METHOD = {"lcm": "lcm", "tcd": "lcm", "ddim_trailing": "simple"}


def former_default(sampling_method: str) -> str:
    """The scheduler that "default" was for a Flux model."""
    return _OF_METHOD.get(sampling_method, "discrete")


def has_former_schedule(values: Mapping[str, str]) -> bool:
    """Whether the text of a picture of ours names no schedule. `values`: of a `PictureText`."""
    return "Schedule type" not in values and "Sigmas" not in values
