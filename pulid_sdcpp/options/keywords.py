"""The options as keyword arguments, so that a type checker knows each by name and type.

Written by `docs/generate_option_keywords.py` from the dataclasses, which say what they mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO, TypedDict

from .checks import FilePath

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ContextKeywords", "GenerationKeywords"]


class ContextKeywords(TypedDict, total=False):
    """Fields of `ContextOptions`: how a model is loaded."""

    diffusion_model_path: FilePath | None
    model_path: FilePath | None
    vae_path: FilePath | None
    taesd_path: FilePath | None
    tae_preview_only: bool
    clip_l_path: FilePath | None
    clip_g_path: FilePath | None
    t5xxl_path: FilePath | None
    pulid_weights: FilePath | None
    pulid_dtype: str
    lora_model_dir: FilePath | None
    upscaler_path: FilePath | None
    upscale_tile_size: int
    hires_upscalers_dir: FilePath | None
    tensor_type_rules: str
    n_threads: int
    wtype: str
    rng_type: str
    sampler_rng_type: str | None
    lora_apply_mode: str
    backend: str
    max_vram: float
    offload_params_to_cpu: bool
    enable_mmap: bool
    repack: bool
    keep_clip_on_cpu: bool
    keep_vae_on_cpu: bool
    vae_decode_only: bool
    flash_attn: bool
    diffusion_flash_attn: bool
    diffusion_conv_direct: bool
    vae_conv_direct: bool
    circular_x: bool
    circular_y: bool
    verbose: bool


class GenerationKeywords(TypedDict, total=False):
    """Fields of `GenerationOptions`: how a picture is made."""

    negative_prompt: str
    width: int
    height: int
    steps: int
    cfg_scale: float
    guidance: float
    sampling_method: str
    scheduler: str
    seed: int
    eta: float | None
    clip_skip: int
    sigmas: Sequence[float]
    flow_shift: float | None
    slg_scale: float
    skip_layers: Sequence[int]
    skip_layer_start: float
    skip_layer_end: float
    id_mode: str | None
    id_projection: str | None
    id_zeros: int | None
    init_image: FilePath | bytes | BinaryIO | Image.Image | None
    strength: float
    mask_image: FilePath | bytes | BinaryIO | Image.Image | None
    ref_images: Sequence[FilePath | bytes | BinaryIO | Image.Image]
    auto_resize_ref_image: bool
    increase_ref_index: bool
    control_image: FilePath | bytes | BinaryIO | Image.Image | None
    canny: bool
    vae_tiling: bool
    vae_tile_size: tuple[int, int]
    vae_tile_overlap: float
    vae_relative_tile_size: tuple[float, float]
    cache_mode: str
    cache_option: str
    upscale_repeats: int
    hires: bool
    hires_upscaler: str
    hires_scale: float
    hires_width: int
    hires_height: int
    hires_steps: int
    hires_denoising_strength: float
    hires_upscale_tile_size: int
    loras: Sequence[FilePath]
    lora_files: Sequence[tuple[str, FilePath]]
