"""Check the files an engine is to load, before native code sees them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from ..errors import Message, ModelFileError, named, option_error
from ..families.flux.layout import FluxInfo, check_diffusion_model
from ..families.sdxl.unet_layout import UnetInfo
from ..tensors.file_bytes import FileBytes
from ..tensors.hollow_file import check_data, check_not_hollow
from ..tensors.scaled_weights import check_weight_scales, is_companion
from ..tensors.tensor_header import TensorInfo
from ..terminal_text import quoted
from .description import FileInfo, check_tae, check_text_encoder, check_vae, describe_file
from .sdxl_checks import check_sdxl_parts, folder_files, is_sdxl_folder
from .upscaler_layout import check_upscaler_tensors

__all__ = [
    "check_engine_files",
    "check_readable",
    "check_tensors",
    "check_type",
    "check_upscaler",
    "engine_file_paths",
]

# What the engine loads weights of: floats, and the quantized types that it can convert.
_INTEGERS = {"bool", "u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "c64"}
_UNREADABLE = {"gguf": _INTEGERS | {"f64", "q8_1", "q8_k"}, "safetensors": _INTEGERS | {"f8_e8m0"}}
_WEIGHT = re.compile(r"(^|[._])(weight|bias|scale)$")
_BLOCK_NUMBER = re.compile(r"\.([0-9]{4,})(?:\.|$)")  # as block_number of pulid_text.hpp
_PARTS = {
    "diffusion": re.compile(r"model\.diffusion_model\."),
    "text": re.compile(r"text_encoders\.(clip_l|t5xxl)\.|te[13]\."),
    "vae": re.compile(r"(first_stage_model|vae)\."),
}
_ESRGAN_PATHS = ("upscaler_path",)  # published as torch checkpoints


def check_engine_files(
    files: Mapping[str, Any], needs: Literal["flux", "sdxl"] | None
) -> FluxInfo | UnetInfo | None:
    """Make sure that every file can be loaded and is what it is given as.

    Args:
        files: The binding's keyword arguments; those that name files are looked at.
        needs: The family that PuLID weights are given for, so that nothing but it will do.

    Returns:
        The Flux or SDXL model's sizes; None for another model.

    Raises:
        ValueError: No model, or a Flux or SDXL model without text encoder or autoencoder.
        ModelFileError: A file is missing, damaged or of the wrong kind.
    """
    model = _check_model(files, needs)
    for name, path in files.items():
        if not name.endswith("_path") or not path:
            continue
        if name in _ESRGAN_PATHS:
            check_upscaler(str(path))
            continue
        is_folder = name == "model_path" and os.path.isdir(path)
        for file in folder_files(str(path)) if is_folder else (str(path),):
            _check_data(check_readable(file))
    return model


_NO_MODELS = {"lora", "identity", "pulid-flux", "pulid-sdxl", "ip-adapter", "eva-clip"}
_PARTS_ALONE = {
    "clip-l",
    "clip-g",
    "t5xxl",
    "vae",
    "tae",
}  # or a full checkpoint of a model unknown here


def engine_file_paths(files: Mapping[str, Any]) -> list[str]:
    """The files among the binding's keyword arguments."""
    return [str(path) for name, path in files.items() if name.endswith("_path") and path]


def _check_model(
    files: Mapping[str, Any], needs: Literal["flux", "sdxl"] | None
) -> FluxInfo | UnetInfo | None:
    alone = str(files.get("diffusion_model_path") or "")
    full = str(files.get("model_path") or "")
    if not alone and not full:
        raise option_error(
            f"no model is given: name {named('diffusion_model_path')} or {named('model_path')}"
        )
    if needs is not None:
        return _check_flux_files(files) if needs == "flux" else check_sdxl_parts(files)
    if os.path.isdir(full):  # as the diffusers library stores a model
        return check_sdxl_parts(files) if not alone and is_sdxl_folder(full) else None
    found = describe_file(alone or full)
    if found.kind == "flux":
        return _check_flux_files(files)
    if found.kind == "sdxl":
        return check_sdxl_parts(files)
    if found.kind in (_NO_MODELS | _PARTS_ALONE if alone else _NO_MODELS):
        raise ModelFileError(f"{found.path}: expected a model, found {found.summary}")
    return None


