"""What is in memory during each phase of a generation, on the device and in the computer.

    picture   an init picture and references through the autoencoder's encoder
    prompt    the text encoders, one after the other
    denoise   the diffusion model, at every step
    decode    the autoencoder's decoder
    upscale   upscaling models: of finished pictures, and of a second pass

Buffers to compute in exist during their own phase only. Weights stay where they were loaded; with
offloading they wait in the computer's memory, and those of one phase visit the device during it;
with segments (a graph cut) those of as many blocks as fit a budget.

Source: stable-diffusion.cpp, `GGMLRunner` (ggml_extend.hpp), ggml_graph_cut.cpp, and the order of
`generate_image` (stable-diffusion.cpp).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..families.sdxl.unet_shapes import UnetSizes
from .compute import (
    CLIP_BYTES,
    CLIP_G_BYTES,
    LATENT_PX,
    T5_TOKENS,
    decoder_bytes,
    decoder_in_one_piece,
    encode_tile,
    encoder_bytes,
    flux_bytes,
    matmul_workspace_bytes,
    t5_bytes,
    token_count,
)
from .parameters import ModelSizes
from .unet_compute import CLIP_TOKENS, skipped_bytes, unet_bytes, unet_tokens

__all__ = [
    "HOST_BYTES",
    "Measures",
    "Phase",
    "PictureSizes",
    "denoise_workspace",
    "device_peak",
    "phases",
]

HOST_BYTES = 500 << 20
"""Python, NumPy, the engine's code and vocabularies (about 300 MB), one PuLID layer in F32 while
an identity is folded (84 MB), and pictures on their way."""
_STREAMS_BETWEEN_SEGMENTS = 4
"""Image and text tokens that go into a segment and come out of it, each kept twice for a moment."""


@dataclass(frozen=True)
class UpscalerSizes:
    """What an upscaling model needs, in bytes.

    Attributes:
        weights: Its weights.
        buffer: What it computes in.
        host: The pictures, in the computer's memory.
        stays: Whether its weights are loaded with the other models, or only while it works.
    """

    weights: int
    buffer: int
    host: int
    stays: bool


@dataclass(frozen=True)
class PictureSizes:
    """What is asked for, as far as memory depends on it.

    Attributes:
        width, height: Pixels.
        text_tokens: See `compute.text_tokens`.
        clip_tokens: Those of SDXL, see `unet_compute.clip_tokens`.
        references: Width and height of each Kontext reference, as the engine will scale it.
        from_picture: Whether a picture is encoded first: an init picture or a reference.
        identities: Identities held: one for each person, and one more with true CFG.
        upscalers: The upscaling models at work.
        lora_bytes: Of LoRAs, which are beside the diffusion model's weights.
    """

    width: int
    height: int
    text_tokens: int = T5_TOKENS
    references: tuple[tuple[int, int], ...] = ()
    from_picture: bool = False
    identities: int = 0
    upscalers: tuple[UpscalerSizes, ...] = ()
    lora_bytes: int = 0
    clip_tokens: int = CLIP_TOKENS


@dataclass(frozen=True)
class Measures:
    """What can be done about memory.

    Attributes:
        flash_attention: In the diffusion model.
        tile: Sides of the autoencoder's tiles in latent pixels; None: the picture in one piece.
        text_on_cpu, vae_on_cpu: These modules stay off the device.
        offload: Weights wait in the computer's memory.
        segment_bytes: Budget of a segment; 0: in one piece. Works with `offload` only.
        direct: Convolutions of the autoencoder without unfolding.
    """

    flash_attention: bool = False
    tile: tuple[int, int] | None = None
    text_on_cpu: bool = False
    vae_on_cpu: bool = False
    offload: bool = False
    segment_bytes: int = 0
    direct: bool = False


@dataclass(frozen=True)
class Phase:
    """The most that one phase needs at a time, in bytes."""

    name: str
    device_bytes: int
    host_bytes: int


@dataclass(frozen=True)
class _Module:
    weights: int
    buffer: int
    workspace: int = 0
    segment: int = 0
    """The least that one segment takes, buffer included; 0: the network cannot be cut."""


def phases(
    models: ModelSizes, picture: PictureSizes, measures: Measures, *, on_cpu: bool = False
) -> tuple[Phase, ...]:
    """Predict the memory of each phase, in the order in which they come.

    Args:
        on_cpu: There is no device; everything is in the computer's memory.
    """
    diffusion = _diffusion(models, picture, measures, on_cpu)
    clip = _Module(models.clip, CLIP_BYTES)
    clip_g = _Module(models.clip_g, CLIP_G_BYTES if models.clip_g else 0)
    t5 = _Module(
        models.t5,
        t5_bytes() if models.t5 else 0,
        segment=models.t5_segment + t5_bytes() if models.t5 else 0,
    )
    encoder, decoder = _autoencoder(models, picture, measures, on_cpu or measures.vae_on_cpu)
    text_here, vae_here = not measures.text_on_cpu, not measures.vae_on_cpu
    upscalers = [
        _Module(one.weights, one.buffer) if one.stays else _Module(0, one.weights + one.buffer)
        for one in picture.upscalers
    ]
    modules = [(diffusion, True), (decoder, vae_here)]
    modules += [(module, text_here) for module in (clip, clip_g, t5)]
    modules += [(module, vae_here) for module in upscalers]
    away = sum(module.weights for module, here in modules if on_cpu or not here)
    here = sum(module.weights for module, _ in modules) - away
    resident = 0 if measures.offload else here
    in_host = HOST_BYTES + away + (here if measures.offload else 0)
    found = []
    for name, working, is_here in (
        ("picture", [encoder] if picture.from_picture else [], vae_here),
        ("prompt", [clip, clip_g, t5], text_here),
        ("denoise", [diffusion], True),
        ("decode", [decoder], vae_here),
        ("upscale", [module for module in upscalers if module.buffer], vae_here),
    ):
        if not working:
            continue
        host = in_host
        if name == "upscale":
            host += max(one.host for one in picture.upscalers)
        if is_here and not on_cpu:
            used = max(_visiting(module, measures) for module in working)
            found.append(Phase(name, resident + used, host))
        else:
            used = max(module.buffer + module.workspace for module in working)
            found.append(Phase(name, resident, host + used))
    return tuple(found)


def device_peak(found: tuple[Phase, ...]) -> int:
    """The most of all phases."""
    return max(phase.device_bytes for phase in found)


def denoise_workspace(models: ModelSizes, picture: PictureSizes) -> int:
    """What multiplying with the diffusion model's weights takes beside its buffer."""
    return _diffusion(models, picture, Measures()).workspace


