"""Skip-layer guidance: what of it would have no effect, or a wrong one, is refused.

Source: stable-diffusion.cpp, src/stable-diffusion.cpp (sample); names of examples/common.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import named, option_error
from .facts import option

__all__ = ["LayerGuidanceOptions", "check_layer_guidance", "check_layers"]

_KEPT_APART = ("disabled", "spectrum")
"""Step caches that do not take the evaluation without layers for that with all of them."""


@dataclass(frozen=True)
class LayerGuidanceOptions:
    """The facts of the options of `GenerationOptions` that are about skipped layers."""

    slg_scale: float = option(
        0.0,
        "Skip-layer guidance: how much to move away from the result without --skip-layers; 0 is "
        "off. Takes one more evaluation in each of its steps.",
        flags="--slg-scale",
        group="Sampling",
        low=-1000,
        high=1000,
        text="SLG scale",
    )
    skip_layers: Sequence[int] = option(
        (7, 8, 9),
        "Layers that --slg-scale leaves out, from 0; Flux has 19 double and then 38 single ones.",
        flags="--skip-layers",
        group="Sampling",
        shown_default="7,8,9",
        low=0,
        text="Skip layers",
    )
    skip_layer_start: float = option(
        0.01,
        "Part of the steps after which --slg-scale begins, 0 to 1.",
        flags="--skip-layer-start",
        group="Sampling",
        low=0,
        high=1,
        text="Skip layer start",
    )
    skip_layer_end: float = option(
        0.2,
        "Part of the steps before which it ends; with few steps, the default leaves none.",
        flags="--skip-layer-end",
        group="Sampling",
        low=0,
        high=1,
        text="Skip layer end",
    )


def check_layer_guidance(
    scale: float, layers: Sequence[int], start: float, end: float, *, cache_mode: str, steps: int
) -> None:
    """Refuse guidance that no step would have.

    Args:
        scale, layers, start, end: `slg_scale`, `skip_layers`, `skip_layer_start` and
            `skip_layer_end` of `GenerationOptions`.
        cache_mode: Likewise.
        steps: How many are made.

    Raises:
        ValueError: Names the options, and what they may be.
    """
    if not scale:
        return
    given = f"{named('slg_scale')} is {scale:g}"
    if not layers:
        raise option_error(f"{given}, but {named('skip_layers')} names no layer")
    if cache_mode not in _KEPT_APART:
        raise option_error(
            f"{given}, but {named('cache_mode')} {cache_mode!r} would mix its evaluations with the "
            "others; leave one out, or use spectrum"
        )
    # As the engine counts, in single precision: a step from 1, of one more noise levels.
    first, last = (
        int(ctypes.c_float(ctypes.c_float(part).value * (steps + 1)).value) for part in (start, end)
    )
    if not any(first < step < last for step in range(1, steps + 1)):
        raise option_error(
            f"{given}, but no step of {steps} is between {named('skip_layer_start')} {start:g} and "
            f"{named('skip_layer_end')} {end:g}; with few steps, the end must be later"
        )


def check_layers(layers: Sequence[int], count: int) -> None:
    """Refuse layers that a model does not have: the engine would leave out nothing.

    Args:
        layers: `skip_layers`.
        count: How many the model has.

    Raises:
        ValueError: Names the layer.
    """
    for layer in layers:
        if layer >= count:
            raise option_error(
                f"{named('skip_layers')} has {layer}, but this model has the layers 0 to "
                f"{count - 1}"
            )
