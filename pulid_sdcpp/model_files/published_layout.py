"""The tensors of a published file that is not here, told from its name.

What a Flux, T5, CLIP-L, autoencoder or PuLID file, or a checkpoint of SDXL, has in it is known;
which type its matrices have is in its name. Some types stand for a mixture:

    Q4_K_S and other _S   Flux: all matrices of the blocks are Q4_K
    Q4_K_M, Q5_K_M        Flux: the joint matrices of the double blocks' attention are a type
                          larger
    Q3_K_M, Q3_K_L        Flux: the same, in Q4_K
    T5                    the embedding is Q6_K, or Q8_0 with Q8_0; with _M, half of the v and wo
                          matrices are Q6_K; with Q4_K_S, the first v and wo matrices Q5_K

What stands outside Flux's blocks is F16, vectors are F32. In checkpoints of SDXL convolutions, the
time embedding and vectors are F16 whatever the type. Sizes computed from this are within 0.3 % of
those of the files that city96, QuantStack and mzwing published (a test compares them).

Source: llama.cpp's `llama_tensor_get_type`, and the sizes of the files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from math import prod

from ..errors import ModelFileError
from ..families.flux.layout import flux_shapes, published_flux
from ..families.flux.pulid_weights import HEAD_DIM, positions
from ..families.sdxl.unet_layout import published_sdxl_unet
from ..families.sdxl.unet_shapes import UnetSizes, unet_tensor_shapes
from ..tensors.gguf_header import GGML_TYPES
from ..tensors.tensor_header import TensorInfo
from ..terminal_text import shown
from .autoencoder_shapes import (
    FLUX_LATENTS,
    SDXL_LATENTS,
    autoencoder_shapes,
    tiny_autoencoder_shapes,
)
from .clip_g_shapes import clip_g_shapes
from .text_encoder_shapes import T5_LAYERS, clip_l_shapes, t5_shapes

__all__ = [
    "PULID_TOKEN_WIDTH",
    "is_outside_blocks",
    "named_type",
    "published_layout",
    "pulid_shapes",
]

PULID_HEADS = 16
PULID_TOKEN_WIDTH = 2048
_BLOCK_BYTES = {name: (block, size) for name, block, size in GGML_TYPES.values()}
_BLOCK_BYTES |= {"f8_e4m3": (1, 1), "f8_e5m2": (1, 1)}
_NAMES = re.compile(
    r"(?<![a-z0-9])(q[2-8]_(?:k_[sml]|k|0|1)|iq4_nl|iq4_xs|bf16|f16|fp16|f32|fp32"
    r"|fp8_e5m2|fp8_e4m3fn|fp8)(?![a-z0-9])"
)
_SAME = {
    "fp16": "f16",
    "fp32": "f32",
    "fp8": "f8_e4m3",
    "fp8_e4m3fn": "f8_e4m3",
    "fp8_e5m2": "f8_e5m2",
}
_LARGER = {"q3_k_m": "q4_k", "q3_k_l": "q4_k", "q4_k_m": "q5_k", "q5_k_m": "q6_k"}
"""Of the double blocks' joint attention matrices."""
_OUTSIDE_BLOCKS = (
    "img_in.", "txt_in.", "time_in.", "vector_in.", "guidance_in.", "final_layer.",
)  # fmt: skip
_CHANNELS = (("fill", 384), ("canny", 128), ("depth", 128))
_BLOCK_NUMBER = re.compile(r"block\.(\d+)\.")
_PULID_OF_SDXL = re.compile(r"sdxl|pulid_?v1")
_NOT_QUANTIZED = re.compile(r"time_embed\.|emb_layers\.|text_projection|position")
"""Matrices that mzwing's checkpoints of SDXL have in F16."""
_F32_AUTOENCODER = "juggernaut"
"""A checkpoint in F16 whose autoencoder is F32: its size says so."""

_TypeOf = Callable[[str, tuple[int, ...]], str]


