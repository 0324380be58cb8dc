"""Samplers and schedulers as A1111's clients call them, and as we do."""

from __future__ import annotations

import re
from typing import Any

from ...options.sampling_names import (
    SAMPLERS_OF_WEB_UIS,
    SAMPLING_METHODS,
    SCHEDULERS,
    SCHEDULES_OF_WEB_UIS,
)

__all__ = [
    "sampler_from",
    "sampler_list",
    "sampler_name",
    "scheduler_from",
    "scheduler_label",
    "scheduler_list",
    "takes_eta",
    "titled_model",
]

_SAMPLERS = {
    **SAMPLERS_OF_WEB_UIS,
    "dpm++2mv2": "DPM++ 2M v2",
    "ipndm": "iPNDM",
    "ipndm_v": "iPNDM_v",
    "ddim_trailing": "DDIM",
    "tcd": "TCD",
    "res_multistep": "Res Multistep",
    "res_2s": "Res 2s",
    "er_sde": "ER SDE",
}
_SCHEDULERS = {
    **SCHEDULES_OF_WEB_UIS,
    "default": "Automatic",
    "flux": "Flux",
    "discrete": "Discrete",
    "gits": "GITS",
    "smoothstep": "Smoothstep",
    "lcm": "LCM",
    "bong_tangent": "Bong Tangent",
}
_NO_SCHEDULER = ("", "automatic", "normal", "default", "none", "usedefault")
"""Names with which clients say nothing."""

_WITH_ETA = ("euler_a", "dpm++2s_a", "dpm++sde", "ddim_trailing", "tcd")


def _key(name: str) -> str:
    """What is left of a name where spelling is free: "DPM++ 2S a" and "k_dpmpp_2s_ancestral"."""
    plain = re.sub(r"[^a-z0-9+]", "", re.sub(r"^k[_ ]", "", name.strip().lower()))
    return plain.replace("dpmpp", "dpm++").replace("ancestral", "a")


_SAMPLER_KEYS = {
    **{_key(label): name for name, label in _SAMPLERS.items()},
    **{_key(name): name for name in SAMPLING_METHODS},
}
_SCHEDULER_KEYS = {
    **{_key(label): name for name, label in _SCHEDULERS.items()},
    **{_key(name): name for name in SCHEDULERS},
}


def sampler_from(name: str) -> tuple[str | None, str | None]:
    """Our sampling method of a name in any spelling, and the scheduler that it ends with.

    Returns:
        Both, as in "DPM++ 2M Karras"; None for what is not known, or not named.
    """
    key = _key(name)
    if key in _SAMPLER_KEYS:
        return _SAMPLER_KEYS[key], None
    for suffix, scheduler in _SCHEDULER_KEYS.items():
        if key.endswith(suffix) and (method := _SAMPLER_KEYS.get(key.removesuffix(suffix))):
            return method, None if suffix in _NO_SCHEDULER else scheduler
    return None, None


def scheduler_from(name: str) -> tuple[str | None, bool]:
    """Our scheduler of a name in any spelling, and whether the name is known.

    Returns:
        None and True for the names that leave the choice to us.
    """
    key = _key(name)
    if key in _NO_SCHEDULER:
        return None, True
    found = _SCHEDULER_KEYS.get(key)
    return found, found is not None


def titled_model(title: str) -> str:
    """The model of a title: A1111's end with a hash, as in "flux-dev [0123456789]"."""
    return re.sub(r" \[\w+\]$", "", title)


def takes_eta(method: str | None) -> bool:
    """Whether A1111's `eta`, which its clients always send, is meant for a sampling method."""
    return method in _WITH_ETA


def sampler_name(method: str) -> str:
    """A sampling method as A1111's lists spell it."""
    return _SAMPLERS[method]


def scheduler_label(scheduler: str) -> str:
    """A scheduler as A1111's lists spell it."""
    return _SCHEDULERS[scheduler]


def sampler_list() -> list[dict[str, Any]]:
    """What `GET /sdapi/v1/samplers` answers."""
    return [
        {"name": sampler_name(method), "aliases": [method, f"k_{method}"], "options": {}}
        for method in SAMPLING_METHODS
    ]


def scheduler_list() -> list[dict[str, Any]]:
    """What `GET /sdapi/v1/schedulers` answers."""
    return [
        {
            "name": "automatic" if scheduler == "default" else scheduler,
            "label": scheduler_label(scheduler),
            "aliases": [scheduler],
            "default_rho": -1,
            "need_inner_model": False,
        }
        for scheduler in SCHEDULERS
    ]