def _visiting(module: _Module, measures: Measures) -> int:
    """What a module takes on the device while it works, beside the weights that are resident."""
    if not measures.offload:
        return module.buffer + module.workspace
    whole = module.weights + module.buffer
    if measures.segment_bytes and module.segment:
        whole = min(whole, max(measures.segment_bytes, module.segment))
    return whole + module.workspace


def _diffusion(
    models: ModelSizes, picture: PictureSizes, measures: Measures, on_cpu: bool = False
) -> _Module:
    if models.unet is not None:
        return _unet(models, models.unet, picture, measures, on_cpu)
    image = token_count(picture.width, picture.height)
    references = sum(token_count(*size) for size in picture.references)
    buffer = flux_bytes(
        image,
        picture.text_tokens,
        models.hidden,
        models.heads,
        flash_attention=measures.flash_attention,
        reference_tokens=references,
        identity_rows=models.identity_rows if picture.identities else 0,
        on_cpu=on_cpu,
    )
    tokens = image + references + picture.text_tokens
    identities = picture.identities * models.identity
    stream = 4 * tokens * models.hidden
    return _Module(
        models.diffusion + identities + picture.lora_bytes,
        buffer,
        matmul_workspace_bytes(tokens, models.hidden, models.largest_matrix),
        # An identity's layers lie in as many blocks; one block has one of at least ten.
        models.diffusion_segment
        + identities // 10
        + picture.lora_bytes  # not moved with the segments
        + buffer
        + _STREAMS_BETWEEN_SEGMENTS * stream,
    )


def _unet(
    models: ModelSizes, unet: UnetSizes, picture: PictureSizes, measures: Measures, on_cpu: bool
) -> _Module:
    width, height = picture.width, picture.height
    buffer = unet_bytes(
        unet,
        width,
        height,
        picture.clip_tokens,
        flash_attention=measures.flash_attention,
        identity_rows=models.identity_rows if picture.identities else 0,
        on_cpu=on_cpu,
    )
    identities = picture.identities * models.identity
    beside = identities + picture.lora_bytes
    workspace = matmul_workspace_bytes(
        unet_tokens(width, height, 1), models.hidden, models.largest_matrix
    )
    # What waits to be joined is kept twice for a moment between segments.
    waiting = 2 * skipped_bytes(unet, width, height)
    # A seventh of the layers, ten of seventy, is in the largest block.
    segment = models.diffusion_segment + identities // 7 + picture.lora_bytes + buffer + waiting
    return _Module(models.diffusion + beside, buffer, workspace, segment)


def _autoencoder(
    models: ModelSizes, picture: PictureSizes, measures: Measures, on_cpu: bool
) -> tuple[_Module, _Module]:
    """Encoder and decoder: one network, whose weights are counted with either."""
    weights = models.decoder + models.encoder
    width, height = picture.width, picture.height
    sizes = [(width, height), *picture.references]
    if measures.tile is not None:
        tile_x, tile_y = measures.tile
        width, height = min(width, tile_x * LATENT_PX), min(height, tile_y * LATENT_PX)
        sizes = [
            (min(x, encode_tile(tile_x) * LATENT_PX), min(y, encode_tile(tile_y) * LATENT_PX))
            for x, y in sizes
        ]
    sizes_of = decoder_bytes if on_cpu else decoder_in_one_piece
    decode = sizes_of(
        width, height, models.decoder_channels, tiny=models.tiny, direct=measures.direct
    )
    encode = max(encoder_bytes(x, y, tiny=models.tiny) for x, y in sizes)
    # cuBLAS makes a convolution's result in F16 first.
    result = 2 * 2 * models.decoder_channels * width * height
    return _Module(weights, encode, result), _Module(weights, decode, result)
