"""The engine's step caches: what they are set by, under sd-cli's names.

A cache answers some steps from earlier ones instead of evaluating the model. What the engine
reads and then does nothing with is refused here, so that nobody relies on it.

Source: stable-diffusion.cpp, src/sample-cache.cpp, easycache.hpp, cache_dit.hpp, spectrum.hpp;
names from examples/common/common.cpp (initialize_cache_params).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import named, option_error
from ..terminal_text import hint, shown
from .checks import check_number, check_text, check_whole
from .evaluations import evaluates_twice

__all__ = ["CACHE_MODES", "cache_arguments", "check_cache", "check_cache_arguments",
           "check_cache_for_flux"]  # fmt: skip

_BINDING_NAMES = {
    "disabled": "disabled",
    "easycache": "easycache",
    "dbcache": "dbcache",
    "taylorseer": "taylorseer",
    "cache-dit": "cachedit",
    "spectrum": "spectrum",
}
CACHE_MODES = tuple(_BINDING_NAMES)
"""Those that work with Flux, as sd-cli names them."""

_MAX_OPTION_CHARS = 1000
_SMALLEST = 1e-6
_UCACHE = 2  # SD_CACHE_UCACHE


@dataclass(frozen=True)
class _Option:
    """One `name=value`: the binding's argument, its range, and whether it is a whole number."""

    argument: str
    low: float
    high: float
    whole: bool = False

    def read(self, name: str, text: str) -> float:
        check = check_whole if self.whole else check_number
        try:
            value: float = int(text) if self.whole else float(text)
        except ValueError:
            kind = "whole number" if self.whole else "number"
            raise option_error(
                f"{named('cache_option')}: {name} is {shown(text)}, but must be a {kind}"
            ) from None
        check(f"cache_option: {name}", value, self.low, self.high)  # type: ignore[arg-type]
        return value


_EASYCACHE = {
    "threshold": _Option("cache_reuse_threshold", 0.0, 1e6),
    "start": _Option("cache_start_percent", 0.0, 1.0),
    "end": _Option("cache_end_percent", 0.0, 1.0),
}
_CACHE_DIT = {
    "threshold": _Option("cache_residual_diff_threshold", 0.0, 1e6),
    "Fn": _Option("cache_Fn_compute_blocks", 0, 1000, whole=True),
    "Bn": _Option("cache_Bn_compute_blocks", 0, 1000, whole=True),
}
_SPECTRUM = {
    "w": _Option("cache_spectrum_w", -1000.0, 1000.0),
    "m": _Option("cache_spectrum_m", 0, 64, whole=True),
    "lam": _Option("cache_spectrum_lam", 0.0, 1e6),
    "window": _Option("cache_spectrum_window_size", 0, 1000, whole=True),
    "flex": _Option("cache_spectrum_flex_window", 0.0, 1000.0),
    "warmup": _Option("cache_spectrum_warmup_steps", 0, 1000, whole=True),
    # The engine takes 0 as "never stop", the opposite of what it says.
    "stop": _Option("cache_spectrum_stop_percent", _SMALLEST, 1.0),
}
_OPTIONS: Mapping[str, Mapping[str, _Option]] = {
    "disabled": {},
    "easycache": _EASYCACHE,
    "dbcache": _CACHE_DIT,
    "taylorseer": _CACHE_DIT,
    "cache-dit": _CACHE_DIT,
    "spectrum": _SPECTRUM,
}
_WITHOUT_EFFECT = {"warmup", "start", "end", "decay", "relative", "reset"}
_DEFAULT_START, _DEFAULT_END, _DEFAULT_STOP = 0.15, 0.95, 0.9  # sd_cache_params_init


def check_cache(mode: object, option: object) -> None:
    """Refuse a cache, or a setting of one, that the engine would leave out.

    Args:
        mode: One of CACHE_MODES.
        option: "name=value,...", names as sd-cli has them; "": the engine's own values.

    Raises:
        ValueError: Names the value and what it may be.
    """
    cache_arguments(mode, option)


def cache_arguments(mode: object, option: object, sampling_method: str = "") -> dict[str, Any]:
    """The binding's arguments for a cache.

    Args:
        mode, option: As those of `check_cache`.
        sampling_method: What spectrum's end depends on: the engine takes a part of the number of
            steps for a number of evaluations.

    Raises:
        ValueError: As `check_cache`.
    """
    check_cache_for_flux(mode)
    if mode not in _OPTIONS:
        raise option_error(
            f"{named('cache_mode')} is {shown(mode)}, but must be one of {', '.join(CACHE_MODES)}"
            f"{hint(mode, CACHE_MODES)}"
        )
    check_text("cache_option", option, _MAX_OPTION_CHARS)
    name = str(mode)
    if str(option).strip() and name == "disabled":
        raise option_error(
            f"{named('cache_option')} is {shown(option)}, but no {named('cache_mode')} is chosen"
        )
    arguments: dict[str, Any] = {"cache_mode": _BINDING_NAMES[name]}
    for part in filter(None, map(str.strip, str(option).split(","))):
        key, equals, text = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise option_error(
                f"{named('cache_option')} has {shown(part)}, but must be like "
                f"threshold=0.2,start=0.1"
            )
        found = _known(name, {"fn": "Fn", "bn": "Bn"}.get(key, key))
        if found.argument in arguments:
            raise option_error(f"{named('cache_option')} names {key} twice")
        arguments[found.argument] = found.read(key, text)
    if name == "easycache":
        _check_range(arguments)
        # The binding takes 1.0 for "not given" and makes 0.2 of it.
        if arguments.get("cache_reuse_threshold") == 1.0:
            arguments["cache_reuse_threshold"] = 1 - 2**-24
    if name == "spectrum" and evaluates_twice(sampling_method):
        stop = _SPECTRUM["stop"].argument
        arguments[stop] = 2 * arguments.get(stop, _DEFAULT_STOP)
    return arguments


def check_cache_arguments(mode: str, arguments: Mapping[str, Any]) -> None:
    """Refuse a cache among the binding's own arguments that the engine would leave out.

    Args:
        mode: The binding's name of `cache_mode`.
        arguments: All keyword arguments of the binding's `generate_image`.

    Raises:
        ValueError: The part of the steps for it is none.
    """
    if mode in ("easycache", "ucache"):
        _check_range(arguments)


def check_cache_for_flux(mode: object) -> None:
    """Refuse the cache that the engine leaves out with Flux.

    Args:
        mode: A name, or the engine's number of one.

    Raises:
        ValueError: It is UCache.
    """
    name = mode.strip().lower() if isinstance(mode, str) else mode
    if name in ("ucache", _UCACHE):
        raise option_error(
            f"{named('cache_mode')} is 'ucache', which is for UNet models; use easycache for Flux"
        )


def _known(mode: str, key: str) -> _Option:
    options = _OPTIONS[mode]
    if key in options:
        return options[key]
    if key in _WITHOUT_EFFECT:
        raise option_error(
            f"{named('cache_option')}: {key} has no effect with {mode} in this engine; leave out"
        )
    raise option_error(
        f"{named('cache_option')}: {mode} has no {shown(key)}, only {', '.join(options)}"
    )


def _check_range(arguments: Mapping[str, Any]) -> None:
    start = arguments.get("cache_start_percent", _DEFAULT_START)
    end = arguments.get("cache_end_percent", _DEFAULT_END)
    if not 0 <= start < end <= 1:
        raise option_error(
            f"the step cache's start is {start:g} and its end {end:g}, but the start must be below "
            "the end, both from 0 to 1"
        )
