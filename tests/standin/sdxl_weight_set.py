"""All stand-in files of an SDXL in one folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from pulid_sdcpp.tensors.gguf_writer import write_gguf
from pulid_sdcpp.tensors.safetensors_writer import write_safetensors
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

from .autoencoder_kl import autoencoder_kl_tensors
from .clip_g import clip_g_tensors
from .clip_l import clip_l_tensors
from .file_set import DESCRIPTION, FileSet, gguf_metadata
from .sdxl_pulid import (
    SDXL_ID_DIM,
    mlp_encoder_tensors,
    renamed,
    sdxl_idformer_tensors,
    sdxl_pulid_tensors,
)
from .taef1 import taef1_tensors
from .unet import LATENT_CHANNELS, UnetShape, unet_tensors

__all__ = ["UNET_TYPES", "make_sdxl_standin_weights"]

UNET_TYPES = ("f32", "f16", "q8_0", "q4_0")


def make_sdxl_standin_weights(
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    channels: int = 32,
    depths: tuple[int, int] = (2, 3),
    in_channels: int = LATENT_CHANNELS,
    unet_types: Sequence[str] = ("f16",),
    id_dim: int = SDXL_ID_DIM,
    clip_g_layers: int = 2,
    checkpoint: bool = False,
) -> dict[str, Path]:
    """Make every weights file that an SDXL picture needs, small, with the real tensor names.

    A file that is there already with the same parameters is kept as it is. Files are written
    one at a time, each whole or not at all.

    Args:
        folder: Where to; made if it does not exist.
        seed: 0 or more.
        channels: Of the UNet's first level, a multiple of 32.
        depths: Transformer blocks of an attention on its second and third level.
        in_channels: Of the latent; 9 makes it an inpainting model.
        unet_types: Which UNet files to make, of "f32", "f16", "q8_0", "q4_0".
        id_dim: Width of the identity tokens (published: 2048).
        clip_g_layers: 32 for an engine that does not read their number from the file.
        checkpoint: Also make one file of UNet, text encoders and autoencoder.

    Returns:
        Path by role: "unet-f16" and so on for each type, "pulid-v1" (renamed tensors, as in
        huchenlei's file), "pulid-v1.1" (original names), "taesd", "vae" (decoder only),
        "clip_l" and "clip_g"; where wanted "checkpoint", with the UNet in the first type.

    Raises:
        OutputFileError: A file cannot be written.
        ValueError: The sizes do not make a UNet, a type is unknown, or this process uses a file
            of this folder with other parameters.
    """
    shape = UnetShape(channels, depths, in_channels=in_channels)
    unknown = [dtype for dtype in unet_types if dtype not in UNET_TYPES]
    if unknown or not unet_types:
        raise ValueError(f"UNet types {list(unet_types)}: expected some of {', '.join(UNET_TYPES)}")
    if seed < 0:
        raise ValueError(f"seed {seed}: expected 0 or more")
    files = FileSet(Path(folder))
    unet = {"seed": seed, **asdict(shape), "depths": list(depths)}
    for dtype in unet_types:
        files.make(
            f"unet-{dtype}",
            f"sdxl-unet-standin-{dtype.upper()}.gguf",
            unet,
            partial(_write_gguf, partial(unet_tensors, shape, seed, dtype), "sdxl"),
        )
    if checkpoint:
        files.make(
            "checkpoint",
            f"sdxl-standin-{unet_types[0].upper()}.gguf",
            {**unet, "clip_g_layers": clip_g_layers},
            partial(
                _write_gguf, lambda: _checkpoint(shape, seed, unet_types[0], clip_g_layers), "sdxl"
            ),
        )
    files.make(
        "pulid-v1",
        "ip-adapter_pulid_sdxl_fp16.safetensors",
        {**unet, "id_dim": id_dim},
        lambda path: _write_safetensors(
            path,
            renamed(
                sdxl_pulid_tensors(
                    shape, seed, mlp_encoder_tensors(seed, id_dim=id_dim), id_dim=id_dim
                )
            ),
        ),
    )
    files.make(
        "pulid-v1.1",
        "pulid_v1.1.safetensors",
        {**unet, "id_dim": id_dim},
        lambda path: _write_safetensors(
            path,
            # Another version's layers are others.
            sdxl_pulid_tensors(
                shape, seed + 1, sdxl_idformer_tensors(seed, id_dim=id_dim), id_dim=id_dim
            ),
        ),
    )
    files.make(
        "taesd",
        "taesdxl.safetensors",
        {"seed": seed},
        lambda path: _write_safetensors(path, taef1_tensors(seed, LATENT_CHANNELS)),
    )
    files.make(
        "vae",
        "sdxl.vae.safetensors",
        {"seed": seed},
        lambda path: _write_safetensors(path, autoencoder_kl_tensors(seed, LATENT_CHANNELS)),
    )
    files.make(
        "clip_l",
        "clip_l.gguf",
        {"seed": seed},
        partial(_write_gguf, partial(clip_l_tensors, seed), "clip"),
    )
    files.make(
        "clip_g",
        "clip_g.gguf",
        {"seed": seed, "layers": clip_g_layers},
        partial(_write_gguf, partial(clip_g_tensors, seed, clip_g_layers), "clip"),
    )
    return files.paths


def _checkpoint(shape: UnetShape, seed: int, dtype: str, clip_g_layers: int) -> list[TensorSpec]:
    """All parts in one file, named as stable-diffusion.cpp's own conversion names them."""
    parts = {
        "model.diffusion_model.": unet_tensors(shape, seed, dtype),
        "cond_stage_model.transformer.": clip_l_tensors(seed),
        "cond_stage_model.1.transformer.": clip_g_tensors(seed, clip_g_layers),
        "first_stage_model.": autoencoder_kl_tensors(seed, LATENT_CHANNELS),
    }
    specs = [
        replace(spec, name=prefix + spec.name) for prefix, part in parts.items() for spec in part
    ]
    projection = "cond_stage_model.1.transformer.text_model.text_projection"
    return [
        replace(spec, name=projection) if spec.name.endswith("text_projection.weight") else spec
        for spec in specs
    ]


def _write_gguf(make: Callable[[], list[TensorSpec]], architecture: str, path: Path) -> None:
    write_gguf(path, make(), gguf_metadata(architecture))


def _write_safetensors(path: Path, tensors: list[TensorSpec]) -> None:
    write_safetensors(path, tensors, {"description": DESCRIPTION})
