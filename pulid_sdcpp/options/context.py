"""The options of the engine: what a model is loaded with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..terminal_text import quoted
from .checks import FilePath, check_choice, check_number, check_path, check_text, check_whole
from .name_pattern import NamePattern
from .processor_cores import MAX_THREADS, thread_count

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

_MAX_RULES_CHARS = 2048


@dataclass(frozen=True)
class ContextOptions:
    """What is given when the engine is created.

    Args:
        diffusion_model_path: Flux weights alone (.gguf, .safetensors).
        model_path: A full checkpoint, instead of the separate files.
        vae_path: The autoencoder.
        taesd_path: A tiny autoencoder (TAEF1) to decode with instead.
        clip_l_path, t5xxl_path: The text encoders; at least one.
        pulid_weights: PuLID-Flux weights; without them no identity can be applied.
        pulid_dtype: How an identity is kept in memory, one of PULID_DTYPES.
        lora_model_dir: Where `<lora:NAME:WEIGHT>` or `<lora:NAME>` in a prompt is looked for.
        tensor_type_rules: "pattern=type,..." with weight types per tensor name; at most 2,048
            characters of simple regular expressions (docs/convert.md).
        n_threads: CPU threads; 0 or less: as many as the cores this process may use.
        wtype: Weight type to convert to while loading, one of WEIGHT_TYPES.
        rng_type, sampler_rng_type: Noise generators, of RNG_TYPES; None: the same as rng_type.
        lora_apply_mode: One of LORA_APPLY_MODES.
        backend: Where to compute, for example "diffusion=vulkan0,vae=cpu"; "": the engine's choice.
        max_vram: Budget in GiB for graph-cut execution; 0 switches it off.
        diffusion_flash_attn: Where the device has it: less memory, and faster.
        repack: Keep quantized matrices that the CPU computes with in its own, faster layouts.
        vae_decode_only: Leave the autoencoder's encoder out; no pictures to start from then.

    Raises:
        ValueError: A value that the engine cannot work with.
    """

    diffusion_model_path: FilePath | None = None
    model_path: FilePath | None = None
    vae_path: FilePath | None = None
    taesd_path: FilePath | None = None
    clip_l_path: FilePath | None = None
    t5xxl_path: FilePath | None = None
    pulid_weights: FilePath | None = None
    pulid_dtype: str = "f16"
    lora_model_dir: FilePath | None = Path(".")
    tensor_type_rules: str = ""
    n_threads: int = -1
    wtype: str = "default"
    rng_type: str = "cuda"
    sampler_rng_type: str | None = None
    lora_apply_mode: str = "auto"
    backend: str = ""
    max_vram: float = 0.0
    offload_params_to_cpu: bool = False
    enable_mmap: bool = False
    repack: bool = True
    keep_clip_on_cpu: bool = False
    keep_vae_on_cpu: bool = False
    vae_decode_only: bool = False
    flash_attn: bool = False
    diffusion_flash_attn: bool = True
    diffusion_conv_direct: bool = False
    vae_conv_direct: bool = False
    circular_x: bool = False
    circular_y: bool = False
    verbose: bool = False

    def __post_init__(self) -> None:
        for name in _CONTEXT_PATHS:
            check_path(name, getattr(self, name))
        if self.diffusion_model_path is None and self.model_path is None:
            raise ValueError("no Flux model given; name diffusion_model_path (--diffusion-model)")
        if self.model_path is None:
            if self.clip_l_path is None and self.t5xxl_path is None:
                raise ValueError("no text encoder given; name clip_l_path (--clip_l) or t5xxl_path")
            if self.vae_path is None and self.taesd_path is None:
                raise ValueError("no autoencoder given; name vae_path (--vae) or taesd_path")
        check_whole("n_threads", self.n_threads, -(2**31), MAX_THREADS)
        check_choice("wtype", self.wtype, WEIGHT_TYPES)
        check_choice("pulid_dtype", self.pulid_dtype, PULID_DTYPES)
        check_choice("rng_type", self.rng_type, RNG_TYPES)
        if self.sampler_rng_type is not None:
            check_choice("sampler_rng_type", self.sampler_rng_type, RNG_TYPES)
        check_choice("lora_apply_mode", self.lora_apply_mode, LORA_APPLY_MODES)
        check_number("max_vram", self.max_vram, 0.0, 4096.0)
        check_text("backend", self.backend, 1000)
        _type_rules(self.tensor_type_rules)

    @property
    def threads(self) -> int:
        """How many threads compute on the CPU."""
        return thread_count(self.n_threads)

    def to_engine_kwargs(self) -> dict[str, Any]:
        """The keyword arguments of `pulid_sdcpp.StableDiffusion`."""
        kwargs = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in _CONTEXT_PATHS:
            kwargs[name] = "" if kwargs[name] is None else os.fspath(kwargs[name])
        kwargs["pulid_weights"] = kwargs["pulid_weights"] or None
        kwargs["wtype"] = self.wtype.lower()
        kwargs["rng_type"] = _binding_rng(self.rng_type)
        kwargs["sampler_rng_type"] = _binding_rng(self.sampler_rng_type or self.rng_type)
        return kwargs


_CONTEXT_PATHS = (
    "diffusion_model_path",
    "model_path",
    "vae_path",
    "taesd_path",
    "clip_l_path",
    "t5xxl_path",
    "pulid_weights",
    "lora_model_dir",
)


def _binding_rng(name: str) -> str:
    return "default" if name == "std_default" else name


def _type_rules(rules: str) -> None:
    check_text("tensor_type_rules", rules, _MAX_RULES_CHARS)
    for rule in filter(None, rules.split(",")):
        pattern, equals, wtype = rule.partition("=")
        shown = quoted(rule)
        if not equals or wtype not in WEIGHT_TYPES[1:]:
            raise ValueError(
                f"tensor_type_rules has {shown}, but must have PATTERN=TYPE with a type of "
                f"{', '.join(WEIGHT_TYPES[1:])}"
            )
        try:
            NamePattern(pattern)
        except ValueError as error:
            raise ValueError(
                f"tensor_type_rules has {shown}, whose pattern is not a regular expression that "
                f"rules may have: {error}"
            ) from None