@lru_cache(maxsize=64)
def published_layout(role: str, file_name: str) -> tuple[TensorInfo, ...]:
    """The tensors of a published file.

    Args:
        role: As in the registry: "diffusion_model", "checkpoint" (of SDXL), "t5xxl", "clip_l",
            "clip_g", "vae", "taesd", "pulid".
        file_name: Under which it is published.

    Returns:
        In the order of no file; the offsets follow each other from 0.

    Raises:
        ModelFileError: The name does not say of which type it is, or it is of another role.
    """
    name = file_name.lower()
    if role == "diffusion_model":
        channels = next((count for word, count in _CHANNELS if word in name), 64)
        flux = published_flux(guidance_embed="schnell" not in name, in_channels=channels)
        return _layout(flux_shapes(flux), _flux_type(_type_of_file(name, file_name)))
    if role == "t5xxl":
        is_gguf = name.endswith(".gguf")
        shapes = t5_shapes(embedding_twice=not is_gguf)
        return _layout(shapes, _t5_type(_type_of_file(name, file_name), is_gguf))
    if role == "clip_l":
        return _layout(clip_l_shapes(), lambda *_: "f16")
    if role == "clip_g":
        return _layout(clip_g_shapes(), lambda *_: "f16")
    if role == "checkpoint":
        return _layout(_checkpoint_shapes(), _checkpoint_type(named_type(name), file_name))
    latents = SDXL_LATENTS if "xl" in name else FLUX_LATENTS
    if role == "vae":
        return _layout(autoencoder_shapes(latents=latents), lambda *_: "f32")
    if role == "taesd":
        return _layout(tiny_autoencoder_shapes(latents=latents), lambda *_: "f32")
    if role == "pulid" and _PULID_OF_SDXL.search(name):
        return _layout(_sdxl_pulid_shapes(name), lambda *_: "f16")
    if role == "pulid":
        flux = published_flux(guidance_embed=True)
        layers = len(positions(flux.depth, flux.depth_single))
        return _layout(pulid_shapes(layers, flux.hidden_size), lambda *_: "bf16")
    raise ModelFileError(f"{shown(file_name)}: what is in a file for {role} is not known")


def named_type(file_name: str) -> str:
    """The type in a file's name, such as "q4_k_s" or "f16"; "": it names none."""
    found = _NAMES.findall(file_name.lower())
    return _SAME.get(found[-1], found[-1]) if found else ""


def _type_of_file(name: str, file_name: str) -> str:
    found = named_type(name)
    if not found and name.endswith((".safetensors", ".sft")):
        return "bf16"  # as the makers publish Flux
    if not found:
        raise _unknown_type(file_name)
    return found


def _unknown_type(file_name: str) -> ModelFileError:
    return ModelFileError(
        f"{shown(file_name)}: its name does not say of which type it is (such as Q4_K_S), so "
        "it can be planned only when it is here"
    )


def _flux_type(named: str) -> _TypeOf:
    base = _base(named)

    def type_of(name: str, shape: tuple[int, ...]) -> str:
        if base in ("f16", "bf16", "f32", "f8_e4m3", "f8_e5m2"):
            return base
        if len(shape) == 1:
            return "f32"
        if is_outside_blocks(name):
            return "f16"
        return _LARGER.get(named, base) if name.endswith("attn.qkv.weight") else base

    return type_of


def _t5_type(named: str, is_gguf: bool) -> _TypeOf:
    base = _base(named)

    def type_of(name: str, shape: tuple[int, ...]) -> str:
        if not is_gguf:
            return base
        if len(shape) == 1 or "relative_attention_bias" in name:
            return "f32"
        if name == "shared.weight":
            return base if base in ("q8_0", "f16", "bf16", "f32") else "q6_k"
        block = _BLOCK_NUMBER.search(name)
        number = int(block[1]) if block else 0
        if name.endswith("SelfAttention.v.weight"):
            first = number < 4
        elif name.endswith("DenseReluDense.wo.weight"):
            first = number < T5_LAYERS // 8
        else:
            return base
        if named in ("q4_k_m", "q5_k_m") and _has_more_bits(number):
            return "q6_k"
        return "q5_k" if named == "q4_k_s" and first else base

    return type_of


