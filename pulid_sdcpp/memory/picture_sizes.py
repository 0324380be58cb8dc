"""What the options ask for, as far as memory depends on it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

from ..model_files.lora_tags import prompt_loras
from ..native.devices import Placement
from ..options.context import ContextOptions
from ..options.generation import SIZE_MULTIPLE_PX, GenerationOptions
from ..options.second_pass import reads_pictures
from ..tensors.tensor_header import TensorInfo
from .compute import DEFAULT_TILE, LATENT_PX, text_tokens
from .measures import Given
from .model import PictureSizes
from .parameters import Layouts
from .unet_compute import clip_tokens
from .upscaling import upscaler_sizes

__all__ = ["given_measures", "picture_sizes"]


def given_measures(
    context: ContextOptions, picture: GenerationOptions, placement: Placement
) -> Given:
    """What is switched on stays on; what a placement names stays there."""

    def away(module_device: str, keep_on_cpu: bool) -> bool | None:
        if module_device:  # the more exact wish, as the engine has it
            return module_device != placement.diffusion
        return True if keep_on_cpu else None

    wanted_tile = picture.vae_tile_size if any(picture.vae_tile_size) else None
    tiled = picture.vae_tiling
    tile = None
    if tiled and any(picture.vae_relative_tile_size):
        tile = _relative_tile(picture)
    elif tiled and wanted_tile is not None:
        tile = (wanted_tile[0] or DEFAULT_TILE, wanted_tile[1] or DEFAULT_TILE)
    return Given(
        flash_attention=context.diffusion_flash_attn or context.flash_attn,
        tiling=True if tiled else None,
        tile=tile,
        text_on_cpu=away(placement.clip, context.keep_clip_on_cpu),
        vae_on_cpu=away(placement.vae, context.keep_vae_on_cpu),
        offload=True if context.offload_params_to_cpu else None,
        direct=context.vae_conv_direct,
    )


def _relative_tile(picture: GenerationOptions) -> tuple[int, int]:
    """As the engine computes it (vae.hpp, `get_tile_sizes`)."""

    def side(pixels: int, part: float) -> int:
        if part > 1:  # a number of tiles
            part = 1 / (part - part * picture.vae_tile_overlap + picture.vae_tile_overlap)
        return max(round(pixels // LATENT_PX * part), 4) if part else DEFAULT_TILE

    parts = picture.vae_relative_tile_size
    width, height = picture.made_size
    return side(width, parts[0]), side(height, parts[1])


def picture_sizes(
    context: ContextOptions,
    picture: GenerationOptions,
    people: int = 1,
    layouts: Layouts | None = None,
) -> PictureSizes:
    """Everything about the picture that memory depends on.

    Args:
        people: Number of identities in the picture.
        layouts: Tensors of files that are not here; as "lora_files", of LoRAs.
    """
    identities = 0
    if context.pulid_weights is not None:  # there is room for one from the start
        identities = max(people, 1) + (picture.cfg_scale != 1.0)  # one unconditional for all
    longest = max(picture.prompt, picture.negative_prompt, key=len)
    width, height = max((picture.width, picture.height), picture.made_size, key=math.prod)
    return PictureSizes(
        width,
        height,
        text_tokens(longest, context.t5xxl_path is not None or context.model_path is not None),
        tuple(_reference_size(image, picture) for image in picture.ref_images),
        reads_pictures(vars(picture)),
        identities,
        upscaler_sizes(context, picture),
        _lora_bytes(context, picture, (layouts or {}).get("lora_files", ())),
        clip_tokens(longest),
    )


def _lora_bytes(
    context: ContextOptions, picture: GenerationOptions, absent: Sequence[TensorInfo]
) -> int:
    """What LoRAs take beside the model: at most twice their files.

    Parts of fused matrices, such as q, k and v, are written as one product, with zeros between.
    """
    loras = prompt_loras(
        picture.prompt, context.lora_model_dir, picture.lora_files, skip_missing=True
    )
    files = sum(os.path.getsize(path) for path in {lora.path for lora in loras if lora.weight})
    return 2 * (files + sum(tensor.nbytes for tensor in absent))


def _reference_size(image: Any, picture: GenerationOptions) -> tuple[int, int]:
    """As the engine scales it (stable-diffusion.cpp, `auto_resize_ref_image`)."""
    from PIL.Image import Image

    from ..system.image_file import read_image

    width, height = image.size if isinstance(image, Image) else read_image(image).size
    if not picture.auto_resize_ref_image:
        return width, height
    area = min(1024 * 1024, picture.width * picture.height)
    scaled = math.sqrt(area * width / height)
    step = SIZE_MULTIPLE_PX
    return round(scaled / step) * step, round(scaled * height / width / step) * step
