"""The options of one call that makes pictures.

The dataclasses of options are the only place where defaults live. They check what they are given
when they are made, so that no value reaches native code that could make it abort.
"""

from __future__ import annotations

import copy
import ctypes
import itertools
import math
import operator
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .checks import FilePath, check_choice, check_number, check_whole
from .prompt_weights import check_prompt
from .step_cache import cache_arguments, check_cache

if TYPE_CHECKING:
    from PIL import Image


__all__ = [
    "MAX_BATCH",
    "MAX_SEED",
    "MAX_SIDE_PX",
    "MAX_STEPS",
    "SAMPLING_METHODS",
    "SCHEDULERS",
    "SIZE_MULTIPLE_PX",
    "GenerationOptions",
    "check_side",
    "with_checked",
]

# Names as stable-diffusion.cpp's own sd-cli spells them.
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

SIZE_MULTIPLE_PX = 16  # the autoencoder's factor 8 times Flux's 2x2 patches
MAX_SIDE_PX = 4096  # 65,536 image tokens at 4096 x 4096
MAX_STEPS = 1000
MAX_BATCH = 100
MAX_SEED = 2**63 - 1  # int64 in the engine


@dataclass(frozen=True)
class GenerationOptions:
    """What is given for one call that makes pictures.

    Args:
        prompt, negative_prompt: At most 10,000 characters and 30,000 bytes of UTF-8 each, with
            weights of at most 100.
        width, height: Pixels; multiples of SIZE_MULTIPLE_PX, at most MAX_SIDE_PX.
        steps: Model evaluations, 1 to MAX_STEPS.
        cfg_scale: True classifier-free guidance; 1 is off, anything else computes two
            evaluations a step. The models are distilled, so the default is 1.
        guidance: Distilled guidance, for models that have the input (dev, not schnell).
        sampling_method: One of SAMPLING_METHODS.
        scheduler: One of SCHEDULERS. For a Flux model "default" is "flux", as in
            black-forest-labs/flux: levels t = 1 - i/steps; with a guidance input (dev) moved to
            e^mu / (e^mu + 1/t - 1), where mu is 0.5 for 256 image tokens and 1.15 for 4096, on a
            straight line.
        seed: 0 to MAX_SEED; negative for a random one. Picture i of a batch has seed + i.
        eta: Noise multiplier; None: the sampling method's own.
        clip_skip: -1 or 0 to 12.
        sigmas: Noise levels instead of a schedule; one more than there are steps.
        flow_shift: The schedule's shift, mu; None: the model's own.
        init_image, strength: Start from a picture; 0 changes it least, 1 ignores it.
        mask_image: White where `init_image` may change.
        ref_images: References for Kontext models.
        vae_tile_size: (x, y) in latent pixels of 8; 0 is the engine's choice.
        vae_relative_tile_size: (x, y) in parts of the picture below 1, in tiles from 1 on.
        cache_mode: A step cache, one of step_cache.CACHE_MODES: faster, and another picture.
        cache_option: Its settings as sd-cli writes them: "threshold=0.2,start=0.15,end=0.95".

    Raises:
        ValueError: A value out of range; names the value and the range.
    """

    prompt: str
    negative_prompt: str = ""
    width: int = 512
    height: int = 512
    steps: int = 20
    cfg_scale: float = 1.0
    guidance: float = 3.5
    sampling_method: str = "euler"
    scheduler: str = "default"
    seed: int = 42
    batch_count: int = 1
    eta: float | None = None
    clip_skip: int = -1
    sigmas: Sequence[float] = ()
    flow_shift: float | None = None
    init_image: FilePath | Image.Image | None = None
    strength: float = 0.75
    mask_image: FilePath | Image.Image | None = None
    ref_images: Sequence[FilePath | Image.Image] = ()
    auto_resize_ref_image: bool = True
    increase_ref_index: bool = False
    vae_tiling: bool = False
    vae_tile_size: tuple[int, int] = (0, 0)
    vae_tile_overlap: float = 0.5
    vae_relative_tile_size: tuple[float, float] = (0.0, 0.0)
    cache_mode: str = "disabled"
    cache_option: str = ""

    def __post_init__(self) -> None:
        check_prompt("prompt", self.prompt)
        check_prompt("negative_prompt", self.negative_prompt)
        check_side("width", self.width)
        check_side("height", self.height)
        check_whole("steps", self.steps, 1, MAX_STEPS)
        check_number("cfg_scale", self.cfg_scale, 0.0, 1000.0)
        check_number("guidance", self.guidance, 0.0, 1000.0)
        check_choice("sampling_method", self.sampling_method, SAMPLING_METHODS)
        check_choice("scheduler", self.scheduler, SCHEDULERS)
        check_whole("batch_count", self.batch_count, 1, MAX_BATCH)
        check_whole("seed", self.seed, -MAX_SEED - 1, MAX_SEED)
        if self.seed + self.batch_count - 1 > MAX_SEED:
            raise ValueError(
                f"seed is {self.seed} and batch_count {self.batch_count}: the last seed would be "
                f"above {MAX_SEED}"
            )
        if self.eta is not None:
            check_number("eta", self.eta, 0.0, 1000.0)
        if self.sampling_method == "tcd" and self.eta is not None and self.eta > 1:
            raise ValueError(f"eta is {self.eta:g}, but with the tcd method it may be 1 at most")
        if self.scheduler == "gits" and self.steps < 2:  # its tables begin at two
            raise ValueError("steps is 1, but the gits scheduler needs at least 2")
        check_whole("clip_skip", self.clip_skip, -1, 12)
        if self.flow_shift is not None:
            check_number("flow_shift", self.flow_shift, 0.0, 1000.0)
        _sigmas(self.sigmas)
        check_number("strength", self.strength, 0.0, 1.0)
        if self.mask_image is not None and self.init_image is None:
            raise ValueError("mask_image is given without init_image; name the picture it masks")
        for side in self.vae_tile_size:
            if side != 0:
                check_whole("vae_tile_size", side, 8, 512)
        check_number("vae_tile_overlap", self.vae_tile_overlap, 0.0, 0.5)
        for part in self.vae_relative_tile_size:
            check_number("vae_relative_tile_size", part, 0.0, 64.0)
        check_cache(self.cache_mode, self.cache_option)

    def with_fixed_seed(self) -> GenerationOptions:
        """These options with a negative seed replaced by a random one below 2^32."""
        return self if self.seed >= 0 else with_checked(self, seed=secrets.randbelow(2**32))

    def with_named_scheduler(self, default: str) -> GenerationOptions:
        """These options with the scheduler "default" replaced by its name; `sigmas` need none."""
        is_open = self.scheduler == "default" and not self.sigmas
        return with_checked(self, scheduler=default) if is_open else self

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each picture of the batch; needs a fixed seed."""
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, which is random; call with_fixed_seed() first")
        return tuple(self.seed + index for index in range(self.batch_count))

    @property
    def evaluated_steps(self) -> int:
        """How many steps are made: fewer than `steps` where a picture is started from.

        Source: stable-diffusion.cpp, SamplePlan::resolve, prepare_image_generation_latents.
        """
        total = len(self.sigmas) - 1 if self.sigmas else self.steps
        steps = min(self.steps, total)
        if self.init_image is None or self.strength >= 1:
            return total
        # The engine multiplies in single precision.
        product = ctypes.c_float(steps * ctypes.c_float(self.strength).value).value
        return total - steps + 1 + min(int(product), steps - 1)

    def to_engine_kwargs(self) -> dict[str, Any]:
        """The keyword arguments of `generate_image`, under the binding's names."""
        kwargs = {name: getattr(self, name) for name in self.__dataclass_fields__}
        kwargs["sample_steps"] = kwargs.pop("steps")
        kwargs["sample_method"] = kwargs.pop("sampling_method")
        # The engine takes infinity as "not given" (stable-diffusion.cpp, sd_sample_params_init).
        kwargs["eta"] = math.inf if self.eta is None else self.eta
        kwargs["flow_shift"] = math.inf if self.flow_shift is None else self.flow_shift
        kwargs["sigmas"] = ",".join(repr(float(value)) for value in self.sigmas) or None
        kwargs["init_image"] = _engine_image(self.init_image)
        kwargs["mask_image"] = _engine_image(self.mask_image)
        kwargs["ref_images"] = [_engine_image(image) for image in self.ref_images] or None
        kwargs["vae_tile_size"] = "x".join(str(side) for side in self.vae_tile_size)
        kwargs["vae_relative_tile_size"] = "x".join(str(p) for p in self.vae_relative_tile_size)
        del kwargs["cache_option"]
        kwargs |= cache_arguments(self.cache_mode, self.cache_option)
        return kwargs


