"""The options of `generate`: sd-cli's own flags for Flux, and those of the identity.

Source of names and meanings: stable-diffusion.cpp, examples/cli and examples/common.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import click

from ...options.context import LORA_APPLY_MODES, RNG_TYPES, WEIGHT_TYPES, ContextOptions
from ...options.generation import SAMPLING_METHODS, SCHEDULERS, GenerationOptions
from ...options.step_cache import CACHE_MODES
from .output import OUTPUT_OPTIONS
from .person import PERSON_OPTIONS
from .table import FILE_PATH as _PATH
from .table import dataclass_option, grouped_option
from .types import Numbers, Pair, Vram

__all__ = ["generate_options", "plan_options", "some_options"]

_RNG = "|".join(RNG_TYPES)  # click would show the names with - for _


def _vram(default: str | None, help: str) -> Any:
    return grouped_option("vram", "--vram", heading="Memory and speed", type=Vram(),
                          metavar="GiB|auto", default=default, show_default=bool(default),
                          help=help)  # fmt: skip


def _context(field: str, *flags: str, heading: str, help: str, **kwargs: Any) -> Any:
    return dataclass_option(ContextOptions, field, *flags, heading=heading, help=help, **kwargs)


def _picture(field: str, *flags: str, heading: str, help: str, **kwargs: Any) -> Any:
    return dataclass_option(GenerationOptions, field, *flags, heading=heading, help=help, **kwargs)


_FILES = [
    grouped_option("preset", "--preset", heading="Model files", metavar="NAME",
                   help="Files and settings that belong together, as flux-schnell-q4; flags given "
                        "beside it override it. 'pulid-sdcpp models list' shows all, 'models pull "
                        "NAME' downloads one."),
    grouped_option("pull", "--pull", heading="Model files", is_flag=True,
                   help="Download what the preset lacks, as 'models pull' does: sizes and licenses "
                        "are shown, and you are asked."),
    grouped_option("models_dirs", "--models-dir", heading="Model files", type=_PATH,
                   multiple=True, help="Folder where the files of --preset are looked for, too, as "
                   "ComfyUI's models; may be repeated."),
    _context("diffusion_model_path", "--diffusion-model", heading="Model files", type=_PATH,
             help="Flux weights (.gguf, .safetensors)."),
    _context("model_path", "-m", "--model", heading="Model files", type=_PATH,
             help="A full checkpoint, instead of the separate files."),
    _context("vae_path", "--vae", heading="Model files", type=_PATH, help="The autoencoder."),
    _context("taesd_path", "--tae", "--taesd", heading="Model files", type=_PATH,
             help="A tiny autoencoder (TAEF1): faster decoding, less detail."),
    _context("clip_l_path", "--clip_l", heading="Model files", type=_PATH,
             help="The CLIP-L text encoder."),
    _context("t5xxl_path", "--t5xxl", heading="Model files", type=_PATH,
             help="The T5-XXL text encoder."),
    _context("lora_model_dir", "--lora-model-dir", heading="Model files", type=_PATH,
             help="Where <lora:NAME:WEIGHT> in the prompt is looked for."),
    _context("wtype", "--type", heading="Model files",
             type=click.Choice(WEIGHT_TYPES, case_sensitive=False), metavar="TYPE",
             help=f"Convert the weights while loading: {', '.join(WEIGHT_TYPES)}."),
    _context("tensor_type_rules", "--tensor-type-rules", heading="Model files",
             metavar="PATTERN=TYPE,...", help="Weight types by tensor name, as ^vae\\.=f16."),
]  # fmt: skip

_PICTURE = [
    _picture("prompt", "-p", "--prompt", heading="Picture", required=False,
             help="What to show; needed unless --from names a picture."),
    grouped_option("from_picture", "--from", heading="Picture", type=_PATH, metavar="PNG",
                   help="Make this picture again, from the parameters in it; flags given beside it "
                        "change them."),
    _picture("negative_prompt", "-n", "--negative-prompt", heading="Picture",
             help="What not to show; works only when --cfg-scale is not 1."),
    _picture("width", "-W", "--width", heading="Picture",
             help="Pixels, a multiple of 16; not given: as --init-img."),
    _picture("height", "-H", "--height", heading="Picture", help="As --width."),
    _picture("seed", "-s", "--seed", heading="Picture", help="Negative for a random one."),
    _picture("batch_count", "-b", "--batch-count", heading="Picture",
             help="Pictures, with seeds counting up."),
    _picture("init_image", "-i", "--init-img", heading="Picture", type=_PATH,
             help="Start from this picture."),
    _picture("strength", "--strength", heading="Picture",
             help="How much of --init-img to replace, 0 to 1."),
    _picture("mask_image", "--mask", heading="Picture", type=_PATH,
             help="White where --init-img may change."),
    _picture("ref_images", "-r", "--ref-image", heading="Picture", type=_PATH, multiple=True,
             help="Reference picture for Kontext models; may be repeated."),
    _picture("increase_ref_index", "--increase-ref-index", heading="Picture",
             help="Number the reference pictures."),
    _picture("auto_resize_ref_image", "--disable-auto-resize-ref-image", heading="Picture",
             help="Keep the reference pictures' sizes."),
]  # fmt: skip

_SAMPLING = [
    _picture("steps", "--steps", heading="Sampling",
             help="Model evaluations; 4 for schnell, 20 to 28 for dev."),
    _picture("cfg_scale", "--cfg-scale", heading="Sampling",
             help="True CFG; 1 is off, more costs two evaluations a step. (sd-cli's default is 7, "
                  "which distilled Flux models are not made for.)"),
    _picture("guidance", "--guidance", heading="Sampling",
             help="Distilled guidance, for dev models."),
    _picture("sampling_method", "--sampling-method", heading="Sampling", metavar="NAME",
             type=click.Choice(SAMPLING_METHODS), help=f"One of {', '.join(SAMPLING_METHODS)}."),
    _picture("scheduler", "--scheduler", heading="Sampling", metavar="NAME",
             type=click.Choice(SCHEDULERS),
             help=f"One of {', '.join(SCHEDULERS)}. The default is flux for Flux models, their "
                  "own."),
    _picture("sigmas", "--sigmas", heading="Sampling", type=Numbers(),
             help="Noise levels, instead of a scheduler."),
    _picture("eta", "--eta", heading="Sampling", type=float,
             help="Noise multiplier; not given: the sampling method's own."),
    _picture("flow_shift", "--flow-shift", heading="Sampling", type=float,
             help="Shift of the schedule (mu); not given: the model's own, of flux that of the "
                  "picture's size."),
    _picture("clip_skip", "--clip-skip", heading="Sampling", help="Last CLIP layers to leave out."),
    _picture("cache_mode", "--cache-mode", heading="Sampling", metavar="NAME",
             help="Answer some steps from earlier ones: faster, and another picture. One of "
                  f"{', '.join(CACHE_MODES)}."),
    _picture("cache_option", "--cache-option", heading="Sampling", metavar="NAME=VALUE,...",
             help="How the cache is set, as threshold=0.2,start=0.15,end=0.95; see "
                  "docs/combinations.md."),
    _context("rng_type", "--rng", heading="Sampling", type=click.Choice(RNG_TYPES), metavar=_RNG,
             help="Noise generator: cuda as the web UIs, cpu as ComfyUI."),
    _context("sampler_rng_type", "--sampler-rng", heading="Sampling",
             type=click.Choice(RNG_TYPES), metavar=_RNG,
             help="The sampler's own; not given: as --rng."),
]  # fmt: skip

_VRAM = _vram(
    None,
    "Fit into so much of the card's memory, or into what is free: the flags below "
    "that do it with the least loss of time are set; see 'pulid-sdcpp plan'.",
)

_MEMORY = [
    _context("n_threads", "-t", "--threads", heading="Memory and speed",
             help="CPU threads; 0 or less: as many as the cores this process may use. On a "
                  "computer that is busy with other things, fewer are faster."),
    _context("backend", "--backend", heading="Memory and speed", metavar="PLACES",
             help="Where to compute, as vulkan0 or diffusion=vulkan0,vae=cpu; "
                  "'pulid-sdcpp doctor' lists the devices."),
    _context("offload_params_to_cpu", "--offload-to-cpu", heading="Memory and speed",
             help="Keep weights in RAM, move them to the card when needed."),
    _context("max_vram", "--max-vram", heading="Memory and speed",
             help="Compute in segments within this many GiB; 0: in one piece."),
    _context("keep_clip_on_cpu", "--clip-on-cpu", heading="Memory and speed",
             help="Text encoders on the CPU."),
    _context("keep_vae_on_cpu", "--vae-on-cpu", heading="Memory and speed",
             help="Autoencoder on the CPU."),
    _context("enable_mmap", "--mmap", heading="Memory and speed", help="Memory-map the weights."),
    _context("flash_attn", "--fa", heading="Memory and speed", help="Flash attention everywhere."),
    _context("diffusion_flash_attn", "--diffusion-fa/--no-diffusion-fa",
             heading="Memory and speed",
             help="Flash attention in the diffusion model: less memory, and faster."),
    _context("repack", "--no-repack", heading="Memory and speed",
             help="Keep the CPU's own, faster layouts of quantized weights out of use."),
    _context("diffusion_conv_direct", "--diffusion-conv-direct", heading="Memory and speed",
             help="Direct convolutions in the diffusion model."),
    _context("vae_conv_direct", "--vae-conv-direct", heading="Memory and speed",
             help="Direct convolutions in the autoencoder."),
    _context("lora_apply_mode", "--lora-apply-mode", heading="Memory and speed",
             type=click.Choice(LORA_APPLY_MODES), metavar="|".join(LORA_APPLY_MODES),
             help="When LoRA is added to the weights."),
    _picture("vae_tiling", "--vae-tiling", heading="Memory and speed",
             help="Decode in tiles: less memory."),
    _picture("vae_tile_size", "--vae-tile-size", heading="Memory and speed",
             type=Pair(int), metavar="XxY", show_default="the engine's",
             help="In latent pixels of 8."),
    _picture("vae_relative_tile_size", "--vae-relative-tile-size", heading="Memory and speed",
             type=Pair(float), metavar="XxY", show_default="not used",
             help="Parts of the picture below 1, tiles from 1 on."),
    _picture("vae_tile_overlap", "--vae-tile-overlap", heading="Memory and speed",
             help="Part of a tile, 0 to 0.5."),
    _context("circular_x", "--circularx", heading="Memory and speed",
             help="Tileable left to right."),
    _context("circular_y", "--circulary", heading="Memory and speed",
             help="Tileable top to bottom."),
]  # fmt: skip

_OPTIONS = [
    *(*_FILES, *PERSON_OPTIONS, *_PICTURE, *_SAMPLING),
    *(_VRAM, *_MEMORY, *OUTPUT_OPTIONS),
]


def generate_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `command` every option of `generate`; parameters are named after their fields."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


# Those of the options of `generate` that memory depends on.
_PLAN_FIELDS = {
    "preset", "models_dirs",
    "diffusion_model_path", "model_path", "vae_path", "taesd_path", "clip_l_path", "t5xxl_path",
    "wtype", "tensor_type_rules", "pulid_weights", "pulid_dtype", "negative_prompt", "width",
    "height", "init_image", "ref_images", "auto_resize_ref_image", "cfg_scale", "backend",
    "offload_params_to_cpu", "keep_clip_on_cpu", "keep_vae_on_cpu", "flash_attn",
    "diffusion_flash_attn", "vae_conv_direct", "vae_tiling", "vae_tile_size",
    "vae_relative_tile_size", "vae_tile_overlap",
}  # fmt: skip


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `command` the options of `generate` that memory depends on, and `--vram`."""
    prompt = grouped_option("prompt", "-p", "--prompt", heading="Picture", default="",
                            help="Its length matters, from about 150 words on.")  # fmt: skip
    vram = _vram("auto", "What may be used of the card; auto: what is free now.")
    return some_options(_PLAN_FIELDS)(prompt(vram(command)))


def some_options(fields: Collection[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that gives a command those options of `generate` that have these names."""
    holder = click.Command("generate")
    for option in _OPTIONS:
        option(holder)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = vars(command).setdefault("__click_params__", [])  # from the last to the first
        own += [option for option in reversed(holder.params) if option.name in fields]
        return command

    return decorate
