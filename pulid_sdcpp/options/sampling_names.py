"""Names of sampling methods and schedulers, ours and those of web UIs; which need two steps."""

from __future__ import annotations

from ..errors import named, option_error

__all__ = [
    "SAMPLERS_OF_WEB_UIS",
    "SAMPLING_METHODS",
    "SCHEDULERS",
    "SCHEDULES_OF_WEB_UIS",
    "check_schedule_steps",
]

# As stable-diffusion.cpp's own sd-cli spells them; the last is a sampler that we add.
SAMPLING_METHODS = (
    "euler",
    "euler_a",
    "heun",
    "dpm2",
    "dpm++2s_a",
    "dpm++2m",
    "dpm++2mv2",
    "ipndm",
    "ipndm_v",
    "lcm",
    "ddim_trailing",
    "tcd",
    "res_multistep",
    "res_2s",
    "er_sde",
    "dpm++sde",
)
SCHEDULERS = (
    "default",  # flux for a Flux model; for another the engine's choice for the sampling method
    "flux",
    "discrete",
    "karras",
    "exponential",
    "ays",
    "gits",
    "smoothstep",
    "sgm_uniform",
    "simple",
    "kl_optimal",
    "lcm",
    "bong_tangent",
)

# As AUTOMATIC1111's lists spell them.
SAMPLERS_OF_WEB_UIS = {
    "euler": "Euler",
    "euler_a": "Euler a",
    "heun": "Heun",
    "dpm2": "DPM2",
    "dpm++2s_a": "DPM++ 2S a",
    "dpm++2m": "DPM++ 2M",
    "dpm++sde": "DPM++ SDE",
    "lcm": "LCM",
}
SCHEDULES_OF_WEB_UIS = {
    "karras": "Karras",
    "exponential": "Exponential",
    "sgm_uniform": "SGM Uniform",
    "simple": "Simple",
    "kl_optimal": "KL Optimal",
    "ays": "Align Your Steps",
}

# gits has tables that begin at two; the others divide by the number of steps less one.
# Source: stable-diffusion.cpp, denoiser.hpp.
_OF_TWO_STEPS = ("gits", "karras", "exponential")


def check_schedule_steps(scheduler: str, steps: int, *, second_pass: bool = False) -> None:
    """Refuse one step of a schedule that begins at two.

    Args:
        scheduler: One of SCHEDULERS.
        steps: That it is to make levels for.
        second_pass: They are those of the second pass.

    Raises:
        ValueError: It is one; names the option and the schedule.
    """
    if scheduler not in _OF_TWO_STEPS or steps >= 2:
        return
    if second_pass:
        raise option_error(
            f"{named('hires_steps')} is too few for the {scheduler} scheduler; use 2 or more"
        )
    raise option_error(f"{named('steps')} is 1, but the {scheduler} scheduler needs at least 2")