def _engine_image(image: FilePath | Image.Image | None) -> Any:
    return os.fspath(image) if isinstance(image, os.PathLike) else image


def with_checked(options: GenerationOptions, **values: Any) -> GenerationOptions:
    """A copy with other values, which are known to be possible: nothing is checked again."""
    changed = copy.copy(options)
    vars(changed).update(values)
    return changed


def check_side(name: str, value: object) -> None:
    """Refuse what is no width or height of a picture, in pixels.

    Raises:
        ValueError: Names the value, and the nearest that are possible.
    """
    check_whole(name, value, SIZE_MULTIPLE_PX, MAX_SIDE_PX)
    number = operator.index(value)  # type: ignore[arg-type]
    if number % SIZE_MULTIPLE_PX:
        lower = number - number % SIZE_MULTIPLE_PX
        raise ValueError(
            f"{name} is {number}, but must be a multiple of {SIZE_MULTIPLE_PX}; "
            f"use {lower} or {lower + SIZE_MULTIPLE_PX}"
        )


def _sigmas(values: Sequence[float]) -> None:
    if not values:
        return
    if not 2 <= len(values) <= MAX_STEPS + 1:
        raise ValueError(f"sigmas has {len(values)} values, but must have 2 to {MAX_STEPS + 1}")
    for value in values:
        check_number("sigmas", value, 0.0, 1e6)
    if any(later > earlier for earlier, later in itertools.pairwise(values)):
        raise ValueError("sigmas must not rise from one step to the next")
