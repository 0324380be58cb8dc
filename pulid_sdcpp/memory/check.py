"""Refuse a picture that cannot be computed here because of its size, before the engine begins.

Only where the buffer alone is larger than RAM and swap together, or where a device's own kernels
end: nothing that works is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import GenerationError
from ..families.flux.layout import FluxInfo
from ..families.sdxl.unet_shapes import UnetSizes
from ..model_files.description import describe_file
from ..model_files.sdxl_checks import folder_part
from ..native.devices import Device, Placement
from ..options.generation import SIZE_MULTIPLE_PX, GenerationOptions, with_checked
from ..options.size_multiple import SDXL_SIZE_MULTIPLE_PX
from ..system.system_memory import total_memory_bytes
from .compute import T5_TOKENS, decoder_bytes, flux_bytes, token_count
from .parameters import decoder_channels
from .unet_compute import CLIP_TOKENS, unet_bytes, unet_tokens

__all__ = [
    "check_picture_fits",
    "check_size",
    "check_tokens_fit",
    "computes_on_cpu",
    "diffusion_device",
]

_GIB = 1 << 30
# ggml's CUDA kernels (norms, softmax, concatenation) have a block for each token in the second
# dimension of their grid, where CUDA allows no more: cudaDevAttrMaxGridDimY.
_MAX_GRID_Y = 65_535
_CUDA_NAMES = ("CUDA", "ROCm", "MUSA")  # one source, compiled for three


def diffusion_device(placement: Placement, available: Sequence[Device]) -> str:
    """The device that the diffusion model computes on: the named one, or the engine's choice."""
    if placement.diffusion:
        return placement.diffusion
    return next((device.name for device in available if device.kind != "cpu"), "CPU")


def check_size(
    picture: GenerationOptions,
    loaded_with: Mapping[str, Any],
    model: FluxInfo | UnetSizes,
    device: str,
    *,
    on_cpu: bool,
) -> None:
    """Both checks, where the diffusion model computes on `device`.

    Raises:
        GenerationError: As `check_tokens_fit` and, on the CPU, `check_picture_fits`.
    """
    width, height = picture.made_size  # the larger one, where there are two passes
    picture = with_checked(picture, width=width, height=height)
    check_tokens_fit(picture, device, is_unet=isinstance(model, UnetSizes))
    if on_cpu:
        check_picture_fits(picture, loaded_with, model)


def check_tokens_fit(picture: GenerationOptions, device: str, *, is_unet: bool = False) -> None:
    """Refuse a size with more tokens than the device's kernels can count.

    Args:
        picture: What is to be made.
        device: Where the diffusion model computes, `diffusion_device`.
        is_unet: It is SDXL's UNet, which has the text beside the picture's tokens.

    Raises:
        GenerationError: It cannot be made there; names the largest size of this shape that can.
    """

    def tokens(width: int, height: int) -> int:
        if is_unet:
            return unet_tokens(width, height, 1)
        return token_count(width, height) + T5_TOKENS

    def fits(width: int, height: int) -> bool:
        return tokens(width, height) <= _MAX_GRID_Y

    if not device.startswith(_CUDA_NAMES) or fits(picture.width, picture.height):
        return
    width, height = _largest(picture, fits, _step(is_unet))
    raise GenerationError(
        f"{picture.width}x{picture.height} is too large for {device}: "
        f"{'it' if is_unet else 'with the text it'} has {tokens(picture.width, picture.height)} "
        f"tokens, and ggml's kernels there count to {_MAX_GRID_Y}; {width}x{height} is possible"
    )


def computes_on_cpu(placement: Placement, available: Sequence[Device]) -> bool:
    """Whether the diffusion model computes in the computer's own memory."""
    if placement.diffusion:
        return any(d.kind == "cpu" for d in available if d.name == placement.diffusion)
    return all(device.kind == "cpu" for device in available)


def check_picture_fits(
    picture: GenerationOptions, loaded_with: Mapping[str, Any], model: FluxInfo | UnetSizes
) -> None:
    """Refuse a size that cannot be computed on the CPU of this computer.

    Args:
        picture: What is to be made.
        loaded_with: The engine's constructor's arguments.

    Raises:
        GenerationError: It cannot; names the largest size of this shape that could.
    """
    total = total_memory_bytes()
    if total is None:
        return
    tiny = bool(loaded_with["taesd_path"]) and not loaded_with.get("tae_preview_only")
    channels = 0 if tiny else _decoder_channels(loaded_with)
    decodes_whole = (tiny or channels > 0) and not picture.vae_tiling
    flash = bool(loaded_with["diffusion_flash_attn"] or loaded_with["flash_attn"])

    def needed(width: int, height: int) -> int:
        denoise = _denoise_bytes(model, width, height, flash_attention=flash)
        decode = decoder_bytes(
            width, height, channels, tiny=tiny, direct=bool(loaded_with["vae_conv_direct"])
        )
        return max(denoise, decode if decodes_whole else 0)

    width, height = picture.width, picture.height
    most = needed(width, height)
    if most <= total:
        return
    step = _step(isinstance(model, UnetSizes))
    width, height = _largest(picture, lambda width, height: needed(width, height) <= total, step)
    raise GenerationError(
        f"out of memory: {picture.width}x{picture.height} needs {most / _GIB:.0f} GiB to compute "
        f"in, and this computer has {total / _GIB:.0f} GiB; {width}x{height} could fit"
    )


def _denoise_bytes(
    model: FluxInfo | UnetSizes, width: int, height: int, *, flash_attention: bool
) -> int:
    """An evaluation on the CPU, of a short prompt and without people."""
    if isinstance(model, UnetSizes):
        return unet_bytes(
            model, width, height, CLIP_TOKENS, flash_attention=flash_attention, on_cpu=True
        )
    return flux_bytes(
        token_count(width, height),
        T5_TOKENS,
        model.hidden_size,
        model.hidden_size // model.head_dim,
        flash_attention=flash_attention,
        on_cpu=True,
    )


def _step(is_unet: bool) -> int:
    return SDXL_SIZE_MULTIPLE_PX if is_unet else SIZE_MULTIPLE_PX


def _largest(
    picture: GenerationOptions, fits: Callable[[int, int], bool], step: int
) -> tuple[int, int]:
    """The largest size below the picture's, of its shape, that fits; else the smallest there is."""
    width, height = picture.width, picture.height
    while not fits(width, height) and width > step:
        width = (width - 1) // step * step
        height = max(round(picture.height * width / picture.width / step) * step, step)
    return width, height


def _decoder_channels(loaded_with: Mapping[str, Any]) -> int:
    """The autoencoder's width; 0 where it is not known."""
    path, full = (str(loaded_with.get(name) or "") for name in ("vae_path", "model_path"))
    if not path and full and not os.path.isdir(full):  # a checkpoint with all of its parts
        path = full
    elif not path and full:
        path = str(folder_part(full, "vae") or "")
    return decoder_channels(describe_file(path).tensors) if path else 0
