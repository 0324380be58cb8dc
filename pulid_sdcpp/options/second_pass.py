"""The second pass ("hires"): a picture made small, enlarged, and made again from there.

Source of names, defaults and formulas: stable-diffusion.cpp, examples/common (--hires...), and
stable-diffusion.cpp, GenerationRequest::resolve_hires, generate_image.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import named, option_error
from .facts import option

__all__ = [
    "HIRES_UPSCALERS",
    "MAX_SIDE_PX",
    "MAX_STEPS",
    "MAX_TILE_PX",
    "MIN_TILE_PX",
    "SIZE_MULTIPLE_PX",
    "SecondPassOptions",
    "SecondPassSteps",
    "UpscaleOptions",
    "encodes_a_picture",
    "is_upscaling_model",
    "reads_pictures",
    "second_pass_size",
    "second_pass_steps",
]

SIZE_MULTIPLE_PX = 16  # the autoencoder's factor 8 times Flux's 2x2 patches
MAX_SIDE_PX = 4096  # 65,536 image tokens at 4096 x 4096
MAX_STEPS = 1000
MIN_TILE_PX, MAX_TILE_PX = 16, 4096
MAX_UPSCALE_REPEATS = 4

_OF_LATENTS = (
    "Latent",
    "Latent (nearest)",
    "Latent (nearest-exact)",
    "Latent (antialiased)",
    "Latent (bicubic)",
    "Latent (bicubic antialiased)",
)
_OF_PIXELS = ("Lanczos", "Nearest")
HIRES_UPSCALERS = ("None", *_OF_LATENTS, *_OF_PIXELS)
"""As sd-cli and AUTOMATIC1111 spell them; any other name is that of an upscaling model."""


@dataclass(frozen=True)
class SecondPassOptions:
    """The facts of the options of `GenerationOptions` that are about the second pass."""

    hires: bool = option(
        False,
        "Make the picture in two passes: at this size, then larger, from the enlarged first one.",
        flags="--hires/--no-hires",
        text="Hires fix",
        memory=True,
        evaluate=False,
    )
    hires_upscaler: str = option(
        "Latent",
        f"How --hires enlarges: {', '.join(HIRES_UPSCALERS[1:])}, or a model (ESRGAN) in "
        "--hires-upscalers-dir, named without folder and suffix.",
        flags="--hires-upscaler",
        metavar="NAME",
        checked=False,
        text="Hires upscaler",
        memory=True,
        evaluate=False,
    )
    hires_scale: float = option(
        2.0,
        "How many times as wide and high the picture of --hires is; rounded up to multiples of 16.",
        flags="--hires-scale",
        low=0,
        high=256,
        text="Hires upscale",
        memory=True,
        evaluate=False,
    )
    hires_width: int = option(
        0,
        "Its width in pixels, instead of --hires-scale; a multiple of 16.",
        flags="--hires-width",
        low=0,
        high=MAX_SIDE_PX,
        step=SIZE_MULTIPLE_PX,
        text="Hires width",
        memory=True,
        evaluate=False,
    )
    hires_height: int = option(
        0,
        "Its height in pixels, likewise; one of both alone makes a square.",
        flags="--hires-height",
        low=0,
        high=MAX_SIDE_PX,
        step=SIZE_MULTIPLE_PX,
        text="Hires height",
        memory=True,
        evaluate=False,
    )
    hires_steps: int = option(
        0,
        "Steps of the second pass; 0: as many as the first has.",
        flags="--hires-steps",
        group="Sampling",
        low=0,
        high=MAX_STEPS,
        text="Hires steps",
        evaluate=False,
    )
    hires_denoising_strength: float = option(
        0.7,
        "How much of the enlarged picture to replace, 0.01 to 1.",
        flags="--hires-denoising-strength",
        group="Sampling",
        low=0.01,  # the engine divides by it
        high=1,
        text="Hires denoising strength",
        evaluate=False,
    )
    hires_upscale_tile_size: int = option(
        128,
        "Tile of a model in --hires-upscaler, in pixels before it enlarges.",
        flags="--hires-upscale-tile-size",
        group="Memory and speed",
        low=MIN_TILE_PX,
        high=MAX_TILE_PX,
        text="Hires upscale tile size",
        memory=True,
        evaluate=False,
    )


@dataclass(frozen=True)
class UpscaleOptions:
    """The fact of the option of `GenerationOptions` that is about finished pictures."""

    upscale_repeats: int = option(
        1,
        "How many times --upscale-model enlarges the picture; 0: leave it as it is.",
        flags="--upscale-repeats",
        low=0,
        high=MAX_UPSCALE_REPEATS,
        text="Upscale repeats",
        memory=True,
        evaluate=False,
    )


@dataclass(frozen=True)
class SecondPassSteps:
    """Steps of the second pass: the last `made` of a schedule of `total`."""

    total: int
    made: int


def is_upscaling_model(upscaler: str) -> bool:
    """Whether a name is that of a file, and none of the engine's own ways to enlarge."""
    return upscaler not in HIRES_UPSCALERS


def encodes_a_picture(upscaler: str) -> bool:
    """Whether pixels are enlarged, which the autoencoder's encoder then reads, and not latents."""
    return upscaler not in ("None", *_OF_LATENTS)


def reads_pictures(values: Mapping[str, Any]) -> bool:
    """Whether the autoencoder's encoder is needed, by the options that were given so far."""
    if any(values.get(name) for name in ("init_image", "ref_images", "control_image")):
        return True
    upscaler = values.get("hires_upscaler", SecondPassOptions.hires_upscaler)
    return bool(values.get("hires")) and encodes_a_picture(upscaler)


def second_pass_size(
    size: tuple[int, int], scale: float, width: int, height: int
) -> tuple[int, int]:
    """Width and height of the second pass, in pixels.

    Args:
        size: Of the first pass.
        scale, width, height: As the options of these names.

    Raises:
        ValueError: A side that is too small or too large.
    """
    if width or height:
        sides = (width or height, height or width)
    else:
        single = ctypes.c_float(scale).value  # the engine multiplies in single precision
        scaled = (ctypes.c_float(side * single).value for side in size)
        step = SIZE_MULTIPLE_PX
        # Rounded as C does: half away from zero.
        sides = tuple(math.ceil(math.floor(side + 0.5) / step) * step for side in scaled)  # type: ignore[assignment]
    for name, side in zip(("width", "height"), sides, strict=True):
        if not SIZE_MULTIPLE_PX <= side <= MAX_SIDE_PX:
            raise option_error(
                f"the second pass ({named('hires')}) would have a {name} of {side}, but it must "
                f"be from {SIZE_MULTIPLE_PX} to {MAX_SIDE_PX}"
            )
    return sides


def second_pass_steps(steps: int, denoising_strength: float) -> SecondPassSteps:
    """The steps of a second pass of `steps`.

    The schedule is so much longer that the last part of it, from the noise of
    `denoising_strength` on, has about as many steps as were asked for.
    """
    strength = ctypes.c_float(denoising_strength).value  # single precision, as in the engine
    total = int(ctypes.c_float(steps / strength).value)
    made = min(int(ctypes.c_float(total * strength).value), total - 1) + 1
    return SecondPassSteps(total, made)
