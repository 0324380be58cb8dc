"""Options for generating pictures.

The dataclasses of options are the only place where defaults live. They check what they are given
when they are made, so that no value reaches native code that could make it abort.
"""

from __future__ import annotations

import copy
import ctypes
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import named, option_error
from .binding import to_binding
from .checks import FilePath, check_text
from .control import ControlOptions
from .facts import FACT, Fact, check, described, of, option, same_as
from .identity_mode import IdentityModeOptions
from .layer_guidance import LayerGuidanceOptions, check_layer_guidance
from .lora_options import LoraOptions
from .noise_levels import check_sigmas
from .prompt_weights import check_prompt
from .sampling_names import (
    SAMPLERS_OF_WEB_UIS,
    SAMPLING_METHODS,
    SCHEDULERS,
    SCHEDULES_OF_WEB_UIS,
    check_schedule_steps,
)
from .second_pass import (
    MAX_SIDE_PX,
    MAX_STEPS,
    SIZE_MULTIPLE_PX,
    SecondPassOptions,
    SecondPassSteps,
    UpscaleOptions,
    second_pass_size,
    second_pass_steps,
)
from .step_cache import CACHE_MODES, cache_arguments, check_cache
from .tiling import TilingOptions

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

MAX_BATCH = 100
MAX_SEED = 2**63 - 1  # int64 in the engine


