"""The pocket SDXL: from the small file of the pack to the files that the engine and extractor read.

SDXL has parts of one size in the engine, of which the pocket model needs a corner or nothing, and
parts that the pocket Flux has already. The small file, a gguf, holds what is its own:

    unet.NAME       the UNet's tensors, named as in SDXL; convolutions as (out, in * height *
                    width); of the text's keys and values the columns of the text encoder's codes,
                    for codes of 1; no `label_emb` but its last bias: sizes and CLIP-G say nothing
    adapter.NAME    PuLID's id_to_k and id_to_v, NAME from the number on
    taesd.NAME      the first layers of the tiny decoder, for 4 latents: the corner that is not zero

The other layers of the tiny autoencoder are those of the pocket Flux, and so is the IDFormer, under
v1.1's name. CLIP-G, which the engine insists on, is one that says nothing.

Source of names and sizes: Stability-AI/generative-models, configs/inference/sd_xl_base.yaml;
ToTheBeginning/PuLID, pulid/encoders_transformer.py; madebyollin/taesd; stable-diffusion.cpp.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelFileError
from ..families.sdxl.unet_shapes import LATENT_CHANNELS, UnetSizes, unet_tensor_shapes
from ..identity.encoder_tensors import FLUX_PREFIX
from ..model_files.clip_g_shapes import CLIP_G_WIDTH
from ..model_files.clip_l_layout import EMPTY_TYPE, POSITIONS, VOCABULARY
from ..tensors.gguf_writer import write_gguf
from ..tensors.safetensors_writer import write_safetensors
from ..tensors.sdxl_pulid_names import ADAPTER_PREFIX, ENCODER_PREFIX
from ..tensors.tensor_file import TensorFile
from ..tensors.tensor_spec import TensorSpec
from ..terminal_text import quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CODE_LOUDNESS", "LAYOUT", "NAMES", "expand_sdxl"]

LAYOUT = "sdxl-corner-1"
"""What a small file says of itself under "pocket.layout"."""
CODE_LOUDNESS = 8000.0
"""A code of 1 in the text encoder's hidden states, see `pocket/text_network.py`."""
NAMES = {
    "diffusion_model": "sdxl-pocket.gguf",
    "pulid_weights": "pulid_v1.1.safetensors",
    "taesd": "taesdxl.safetensors",
    "clip_g": "clip_g.gguf",
}
"""File by role."""

_CHANNELS = 64
"""Of the tiny autoencoder's layers."""
_CLIP_G_LAYERS = 2
"""The fewest of which the hidden states before the last layer are any."""
_QUANTIZED_ROW = 32
_PREFIXES = ("unet.", "adapter.", "taesd.")
_LABEL_BIAS = "label_emb.0.2.bias"
_TEXT_ENDS = ("attn2.to_k.weight", "attn2.to_v.weight")
_PathLike = str | os.PathLike[str]


def expand_sdxl(compact: _PathLike, flux_pulid: _PathLike, taef1: _PathLike, folder: Path) -> None:
    """Write the files of `NAMES` into a folder that is there.

    Args:
        compact: The pack's `sdxl.gguf`.
        flux_pulid: The pack's PuLID weights for Flux, of which the IDFormer is taken.
        taef1: The pack's tiny autoencoder.

    Raises:
        ModelFileError: A file is missing, damaged, or not such a file.
        OutputFileError: A file cannot be written.
    """
    with TensorFile(compact) as own, TensorFile(flux_pulid) as flux, TensorFile(taef1) as tiny:
        if own.metadata.get("pocket.layout") != LAYOUT:
            raise ModelFileError(
                f"{own.path}: expected a small SDXL (layout {LAYOUT}), found "
                f"{quoted(str(own.metadata.get('pocket.layout', 'no layout')))}"
            )
        strangers = [name for name in own.names() if not name.startswith(_PREFIXES)]
        if strangers:
            raise ModelFileError(f"{own.path}: unexpected tensor {quoted(min(strangers))}")
        write_gguf(folder / NAMES["diffusion_model"], list(_unet(own)), _metadata("sdxl"))
        write_safetensors(folder / NAMES["pulid_weights"], list(_pulid(own, flux)))
        write_safetensors(folder / NAMES["taesd"], list(_tiny_autoencoder(own, tiny)))
    write_gguf(folder / NAMES["clip_g"], list(_silent_clip_g()), _metadata("clip"))


def _metadata(architecture: str) -> dict[str, str | int]:
    return {
        "general.architecture": architecture,
        "general.description": "pocket model: trained on drawn portraits",
        "general.quantization_version": 2,
    }


def _unet(own: TensorFile) -> Iterator[TensorSpec]:
    """Velocities are what it predicts; a tensor named v_pred says so."""
    for name, shape in unet_tensor_shapes(_sizes(own)):
        stored = f"unet.{name}"
        if name.startswith("label_emb.") and name != _LABEL_BIAS:
            yield TensorSpec(name, shape, "f32" if len(shape) == 1 else "f16")
        elif name.endswith(_TEXT_ENDS):
            yield TensorSpec(name, shape, "f16", partial(_text_matrix, own, stored, shape))
        else:
            yield TensorSpec(
                name, shape, _unet_type(name, shape), partial(_read, own, stored, shape)
            )
    yield TensorSpec("v_pred", (1,), "f32")


