"""Refuse a picture that no memory of this computer can hold, before the engine begins.

Only where the buffer alone is larger than RAM and swap together: nothing that works is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .compute_memory import T5_TOKENS, decoder_bytes, flux_bytes, token_count
from .device import Device, Placement
from .errors import GenerationError
from .flux_layout import FluxInfo
from .model_files import describe_file
from .model_kinds import find_tensor
from .options import SIZE_MULTIPLE_PX, GenerationOptions
from .system_memory import total_memory_bytes
from .tensor_header import TensorHeader

__all__ = ["check_picture_fits", "computes_on_cpu"]

_GIB = 1 << 30


def computes_on_cpu(placement: Placement, available: Sequence[Device]) -> bool:
    """Whether the diffusion model computes in the computer's own memory."""
    if placement.diffusion:
        return any(d.kind == "cpu" for d in available if d.name == placement.diffusion)
    return all(device.kind == "cpu" for device in available)


def check_picture_fits(
    picture: GenerationOptions, loaded_with: Mapping[str, Any], flux: FluxInfo
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
    tiny = bool(loaded_with["taesd_path"])
    channels = 0 if tiny else _decoder_channels(loaded_with)
    decodes_whole = (tiny or channels > 0) and not picture.vae_tiling
    flash = bool(loaded_with["diffusion_flash_attn"] or loaded_with["flash_attn"])

    def needed(width: int, height: int) -> int:
        heads = flux.hidden_size // flux.head_dim
        tokens = token_count(width, height)
        denoise = flux_bytes(
            tokens, T5_TOKENS, flux.hidden_size, heads, flash_attention=flash, on_cpu=True
        )
        decode = decoder_bytes(
            width, height, channels, tiny=tiny, direct=bool(loaded_with["vae_conv_direct"])
        )
        return max(denoise, decode if decodes_whole else 0)

    width, height = picture.width, picture.height
    most = needed(width, height)
    if most <= total:
        return
    step = SIZE_MULTIPLE_PX
    while needed(width, height) > total and width > step:
        width -= step
        height = max(round(picture.height * width / picture.width / step) * step, step)
    raise GenerationError(
        f"out of memory: {picture.width}x{picture.height} needs {most / _GIB:.0f} GiB to compute "
        f"in, and this computer has {total / _GIB:.0f} GiB; {width}x{height} could fit"
    )


def _decoder_channels(loaded_with: Mapping[str, Any]) -> int:
    """The autoencoder's width; 0 where it is not a file of its own."""
    path = loaded_with["vae_path"]
    if not path:
        return 0
    header = TensorHeader("", {tensor.name: tensor for tensor in describe_file(path).tensors})
    first = find_tensor(header, r"(^|\.)decoder\.conv_in\.weight$")
    return first.shape[0] // 4 if first is not None and first.shape else 0