def _has_more_bits(layer: int) -> bool:
    """The first and the last eighth of the layers, and every third between them."""
    eighth = T5_LAYERS // 8
    return layer < eighth or layer >= 7 * eighth or (layer - eighth) % 3 == 2


def _checkpoint_shapes() -> Iterable[tuple[str, tuple[int, ...]]]:
    """All-in-one: the UNet, both text encoders and the autoencoder."""
    for prefix, shapes in (
        ("model.diffusion_model.", unet_tensor_shapes(UnetSizes())),
        ("conditioner.embedders.0.transformer.", clip_l_shapes()),
        ("conditioner.embedders.1.model.", clip_g_shapes()),
        ("first_stage_model.", autoencoder_shapes(latents=SDXL_LATENTS)),
    ):
        yield from ((prefix + name, shape) for name, shape in shapes)


def _checkpoint_type(named: str, file_name: str) -> _TypeOf:
    base = _base(named) or "f16"
    is_gguf = file_name.lower().endswith(".gguf")
    if is_gguf and not named:
        raise _unknown_type(file_name)
    autoencoder = "f32" if _F32_AUTOENCODER in file_name.lower() else "f16"

    def type_of(name: str, shape: tuple[int, ...]) -> str:
        if name.startswith("first_stage_model."):
            return autoencoder
        return base if len(shape) == 2 and not _NOT_QUANTIZED.search(name) else "f16"

    return type_of


def _sdxl_pulid_shapes(name: str) -> Iterable[tuple[str, tuple[int, ...]]]:
    """PuLID's layers for SDXL; of its encoder only what tells v1 from v1.1."""
    if "v1.1" in name:
        yield "id_adapter.latents", (1, 32, 1024)
    else:
        yield "id_adapter.body.0.weight", (1024, 1280)
    for layer in published_sdxl_unet().layers:
        for part in ("id_to_k", "id_to_v"):
            shape = (layer.width, PULID_TOKEN_WIDTH)
            yield f"id_adapter_attn_layers.{layer.index}.{part}.weight", shape


def _base(named: str) -> str:
    """ "q4_k" of "q4_k_s"."""
    return re.sub(r"(?<=_k)_[sml]$", "", named)


def pulid_shapes(layers: int, hidden: int) -> Iterable[tuple[str, tuple[int, ...]]]:
    """Name and shape of each tensor of PuLID's identity layers, for a Flux of this width.

    The network that makes identities, which is in the same file, is left out.
    """
    inner = PULID_HEADS * HEAD_DIM
    for layer in range(layers):
        prefix = f"pulid_ca.{layer}"
        for norm, width in (("norm1", PULID_TOKEN_WIDTH), ("norm2", hidden)):
            yield f"{prefix}.{norm}.weight", (width,)
            yield f"{prefix}.{norm}.bias", (width,)
        yield f"{prefix}.to_q.weight", (inner, hidden)
        yield f"{prefix}.to_kv.weight", (2 * inner, PULID_TOKEN_WIDTH)
        yield f"{prefix}.to_out.weight", (hidden, inner)


def is_outside_blocks(name: str) -> bool:
    """Whether a tensor of Flux belongs to no block; those are not quantized."""
    return name.startswith(_OUTSIDE_BLOCKS)


def _layout(
    shapes: Iterable[tuple[str, tuple[int, ...]]], type_of: _TypeOf
) -> tuple[TensorInfo, ...]:
    tensors = []
    offset = 0
    for name, shape in shapes:
        dtype = type_of(name, shape)
        block, size = _BLOCK_BYTES[dtype]
        if shape[-1] % block:  # as the tools that quantize do
            dtype, block, size = "f16", 1, 2
        count = prod(shape) // block * size
        tensors.append(TensorInfo(name, shape, dtype, offset, count))
        offset += count
    return tuple(tensors)
