"""Check the files of an SDXL model that an engine is to load: that all its parts are there.

SDXL needs its UNet, two text encoders (CLIP-L and CLIP-G) and an autoencoder, each in the
checkpoint, in a diffusers folder, or in a file of its own. Without CLIP-G the engine takes the
model for Stable Diffusion 1, and fails on its shapes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Literal

from ..errors import Message, ModelFileError, named, option_error
from ..families.sdxl.unet_layout import DIFFUSERS_UNET, UnetInfo, check_unet
from ..families.sdxl.unet_shapes import LATENT_CHANNELS
from .description import check_tae, check_text_encoder, check_vae, describe_file

__all__ = ["check_sdxl_parts", "folder_files", "folder_part", "is_sdxl_folder"]

# As the engine looks for them, before it renames anything.
_PARTS = {
    "unet": re.compile(r"model\.diffusion_model\."),
    "clip-l": re.compile(r"conditioner\.embedders\.0\.|cond_stage_model\.(transformer|model)\."),
    "clip-g": re.compile(r"conditioner\.embedders\.1\.|cond_stage_model\.1\."),
    "vae": re.compile(r"(first_stage_model|vae)\."),
}
_IN_A_FOLDER = {
    "unet": DIFFUSERS_UNET,
    "clip-l": os.path.join("text_encoder", "model.safetensors"),
    "clip-g": os.path.join("text_encoder_2", "model.safetensors"),
    "vae": os.path.join("vae", "diffusion_pytorch_model.safetensors"),
}


def check_sdxl_parts(files: Mapping[str, Any]) -> UnetInfo:
    """Make sure that an SDXL model is whole and can be run.

    Args:
        files: The binding's keyword arguments, of which those that name its parts are looked at.

    Returns:
        The sizes of its UNet.

    Raises:
        ValueError: A text encoder or the autoencoder is not given and not in the checkpoint.
        ModelFileError: A file is missing, damaged or of the wrong kind.
    """
    alone = str(files.get("diffusion_model_path") or "")
    full = str(files.get("model_path") or "")
    unet = check_unet(alone or full)
    parts = _parts_of(full)
    if full and not alone and "unet" not in parts:
        raise ModelFileError(
            Message(f"{full}: a UNet alone; give it as {named('diffusion_model_path')}")
        )
    within = f" in {full}" if full else ""
    for part, option, words in (
        ("clip-l", "clip_l_path", "SDXL's first text encoder, CLIP-L, is not given"),
        ("clip-g", "clip_g_path", "SDXL's second text encoder, CLIP-G, is not given"),
    ):
        if files.get(option):
            check_text_encoder(files[option], part)
        elif part not in parts:
            raise option_error(f"{words}{within}: name {named(option)}")
    if not files.get("vae_path") and not files.get("taesd_path") and "vae" not in parts:
        raise option_error(
            f"no autoencoder is given{within}: name {named('vae_path')} or {named('taesd_path')}"
        )
    if files.get("vae_path"):
        check_vae(files["vae_path"], LATENT_CHANNELS)
    if files.get("taesd_path"):
        check_tae(files["taesd_path"], LATENT_CHANNELS)
    return unet


def is_sdxl_folder(path: str) -> bool:
    """Whether a folder has an SDXL model as the diffusers library stores it.

    Raises:
        ModelFileError: Its UNet is damaged.
    """
    file = os.path.join(path, DIFFUSERS_UNET)
    return os.path.isfile(file) and describe_file(file).kind == "sdxl"


def folder_files(path: str) -> list[str]:
    """The files of a diffusers folder that the engine reads and that are there."""
    return list(_in_folder(path).values())


def folder_part(path: str, part: Literal["unet", "clip-l", "clip-g", "vae"]) -> str | None:
    """The file of a diffusers folder that has a part of the model; None: there is none."""
    return _in_folder(path).get(part)


def _in_folder(path: str) -> dict[str, str]:
    files = {part: os.path.join(path, file) for part, file in _IN_A_FOLDER.items()}
    return {part: file for part, file in files.items() if os.path.isfile(file)}


def _parts_of(full: str) -> set[str]:
    if not full:
        return set()
    if os.path.isdir(full):
        return set(_in_folder(full))
    names = [tensor.name for tensor in describe_file(full).tensors]
    return {part for part, found in _PARTS.items() if any(map(found.match, names))}