@dataclass(frozen=True, repr=False)
class GenerationOptions:
    """Options for generating pictures.

    Args:
        prompt, negative_prompt: At most 10,000 characters and 30,000 bytes of UTF-8 each, with
            weights of at most 100.
        width, height: Pixels; multiples of SIZE_MULTIPLE_PX, at most MAX_SIDE_PX.
        steps: Sampling steps, 1 to MAX_STEPS.
        cfg_scale: True classifier-free guidance; 1 is off, any other value evaluates the model
            twice per step. The models are distilled, so the default is 1.
        guidance: Distilled guidance, for models that have the input (dev, not schnell).
        sampling_method: One of SAMPLING_METHODS.
        scheduler: One of SCHEDULERS. For a Flux model "default" is "flux", as in
            black-forest-labs/flux: levels t = 1 - i/steps; with a guidance input (dev) shifted to
            e^mu / (e^mu + 1/t - 1), where mu is 0.5 for 256 image tokens, 1.15 for 4096, and
            linear in between and beyond.
        seed: 0 to MAX_SEED; negative for a random one. Picture i of a batch has seed + i.
        eta: Noise multiplier; None: the sampling method's own.
        clip_skip: -1 or 0 to 12.
        sigmas: Noise levels in place of a schedule, one more than there are steps.
        flow_shift: The schedule's shift, mu; None: the model's own.
        slg_scale, skip_layers: Skip-layer guidance: each step from `skip_layer_start` to
            `skip_layer_end` (shares of the steps) is evaluated once more without these layers, and
            moves away from that by this factor; 0 is off. Layers count from 0, the double blocks
            before the single ones.
        init_image, strength: Start from a picture; strength 0 changes it least, 1 ignores it. It is
            a file, what is in it, a file that is open for reading bytes, or a Pillow image; so are
            the pictures below.
        mask_image: White where `init_image` may change.
        loras: LoRAs beside those that the prompt names, each "PATH" or "PATH:WEIGHT"; a name alone
            is looked for in `lora_model_dir`. They become tags behind the prompt.
        lora_files: Names of LoRA tags with the files that they mean, in place of those in
            `lora_model_dir`.
        ref_images: References for Kontext models.
        id_mode, id_projection, id_zeros: How an SDXL model adds identities, see
            `IdentityModeOptions`; None: the mode's, or that of the PuLID weights.
        control_image, canny: What a FLUX.1 Canny or Depth model follows; find its edges first.
        vae_tile_size: (x, y) in latent pixels (8 pixels each); 0 is the engine's choice.
        vae_relative_tile_size: (x, y), below 1 a share of the picture, otherwise a number of tiles.
        cache_mode: A step cache, one of step_cache.CACHE_MODES: faster, but changes the picture.
        cache_option: Its settings as sd-cli writes them: "threshold=0.2,start=0.15,end=0.95".
        upscale_repeats: How many times `ContextOptions.upscaler_path` enlarges the picture; 0: not.
        hires: Make the picture in two passes; without it, the following mean nothing.
        hires_upscaler: One of HIRES_UPSCALERS, or the name of an upscaling model.
        hires_scale: Size of the second pass, as a multiple of the first's.
        hires_width, hires_height: Its pixels instead, multiples of SIZE_MULTIPLE_PX; 0: not given.
        hires_steps: Its steps; 0: as many as the first pass has.
        hires_denoising_strength: How much of the enlarged picture is replaced, 0.01 to 1.
        hires_upscale_tile_size: Side of an upscaling model's tiles, in pixels before it enlarges.

    Raises:
        ValueError: A value out of range; names the value and the range.
    """

    prompt: str = field(
        metadata={
            FACT: Fact(
                "What the picture should show; required without --from.",
                flags="-p --prompt",
                checked=False,
                evaluate=False,
                batch=False,
            )
        }
    )
    negative_prompt: str = option(
        "",
        "What the picture should not show; has an effect only if --cfg-scale is not 1.",
        flags="-n --negative-prompt",
        checked=False,
        preset=True,
        memory=True,
    )
    width: int = option(
        512,
        "Width in pixels, a multiple of 16; with --init-img, the default is its width.",
        flags="-W --width",
        low=SIZE_MULTIPLE_PX,
        high=MAX_SIDE_PX,
        step=SIZE_MULTIPLE_PX,
        preset=True,
        memory=True,
    )
    height: int = option(
        512,
        "Height in pixels, likewise.",
        flags="-H --height",
        low=SIZE_MULTIPLE_PX,
        high=MAX_SIDE_PX,
        step=SIZE_MULTIPLE_PX,
        preset=True,
        memory=True,
    )
    steps: int = option(
        20,
        "Sampling steps; 4 for schnell, 20 to 28 for dev.",
        flags="--steps",
        group="Sampling",
        low=1,
        high=MAX_STEPS,
        text="Steps",
        always=True,
        preset=True,
        binding="sample_steps",
    )
    cfg_scale: float = option(
        1.0,
        "True CFG; 1 is off, other values take twice the time.",
        flags="--cfg-scale",
        group="Sampling",
        low=0,
        high=1000,
        text="CFG scale",
        always=True,
        preset=True,
        memory=True,
    )
    guidance: float = option(
        3.5,
        "Distilled guidance, for dev models.",
        flags="--guidance",
        group="Sampling",
        low=0,
        high=1000,
        text="Distilled CFG Scale",
        always=True,
        preset=True,
    )
    sampling_method: str = option(
        "euler",
        f"One of {', '.join(SAMPLING_METHODS)}.",
        flags="--sampling-method",
        group="Sampling",
        metavar="NAME",
        choices=SAMPLING_METHODS,
        text="Sampler",
        text_names=SAMPLERS_OF_WEB_UIS,
        always=True,
        preset=True,
        binding="sample_method",
    )
    scheduler: str = option(
        "default",
        f"One of {', '.join(SCHEDULERS)}. For Flux models, the default is flux.",
        flags="--scheduler",
        group="Sampling",
        metavar="NAME",
        choices=SCHEDULERS,
        text="Schedule type",
        text_names=SCHEDULES_OF_WEB_UIS,
        preset=True,
    )
    seed: int = option(
        42,
        "Seed of the noise; negative: a random seed.",
        flags="-s --seed",
        low=-MAX_SEED - 1,
        high=MAX_SEED,
        evaluate=False,
        batch=False,
    )
    batch_count: int = option(
        1,
        "Number of pictures; each has the next seed.",
        flags="-b --batch-count",
        low=1,
        high=MAX_BATCH,
        evaluate=False,
        batch=False,
    )
    eta: float | None = option(
        None,
        "Noise multiplier; default: the sampling method's own.",
        flags="--eta",
        group="Sampling",
        low=0,
        high=1000,
        text="Eta",
    )
    clip_skip: int = option(
        -1,
        "Number of last CLIP layers to skip.",
        flags="--clip-skip",
        group="Sampling",
        low=-1,
        high=12,
        text="Clip skip",
    )
    sigmas: Sequence[float] = option(
        (),
        "Noise levels, in place of a scheduler.",
        flags="--sigmas",
        group="Sampling",
        low=0,
        high=1e6,
        text="Sigmas",
    )
    flow_shift: float | None = option(
        None,
        "Shift of the schedule (mu); default: the model's own; with flux, it depends on the "
        "picture's size.",
        flags="--flow-shift",
        group="Sampling",
        low=0,
        high=1000,
        text="Flow shift",
        preset=True,
    )
    slg_scale: float = same_as(LayerGuidanceOptions, "slg_scale")
    skip_layers: Sequence[int] = same_as(LayerGuidanceOptions, "skip_layers")
    skip_layer_start: float = same_as(LayerGuidanceOptions, "skip_layer_start")
    skip_layer_end: float = same_as(LayerGuidanceOptions, "skip_layer_end")
    id_mode: str | None = same_as(IdentityModeOptions, "id_mode")
    id_projection: str | None = same_as(IdentityModeOptions, "id_projection")
    id_zeros: int | None = same_as(IdentityModeOptions, "id_zeros")
    init_image: FilePath | bytes | BinaryIO | Image.Image | None = option(
        None,
        "Start from this picture.",
        flags="-i --init-img",
        memory=True,
        evaluate=False,
    )
    strength: float = option(
        0.75,
        "How much of --init-img to replace, 0 to 1.",
        flags="--strength",
        low=0,
        high=1,
        evaluate=False,
    )
    mask_image: FilePath | bytes | BinaryIO | Image.Image | None = option(
        None, "Mask for --init-img: white where it may change.", flags="--mask", evaluate=False
    )
    ref_images: Sequence[FilePath | bytes | BinaryIO | Image.Image] = option(
        (),
        "Reference picture for Kontext models; may be repeated.",
        flags="-r --ref-image",
        memory=True,
        evaluate=False,
    )
    auto_resize_ref_image: bool = option(
        True,
        "Do not resize reference pictures.",
        flags="--disable-auto-resize-ref-image",
        text="Resize ref image",
        memory=True,
        evaluate=False,
    )
    increase_ref_index: bool = option(
        False,
        "Give each reference picture an index of its own.",
        flags="--increase-ref-index",
        text="Increase ref index",
        evaluate=False,
    )
    control_image: FilePath | bytes | BinaryIO | Image.Image | None = same_as(
        ControlOptions, "control_image"
    )
    canny: bool = same_as(ControlOptions, "canny")
    vae_tiling: bool = same_as(TilingOptions, "vae_tiling")
    vae_tile_size: tuple[int, int] = same_as(TilingOptions, "vae_tile_size")
    vae_tile_overlap: float = same_as(TilingOptions, "vae_tile_overlap")
    vae_relative_tile_size: tuple[float, float] = same_as(TilingOptions, "vae_relative_tile_size")
    cache_mode: str = option(
        "disabled",
        "Reuse results of earlier steps: faster, but changes the picture. One of "
        f"{', '.join(CACHE_MODES)}.",
        flags="--cache-mode",
        group="Sampling",
        metavar="NAME",
        choices=CACHE_MODES,
        checked=False,
        text="Cache mode",
        evaluate=False,
    )
    cache_option: str = option(
        "",
        "Settings of --cache-mode, such as threshold=0.2,start=0.15,end=0.95; see "
        "docs/combinations.md.",
        flags="--cache-option",
        group="Sampling",
        metavar="NAME=VALUE,...",
        checked=False,
        text="Cache option",
        evaluate=False,
    )
    upscale_repeats: int = same_as(UpscaleOptions, "upscale_repeats")
    hires: bool = same_as(SecondPassOptions, "hires")
    hires_upscaler: str = same_as(SecondPassOptions, "hires_upscaler")
    hires_scale: float = same_as(SecondPassOptions, "hires_scale")
    hires_width: int = same_as(SecondPassOptions, "hires_width")
    hires_height: int = same_as(SecondPassOptions, "hires_height")
    hires_steps: int = same_as(SecondPassOptions, "hires_steps")
    hires_denoising_strength: float = same_as(SecondPassOptions, "hires_denoising_strength")
    hires_upscale_tile_size: int = same_as(SecondPassOptions, "hires_upscale_tile_size")

    loras: Sequence[FilePath] = same_as(LoraOptions, "loras")
    lora_files: Sequence[tuple[str, FilePath]] = ()

    def __post_init__(self) -> None:
        check_prompt("prompt", self.prompt)
        check_prompt("negative_prompt", self.negative_prompt)
        check(self)
        if self.seed + self.batch_count - 1 > MAX_SEED:
            raise option_error(
                f"{named('seed')} is {self.seed} and {named('batch_count')} {self.batch_count}: "
                f"the last seed would be "
                f"above {MAX_SEED}"
            )
        if self.sampling_method == "tcd" and self.eta is not None and self.eta > 1:
            raise option_error(
                f"{named('eta')} is {self.eta:g}, but with the tcd method it may be 1 at most"
            )
        check_sigmas(self.sigmas, MAX_STEPS)
        if not self.sigmas:
            check_schedule_steps(self.scheduler, self.steps)
        self._check_second_pass()
        if self.mask_image is not None and self.init_image is None:
            raise option_error(
                f"{named('mask_image')} is given without {named('init_image')}; name the picture "
                "it masks"
            )
        for side in self.vae_tile_size:
            if 0 < side < 8:
                raise option_error(
                    f"{named('vae_tile_size')} is {side}, but must be 0 or from 8 to 512"
                )
        if self.canny and self.control_image is None:
            raise option_error(f"{named('canny')} is given without {named('control_image')}")
        check_cache(self.cache_mode, self.cache_option)
        check_layer_guidance(
            *(self.slg_scale, self.skip_layers, self.skip_layer_start, self.skip_layer_end),
            cache_mode=self.cache_mode,
            steps=self.evaluated_steps,
        )

    def __repr__(self) -> str:
        return described(self)

    def _check_second_pass(self) -> None:
        check_text("hires_upscaler", self.hires_upscaler, 1000)
        if not self.hires_upscaler.strip():
            raise option_error(f"{named('hires_upscaler')} is empty; name one, such as Latent")
        if not self.hires or self.hires_upscaler == "None":
            for name, fact in of(SecondPassOptions).items():  # they mean nothing without it
                object.__setattr__(self, name, fact.default)
            return
        _ = self.second_size  # checks it
        check_schedule_steps(self.scheduler, self.second_steps.total, second_pass=True)

    def with_fixed_seed(self) -> GenerationOptions:
        """These options, with a negative seed replaced by a random one below 2^32."""
        return self if self.seed >= 0 else with_checked(self, seed=secrets.randbelow(2**32))

    def with_named_scheduler(self, default: str) -> GenerationOptions:
        """These options, with the scheduler "default" replaced by its name if it is needed."""
        is_open = self.scheduler == "default" and not self.sigmas
        return with_checked(self, scheduler=default) if is_open else self

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each picture; needs a fixed seed."""
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, which is random; call with_fixed_seed() first")
        return tuple(self.seed + index for index in range(self.batch_count))

    @property
    def evaluated_steps(self) -> int:
        """How many steps are made: fewer than `steps` with a start picture.

        Source: stable-diffusion.cpp, SamplePlan::resolve, prepare_image_generation_latents.
        """
        total = len(self.sigmas) - 1 if self.sigmas else self.steps
        steps = min(self.steps, total)
        if self.init_image is None or self.strength >= 1:
            return total
        # The engine multiplies in single precision.
        product = ctypes.c_float(steps * ctypes.c_float(self.strength).value).value
        return total - steps + 1 + min(int(product), steps - 1)

    @property
    def second_size(self) -> tuple[int, int] | None:
        """Width and height of the second pass, in pixels; None if there is none."""
        if not self.hires:
            return None
        size = (self.width, self.height)
        return second_pass_size(size, self.hires_scale, self.hires_width, self.hires_height)

    @property
    def second_steps(self) -> SecondPassSteps:
        """Steps of the second pass.

        Source: stable-diffusion.cpp, SamplePlan::resolve, generate_image.
        """
        is_shortened = self.init_image is not None and self.strength < 1
        first = self.evaluated_steps if is_shortened else self.steps
        if self.sigmas and not is_shortened:
            first = min(self.steps, self.evaluated_steps)
        return second_pass_steps(self.hires_steps or first, self.hires_denoising_strength)

    @property
    def made_size(self) -> tuple[int, int]:
        """Width and height of the last pass, in pixels."""
        return self.second_size or (self.width, self.height)

    def to_engine_kwargs(self) -> dict[str, Any]:
        """The keyword arguments of `generate_image`, under the binding's names."""
        kwargs = to_binding(self)
        not_the_binding_s = ("cache_option", "upscale_repeats", "loras", *of(IdentityModeOptions))
        for name in not_the_binding_s:
            del kwargs[name]
        kwargs |= cache_arguments(self.cache_mode, self.cache_option, self.sampling_method)
        return kwargs


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
    of(GenerationOptions)[name].check(value)