def _check_flux_files(files: Mapping[str, Any]) -> FluxInfo:
    alone = str(files.get("diffusion_model_path") or "")
    full = str(files.get("model_path") or "")
    flux = check_diffusion_model(alone or full)
    parts = _parts_of(full)
    if full and not alone and "diffusion" not in parts:
        raise ModelFileError(
            Message(f"{full}: a diffusion model alone; give it as {named('diffusion_model_path')}")
        )
    if files.get("control_net_path"):
        raise ValueError(
            f"control_net_path is {os.fspath(files['control_net_path'])!r}, but the engine has no "
            "ControlNets for Flux; leave it out"
        )
    within = f" in {full}" if full else ""
    if not files.get("clip_l_path") and not files.get("t5xxl_path") and "text" not in parts:
        raise option_error(
            f"no text encoder is given{within}: name {named('clip_l_path')}, {named('t5xxl_path')} "
            "or both"
        )
    if not files.get("vae_path") and not files.get("taesd_path") and "vae" not in parts:
        raise option_error(
            f"no autoencoder is given{within}: name {named('vae_path')} or {named('taesd_path')}"
        )
    if files.get("clip_l_path"):
        check_text_encoder(files["clip_l_path"], "clip-l")
    if files.get("t5xxl_path"):
        check_text_encoder(files["t5xxl_path"], "t5xxl")
    if files.get("vae_path"):
        check_vae(files["vae_path"])
    if files.get("taesd_path"):
        check_tae(files["taesd_path"])
    return flux


def _parts_of(full: str) -> set[str]:
    """What a full checkpoint holds, under the names that the engine looks for."""
    if not full or os.path.isdir(full):
        return set()
    names = [tensor.name for tensor in describe_file(full).tensors]
    return {part for part, found in _PARTS.items() if any(map(found.match, names))}


def check_upscaler(path: str) -> None:
    """Make sure that a file is an upscaling model; a torch checkpoint passes unseen.

    Raises:
        ModelFileError: Missing, damaged, or another model.
    """
    info = check_readable(path, may_be_torch=True)
    if info.kind != "torch-checkpoint":
        check_upscaler_tensors(path, {tensor.name: tensor for tensor in info.tensors})
    _check_data(info)


def check_readable(path: str, may_be_torch: bool = False) -> FileInfo:
    """A damaged file, or weights of a type the engine cannot convert, would end the process.

    Raises:
        ModelFileError: It is one; or a torch checkpoint where there may be none, or ONNX.
    """
    info = describe_file(path)
    if info.kind == "torch-checkpoint" and not may_be_torch:
        raise ModelFileError(
            f"{path}: a torch checkpoint, which can hold programs and is not opened; use the "
            "safetensors file, or write one with safetensors.torch.save_file"
        )
    if info.kind == "quantized":
        raise ModelFileError(f"{path}: {info.summary}")
    if info.kind == "onnx":
        raise ModelFileError(f"{path}: an ONNX model, which the engine does not read")
    check_tensors(path, info.tensors, info.format)
    if info.tensors:
        check_weight_scales(path)
    return info


def check_tensors(path: str, tensors: Iterable[TensorInfo], file_format: str) -> None:
    """Make sure that the engine can read what a file's header lists.

    Raises:
        ModelFileError: A type that it cannot convert, or the number of a block that no model has.
    """
    names = {tensor.name: tensor for tensor in tensors}
    for tensor in names.values():
        if found := _BLOCK_NUMBER.search(tensor.name):
            raise ModelFileError(
                f"{path}: {quoted(tensor.name)} names block {quoted(found[1], 20)}; no model has "
                "as many, and the engine would make them all"
            )
        if _WEIGHT.search(tensor.name) and not is_companion(tensor.name, names):
            check_type(path, tensor, file_format)


def _check_data(info: FileInfo) -> None:
    """What is behind the header, where a download was not finished, is zeros."""
    with FileBytes(info.path) as content:
        if info.tensors:
            check_not_hollow(content, info.tensors, info.kind)
        else:
            check_data(content)


def check_type(path: str, tensor: TensorInfo, file_format: str) -> None:
    """Make sure that the engine has numbers of a tensor's type.

    Raises:
        ModelFileError: It has not.
    """
    if tensor.dtype in _UNREADABLE[file_format]:
        raise ModelFileError(
            f"{path}: {tensor.name} is of type {tensor.dtype}, which the engine cannot read; use "
            "a file in F16, BF16, F32 or a quantized type"
        )
