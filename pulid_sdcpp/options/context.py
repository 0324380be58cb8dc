"""Options for loading a model into the engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import named, option_error
from ..terminal_text import quoted
from .binding import to_binding
from .checks import FilePath
from .facts import check, option
from .name_pattern import NamePattern
from .processor_cores import MAX_THREADS, thread_count
from .second_pass import MAX_TILE_PX, MIN_TILE_PX

__all__ = ["LORA_APPLY_MODES", "PULID_DTYPES", "RNG_TYPES", "WEIGHT_TYPES", "ContextOptions"]

RNG_TYPES = ("std_default", "cuda", "cpu")
PULID_DTYPES = ("f16", "q8_0", "f32")
LORA_APPLY_MODES = ("auto", "immediately", "at_runtime")
# Types that ggml converts to without an importance matrix; asking for another aborts it.
WEIGHT_TYPES = (
    "default",
    "f32",
    "f16",
    "bf16",
    "q4_0",
    "q4_1",
    "q5_0",
    "q5_1",
    "q8_0",
    "q2_K",
    "q3_K",
    "q4_K",
    "q5_K",
    "q6_K",
    "iq4_nl",
    "iq4_xs",
)

_BINDING_RNG = {"std_default": "default"}


@dataclass(frozen=True)
class ContextOptions:
    """Options for loading a model.

    Args:
        diffusion_model_path: Flux weights alone (.gguf, .safetensors).
        model_path: A full checkpoint, instead of the separate files.
        vae_path: The autoencoder.
        taesd_path: A tiny autoencoder (TAEF1) to decode with instead.
        tae_preview_only: Decode only previews with it, and pictures with `vae_path`.
        clip_l_path, t5xxl_path: The text encoders; at least one.
        clip_g_path: SDXL's second text encoder, beside clip_l_path.
        pulid_weights: PuLID-Flux weights; without them no identity can be applied.
        pulid_dtype: Type of an identity in memory, one of PULID_DTYPES.
        lora_model_dir: Folder of the LoRAs that a prompt names (`<lora:NAME:WEIGHT>`).
        upscaler_path: An ESRGAN, which enlarges each finished picture; None: none.
        upscale_tile_size: Side of its tiles in pixels, before it enlarges.
        hires_upscalers_dir: Folder of the ESRGANs that `GenerationOptions.hires_upscaler` names.
        tensor_type_rules: "pattern=type,..." with weight types per tensor name; at most 2,048
            characters of simple regular expressions (docs/convert.md).
        n_threads: CPU threads; 0 or less: one for each core that this process may use.
        wtype: Weight type to convert to while loading, one of WEIGHT_TYPES.
        rng_type, sampler_rng_type: Noise generators, of RNG_TYPES; None: the same as rng_type.
        lora_apply_mode: One of LORA_APPLY_MODES.
        backend: Devices, for example "diffusion=vulkan0,vae=cpu"; "": the engine's choice.
        max_vram: Compute in segments that fit into this many GiB; 0: no segments.
        diffusion_flash_attn: Flash attention, if the device has it: faster, with less memory.
        repack: Use the CPU's own, faster layouts of quantized matrices.
        vae_decode_only: Load only the autoencoder's decoder; then no picture can be started from.

    Raises:
        ValueError: A value that the engine cannot use.
    """

    diffusion_model_path: FilePath | None = option(
        None,
        "Flux weights (.gguf, .safetensors).",
        flags="--diffusion-model",
        group="Model files",
        text="Model",
        role="diffusion_model",
        memory=True,
    )
    model_path: FilePath | None = option(
        None,
        "A full checkpoint, instead of the separate files.",
        flags="-m --model",
        group="Model files",
        role="checkpoint",
        memory=True,
    )
    vae_path: FilePath | None = option(
        None,
        "The autoencoder.",
        flags="--vae",
        group="Model files",
        text="VAE",
        role="vae",
        memory=True,
    )
    taesd_path: FilePath | None = option(
        None,
        "A tiny autoencoder (TAEF1): faster decoding, less detail.",
        flags="--tae --taesd",
        group="Model files",
        text="TAESD",
        role="taesd",
        memory=True,
    )
    tae_preview_only: bool = option(
        False,
        "Use --tae for previews only, and decode the picture with --vae.",
        flags="--taesd-preview-only",
        group="Model files",
        memory=True,
    )
    clip_l_path: FilePath | None = option(
        None,
        "The CLIP-L text encoder.",
        flags="--clip_l",
        group="Model files",
        text="CLIP-L",
        role="clip_l",
        memory=True,
    )
    clip_g_path: FilePath | None = option(
        None,
        "The CLIP-G text encoder, of SDXL.",
        flags="--clip_g",
        group="Model files",
        text="CLIP-G",
        role="clip_g",
        memory=True,
    )
    t5xxl_path: FilePath | None = option(
        None,
        "The T5-XXL text encoder.",
        flags="--t5xxl",
        group="Model files",
        text="T5XXL",
        role="t5xxl",
        memory=True,
    )
    pulid_weights: FilePath | None = option(
        None,
        "PuLID-Flux weights (pulid_flux_v0.9.1.safetensors).",
        flags="--pulid-weights",
        group="Identity",
        text="PuLID weights",
        role="pulid",
        memory=True,
    )
    pulid_dtype: str = option(
        "f16",
        "Type of an identity in memory: for Flux, f16 takes 126 MB and q8_0 67 MB.",
        flags="--pulid-dtype",
        group="Identity",
        choices=PULID_DTYPES,
        text="PuLID type",
        memory=True,
    )
    lora_model_dir: FilePath | None = option(
        Path("."),
        "Folder of the LoRAs that the prompt names as <lora:NAME:WEIGHT>.",
        flags="--lora-model-dir",
        group="Model files",
        role="loras",
        places=True,
    )
    upscaler_path: FilePath | None = option(
        None,
        "A model (ESRGAN) that enlarges each finished picture.",
        flags="--upscale-model",
        group="Model files",
        text="Upscaler",
        memory=True,
        evaluate=False,
    )
    upscale_tile_size: int = option(
        128,
        "Tile of --upscale-model in pixels; smaller ones take less memory.",
        flags="--upscale-tile-size",
        group="Memory and speed",
        low=MIN_TILE_PX,
        high=MAX_TILE_PX,
        text="Upscale tile size",
        memory=True,
        evaluate=False,
    )
    hires_upscalers_dir: FilePath | None = option(
        Path("."),
        "Folder of the models (ESRGAN) that --hires-upscaler names.",
        flags="--hires-upscalers-dir",
        group="Model files",
        places=True,
        memory=True,
        evaluate=False,
    )
    tensor_type_rules: str = option(
        "",
        "Weight types by tensor name, such as ^vae\\.=f16.",
        flags="--tensor-type-rules",
        group="Model files",
        metavar="PATTERN=TYPE,...",
        max_chars=2048,
        text="Tensor type rules",
        memory=True,
    )
    n_threads: int = option(
        -1,
        "CPU threads; 0 or less: one for each core that this process may use. Use fewer if other "
        "programs keep the computer busy.",
        flags="-t --threads",
        group="Memory and speed",
        high=MAX_THREADS,
        places=True,
    )
    wtype: str = option(
        "default",
        f"Convert the weights while loading: {', '.join(WEIGHT_TYPES)}.",
        flags="--type",
        group="Model files",
        metavar="TYPE",
        choices=WEIGHT_TYPES,
        text="Weight type",
        memory=True,
    )
    rng_type: str = option(
        "cuda",
        "Noise generator: cuda as in the web UIs, cpu as in ComfyUI.",
        flags="--rng",
        group="Sampling",
        choices=RNG_TYPES,
        text="RNG",
        binding_names=_BINDING_RNG,
    )
    sampler_rng_type: str | None = option(
        None,
        "Noise generator of the sampler; default: as --rng.",
        flags="--sampler-rng",
        group="Sampling",
        choices=RNG_TYPES,
        text="Sampler RNG",
        binding_names=_BINDING_RNG,
    )
    lora_apply_mode: str = option(
        "auto",
        "When LoRAs are added to the weights.",
        flags="--lora-apply-mode",
        group="Model files",
        choices=LORA_APPLY_MODES,
        text="LoRA apply mode",
    )
    backend: str = option(
        "",
        "Devices to compute on, such as vulkan0 or diffusion=vulkan0,vae=cpu; 'pulid-sdcpp "
        "doctor' lists them.",
        flags="--backend",
        group="Memory and speed",
        metavar="PLACES",
        max_chars=1000,
        text="Backend",
        memory=True,
    )
    max_vram: float = option(
        0.0,
        "Compute in segments that fit into this many GiB; 0: no segments.",
        flags="--max-vram",
        group="Memory and speed",
        low=0,
        high=4096,
        places=True,
    )
    offload_params_to_cpu: bool = option(
        False,
        "Keep weights in RAM, and move them to the graphics card when needed.",
        flags="--offload-to-cpu",
        group="Memory and speed",
        memory=True,
        places=True,
    )
    enable_mmap: bool = option(
        False,
        "Memory-map the weights.",
        flags="--mmap",
        group="Memory and speed",
        places=True,
    )
    repack: bool = option(
        True,
        "Do not use the CPU's own, faster layouts of quantized weights.",
        flags="--no-repack",
        group="Memory and speed",
        text="Repacked",
        places=True,
    )
    keep_clip_on_cpu: bool = option(
        False,
        "Run the text encoders on the CPU.",
        flags="--clip-on-cpu",
        group="Memory and speed",
        text="CLIP on CPU",
        memory=True,
        places=True,
    )
    keep_vae_on_cpu: bool = option(
        False,
        "Run the autoencoder on the CPU.",
        flags="--vae-on-cpu",
        group="Memory and speed",
        text="VAE on CPU",
        memory=True,
        places=True,
    )
    vae_decode_only: bool = option(
        False,
        "Load only the autoencoder's decoder; then no picture can be started from.",
        group="Memory and speed",
        places=True,
    )
    flash_attn: bool = option(
        False,
        "Use flash attention everywhere.",
        flags="--fa",
        group="Memory and speed",
        text="Flash attention",
        memory=True,
    )
    diffusion_flash_attn: bool = option(
        True,
        "Flash attention in the diffusion model: faster, with less memory.",
        flags="--diffusion-fa/--no-diffusion-fa",
        group="Memory and speed",
        text="Diffusion flash attention",
        memory=True,
    )
    diffusion_conv_direct: bool = option(
        False,
        "Use direct convolutions in the diffusion model.",
        flags="--diffusion-conv-direct",
        group="Memory and speed",
        text="Diffusion conv direct",
    )
    vae_conv_direct: bool = option(
        False,
        "Use direct convolutions in the autoencoder.",
        flags="--vae-conv-direct",
        group="Memory and speed",
        text="VAE conv direct",
        memory=True,
    )
    circular_x: bool = option(
        False,
        "Make the picture tileable from left to right.",
        flags="--circularx",
        group="Picture",
        text="Circular x",
    )
    circular_y: bool = option(
        False,
        "Make the picture tileable from top to bottom.",
        flags="--circulary",
        group="Picture",
        text="Circular y",
    )
    verbose: bool = option(
        False,
        "Show the engine's log.",
        flags="-v --verbose",
        group="Output",
        places=True,
    )

    def __post_init__(self) -> None:
        check(self)
        if self.diffusion_model_path is None and self.model_path is None:
            raise option_error(
                f"no Flux model is given; name a {named('preset')}, or "
                f"{named('diffusion_model_path')}"
            )
        if self.model_path is None:
            if self.clip_l_path is None and self.t5xxl_path is None:
                raise option_error(
                    f"no text encoder is given; name {named('clip_l_path')} or "
                    f"{named('t5xxl_path')}"
                )
            if self.vae_path is None and self.taesd_path is None:
                raise option_error(
                    f"no autoencoder is given; name {named('vae_path')} or {named('taesd_path')}"
                )
        if self.tae_preview_only:
            _check_preview_only(self)
        _type_rules(self.tensor_type_rules)

    @property
    def decodes_tiny(self) -> bool:
        """Whether the tiny autoencoder decodes the pictures."""
        return self.taesd_path is not None and not self.tae_preview_only

    @property
    def threads(self) -> int:
        """Number of threads that compute on the CPU."""
        return thread_count(self.n_threads)

    def to_engine_kwargs(self) -> dict[str, Any]:
        """The keyword arguments of `pulid_sdcpp.StableDiffusion`."""
        kwargs = to_binding(self)
        kwargs["pulid_weights"] = kwargs["pulid_weights"] or None
        kwargs["sampler_rng_type"] = kwargs["sampler_rng_type"] or kwargs["rng_type"]
        return kwargs


def _check_preview_only(options: ContextOptions) -> None:
    if options.taesd_path is None:
        raise option_error(
            f"{named('tae_preview_only')} is given, but no tiny autoencoder; name "
            f"{named('taesd_path')}"
        )
    if options.vae_path is None and options.model_path is None:
        raise option_error(
            f"{named('tae_preview_only')} is given, but nothing that decodes the picture; name "
            f"{named('vae_path')}"
        )


def _type_rules(rules: str) -> None:
    for rule in filter(None, rules.split(",")):
        pattern, equals, wtype = rule.partition("=")
        shown = quoted(rule)
        if not equals or wtype not in WEIGHT_TYPES[1:]:
            raise option_error(
                f"{named('tensor_type_rules')} has {shown}, but must have PATTERN=TYPE with a "
                f"type of "
                f"{', '.join(WEIGHT_TYPES[1:])}"
            )
        try:
            NamePattern(pattern)
        except ValueError as error:
            raise option_error(
                f"{named('tensor_type_rules')} has {shown}, whose pattern is not a regular "
                f"expression that "
                f"rules may have: {error}"
            ) from None