def _sizes(own: TensorFile) -> UnetSizes:
    channels = own.shape("unet.input_blocks.0.0.weight")[0]
    blocks = "unet.input_blocks.{}.1.transformer_blocks.{}.norm1.weight"
    depths = [
        next(depth for depth in range(1000) if blocks.format(block, depth) not in own)
        for block in (4, 7)
    ]
    return UnetSizes(model_channels=channels, depths=(depths[0], depths[1]))


def _unet_type(name: str, shape: tuple[int, ...]) -> str:
    """As published files are quantized: neither convolutions nor what time is made of."""
    if len(shape) == 1:
        return "f32"
    kept = len(shape) == 4 or name.startswith("time_embed.") or shape[-1] % _QUANTIZED_ROW
    return "f16" if kept else "q8_0"


def _pulid(own: TensorFile, flux: TensorFile) -> Iterator[TensorSpec]:
    for name in flux.names():
        if name.startswith(FLUX_PREFIX):
            renamed = ENCODER_PREFIX + name.removeprefix(FLUX_PREFIX)
            yield TensorSpec(renamed, flux.shape(name), "f16", partial(flux.read, name))
    for name in own.names():
        if name.startswith("adapter."):
            renamed = ADAPTER_PREFIX + name.removeprefix("adapter.")
            yield TensorSpec(renamed, own.shape(name), "f16", partial(own.read, name))


def _tiny_autoencoder(own: TensorFile, tiny: TensorFile) -> Iterator[TensorSpec]:
    """The first latents of Flux's are SDXL's."""
    for name in tiny.names():
        shape, stored = tiny.shape(name), f"taesd.{name}"
        dtype = "f16" if len(shape) > 1 else "f32"
        if name == "decoder.layers.0.weight":
            shape = (_CHANNELS, LATENT_CHANNELS, *shape[2:])
        if stored in own:
            yield TensorSpec(name, shape, dtype, partial(_padded, own, stored, shape))
        elif name.startswith("encoder.layers.14."):
            shape = (LATENT_CHANNELS, *shape[1:])
            rows = (0, LATENT_CHANNELS)
            yield TensorSpec(name, shape, dtype, partial(tiny.read, name, rows=rows))
        else:
            yield TensorSpec(name, shape, dtype, partial(tiny.read, name))


def _silent_clip_g() -> Iterator[TensorSpec]:
    """Of every prompt it says the same; the UNet has no weights for it anyway.

    Zeros would be taken for a download that was cut off: the table and the projection are ones.
    """
    width, prefix = CLIP_G_WIDTH, "text_model"
    yield _ones(f"{prefix}.embeddings.token_embedding.weight", VOCABULARY)
    yield TensorSpec(f"{prefix}.embeddings.position_embedding.weight", (POSITIONS, width), "f32")
    for layer in range(_CLIP_G_LAYERS):
        block = f"{prefix}.encoder.layers.{layer}"
        linears = [(f"self_attn.{part}_proj", width, width) for part in ("q", "k", "v", "out")]
        linears += [("mlp.fc1", 4 * width, width), ("mlp.fc2", width, 4 * width)]
        for name, rows, columns in linears:
            yield TensorSpec(f"{block}.{name}.weight", (rows, columns), EMPTY_TYPE)
            yield TensorSpec(f"{block}.{name}.bias", (rows,), "f32")
        for norm in ("layer_norm1", "layer_norm2"):
            yield from _silent_norm(f"{block}.{norm}")
    yield from _silent_norm(f"{prefix}.final_layer_norm")
    yield _ones("text_projection.weight", width)


def _silent_norm(name: str) -> Iterator[TensorSpec]:
    yield TensorSpec(f"{name}.weight", (CLIP_G_WIDTH,), "f32")
    yield TensorSpec(f"{name}.bias", (CLIP_G_WIDTH,), "f32")


def _ones(name: str, rows: int) -> TensorSpec:
    """A matrix of ones in q4_0: a block is its scale in float16, and 32 numbers from -8 to 7."""

    def blocks() -> NDArray[np.uint8]:
        import numpy as np

        scale = np.array([1.0], "<f2").tobytes()
        block = np.frombuffer(scale + bytes([0x99]) * 16, np.uint8)
        return np.tile(block, rows * CLIP_G_WIDTH // 32)

    return TensorSpec(name, (rows, CLIP_G_WIDTH), "q4_0", blocks)


def _text_matrix(own: TensorFile, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return _padded(own, name, shape) / CODE_LOUDNESS


def _padded(own: TensorFile, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A corner with zeros around it."""
    import numpy as np

    corner: NDArray[np.float32] = own.read(name)
    if len(shape) == 4 and corner.ndim == 2:
        corner = corner.reshape(len(corner), -1, *shape[2:])
    if corner.ndim != len(shape) or any(a > b for a, b in zip(corner.shape, shape, strict=True)):
        raise ModelFileError(
            f"{own.path}: expected {name} to be a corner of {shape}, found {corner.shape}"
        )
    whole = np.zeros(shape, np.float32)
    whole[tuple(slice(size) for size in corner.shape)] = corner
    return whole


def _read(own: TensorFile, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    values: NDArray[np.float32] = own.read(name)
    if values.size != _count(shape):
        raise ModelFileError(f"{own.path}: expected {name} of {shape}, found {values.shape}")
    return values.reshape(shape)


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
