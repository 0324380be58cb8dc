"""Whoever is asked for is in the picture: what would leave a person out without a word is refused.

A weight of 0 is an explicit "off". Anything else that makes the picture nobody's is a mistake: a
start after the last step, an end before the start, a region smaller than what the model sees.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import named, option_error
from ..options.generation import GenerationOptions
from ..options.identity_mode import has_identity_modes
from ..options.step_point import StepPoint, step_at
from .person import Person
from .person_spec import PersonSpec
from .region import TOKEN_PX, Region
from .region_weights import COARSE_TOKEN_PX, box_px, token_weights

__all__ = [
    "FOR_FLUX",
    "check_region",
    "check_span",
    "check_takes_part",
    "first_cfg_step",
]

FOR_FLUX = ("flux",)
"""The encoders of identities for Flux, as `identity_uses` has them."""

_CFG_START_STEP_FLUX = 1
"""ToTheBeginning/PuLID, app_flux.py: "timestep to start inserting true CFG" is 1 by default. Its
pipelines for SDXL have no such choice: there it is 0.
"""

_FAINTEST = 0.05
"""A mask whose brightest token is darker shows nobody: labels 0 and 1 as greys of 255 are 0.004."""

_LEAST_WEIGHT = 1e-3
"""With less, what a person changes in a picture is no more than rounding does."""

_LEAST_FALL = 0.005
"""Of Flux's noise levels, which go from 1 to 0: less changes no pixel by more than 1 of 255."""

_END_AT_THE_LOWEST_LEVEL = frozenset(("discrete", "exponential", "karras", "kl_optimal"))
"""Source: stable-diffusion.cpp, denoiser.hpp: the last step begins with the least noise that the
model knows, 0.003 of 1 for Flux unless a shift is given, 0.029 of 14.6 for SDXL.
"""

_ROUNDING = 1e-6
_OFF = "give weight 0 to leave the person out on purpose"


def first_cfg_step(
    given: int | None, generation: GenerationOptions, encoders: Sequence[str] = FOR_FLUX
) -> int:
    """The first step with true CFG of a picture with an identity.

    Args:
        given: What was asked for.
        generation: The picture.
        encoders: As those of `identity_uses`.
    """
    if generation.cfg_scale == 1.0:
        return 0
    if given is not None:
        return given
    return 0 if _is_for_sdxl(encoders) else _CFG_START_STEP_FLUX


def check_takes_part(
    person: Person | PersonSpec,
    generation: GenerationOptions,
    cfg_start_step: int | None,
    has_size: bool = True,
    encoders: Sequence[str] = FOR_FLUX,
) -> None:
    """Refuse a person with a weight who would not be in the picture.

    Args:
        generation: The picture.
        cfg_start_step: As that of `IdentityOptions`.
        has_size: Whether the picture's size is that of `generation`, so that regions are known.
        encoders: As those of `identity_uses`.

    Raises:
        ValueError: As `check_span` and `check_region`.
        ImageFileError: The mask of a region cannot be read.
    """
    first_cfg = first_cfg_step(cfg_start_step, generation, encoders)
    check_span(person, generation, first_cfg, encoders)
    if has_size and person.region is not None and person.weight != 0:
        cell_px = COARSE_TOKEN_PX if _is_for_sdxl(encoders) else TOKEN_PX
        size = (generation.width, generation.height)
        weights = token_weights(person.region, *size, cell_px=cell_px)
        check_region(person.region, weights, generation, cell_px)


def check_span(
    person: Person | PersonSpec,
    generation: GenerationOptions,
    cfg_start_step: int = 0,
    encoders: Sequence[str] = FOR_FLUX,
) -> None:
    """Refuse a person with a weight who is in no step that changes the picture, or unseen in all.

    Args:
        generation: Its steps are counted as they are made: fewer from a picture to start from,
            with sigmas as many as these say.
        cfg_start_step: The first step with true CFG.
        encoders: As those of `identity_uses`.

    Raises:
        ValueError: Names the step, and the steps that there are; or the weight.
    """
    if person.weight == 0:
        return
    if person.weight is not None and abs(person.weight) < _LEAST_WEIGHT:
        raise ValueError(
            f"weight {person.weight:g} is so small that the person would not be seen; 0.7 to 1.2 "
            f"is usual, {_LEAST_WEIGHT:g} the least; or {_OFF}"
        )
    steps = generation.evaluated_steps
    start = step_at(person.start_step, steps)
    end = steps if person.end_step is None else step_at(person.end_step, steps)
    if start >= steps:
        raise ValueError(
            f"{_said('start step', person.start_step, start)}, but {_made(generation)}, so the "
            f"person would be in none; start earlier, or {_OFF}"
        )
    if start >= end:
        raise ValueError(
            f"{_said('start step', person.start_step, start)} and "
            f"{_said('end step', person.end_step or 0, end)}, before which the person ends, so "
            f"the person would be in no step; end later, or {_OFF}"
        )
    end = min(end, steps)
    levels = generation.sigmas[-steps - 1 :]
    falls = (max(levels[step] - levels[step + 1], 0.0) for step in range(start, end))
    if levels and sum(falls) < _LEAST_FALL:
        raise option_error(
            f"the person is in steps {start} to {end - 1}, but these change nothing, because "
            f"{named('sigmas')} has nearly the same value before and after them; let it fall, or "
            f"{_OFF}"
        )
    is_for_sdxl = _is_for_sdxl(encoders)
    if start == steps - 1 and _ends_flat(generation, is_for_sdxl):
        raise ValueError(
            f"the person is in the last step alone, number {start}, in which the scheduler "
            f"{generation.scheduler} changes nearly nothing; start earlier, take the scheduler "
            f"{'sgm_uniform' if is_for_sdxl else 'flux'}, or {_OFF}"
        )
    if generation.cfg_scale == 0 and start >= cfg_start_step:
        raise option_error(
            f"{named('cfg_scale')} is 0, which leaves nothing but the negative prompt from step "
            f"{cfg_start_step} on, and the person begins at step {start}; give another, or {_OFF}"
        )


def _is_for_sdxl(encoders: Sequence[str]) -> bool:
    return any(map(has_identity_modes, encoders))


def _ends_flat(generation: GenerationOptions, is_for_sdxl: bool) -> bool:
    """Whether the last step begins with nearly no noise left, and so changes nearly nothing."""
    return (
        not generation.sigmas
        and generation.steps > 1
        and (generation.flow_shift is None or is_for_sdxl)
        and generation.scheduler in _END_AT_THE_LOWEST_LEVEL
    )


def check_region(
    region: Region,
    weights: NDArray[np.float32],
    generation: GenerationOptions,
    cell_px: int = TOKEN_PX,
) -> None:
    """Refuse a region that is less than an image token, as good as black, or kept as it was.

    Args:
        weights: Of the region, see `token_weights`.
        cell_px: Side of the image tokens that these are for.

    Raises:
        ValueError: Names the region's size in pixels.
    """
    size = f"{generation.width}x{generation.height}"
    needs = f"but a person needs {cell_px}x{cell_px} at least; make it larger, or {_OFF}"
    if region.box is not None:
        left, top, right, bottom = box_px(region, generation.width, generation.height)
        width, height = right - left, bottom - top
        if min(width, height) < cell_px - _ROUNDING:
            raise ValueError(
                f"the box {region.box} is {width:.4g}x{height:.4g} pixels of {size}, {needs}"
            )
    elif weights.sum() < 1 - _ROUNDING:
        area = float(weights.sum()) * cell_px**2
        raise ValueError(f"the mask of a person has white of {area:.3g} pixels in {size}, {needs}")
    elif weights.max() < _FAINTEST:
        raise ValueError(
            f"the mask of a person is nearly black, {float(weights.max()) * 255:.2g} of 255 where "
            "it is brightest; white is where the person is"
        )
    if generation.mask_image is not None:
        changing = Region(mask=generation.mask_image)
        size_px = (generation.width, generation.height)
        may_change = token_weights(changing, *size_px, cell_px=cell_px)
        if (weights * may_change).sum() < 1 - _ROUNDING:
            raise ValueError(
                "the region of a person is where the mask of the start picture allows no "
                f"change; make one of them larger, or {_OFF}"
            )


def _said(what: str, point: StepPoint, step: int) -> str:
    """`start step 4`; of a part of the steps also which step it is."""
    return f"{what} {point:g} is step {step}" if isinstance(point, float) else f"{what} {point}"


def _made(generation: GenerationOptions) -> str:
    steps = generation.evaluated_steps
    those = "there is 1 step: 0" if steps == 1 else f"there are {steps} steps: 0 to {steps - 1}"
    if generation.init_image is not None and generation.strength < 1:
        return f"{those}, made from a picture with strength {generation.strength:g}"
    return those
