"""LoRAs against the model that they are to change, before the engine sees them.

The header of a file is read and checked once as long as the file stays as it is: by whoever asks
first, be it a request before the model is loaded, the engine, or the conversion for it.
"""

from __future__ import annotations

import functools
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelFileError
from ..families.flux.layout import FluxInfo, check_diffusion_model
from ..families.sdxl.unet_layout import UnetInfo, unet_info
from ..system.file_hash import file_stamp
from ..tensors.file_bytes import FileBytes
from ..tensors.scaled_weights import weight_scales
from ..tensors.tensor_header import TensorHeader
from ..terminal_text import counted, quoted
from .description import check_lora, describe_file, lora_header
from .engine_checks import check_readable, check_tensors, check_type
from .lora_layout import LoraModule, lora_layout
from .lora_places import LoraPlaces
from .lora_places_flux import FluxLoraPlaces
from .lora_places_sdxl import SdxlLoraPlaces
from .lora_tags import LoraFiles, check_no_lora_tags, prompt_loras
from .sdxl_checks import is_sdxl_folder

__all__ = ["CheckedLora", "check_prompt_loras", "checked_lora", "has_quantized", "lora_places"]

_MAX_LORA_TENSORS = 16_384
"""The engine has room for 32,768 in all; a LoRA for every matrix of Flux has 1,500."""
_UNQUANTIZED = {"f64", "f32", "f16", "bf16", "f8_e4m3", "f8_e5m2"}
_MOST_REMEMBERED = 32
_FUSED = re.compile(r"attn\.in_proj[_.]weight$")


@dataclass(frozen=True)
class CheckedLora:
    """A LoRA that can be used.

    Attributes:
        stamp: What `file_stamp` said of the file that was read.
        header: The file's.
        modules: What it changes; none where the places were not asked for.
    """

    stamp: tuple[int, ...]
    header: TensorHeader
    modules: tuple[LoraModule, ...]


_remembered: OrderedDict[tuple[str, object], CheckedLora] = OrderedDict()
_lock = threading.Lock()


def checked_lora(path: Path, places: LoraPlaces | None) -> CheckedLora:
    """Read and check a LoRA's header, unless that was done before and the file is the same.

    Args:
        path: The file.
        places: Of the model it is for; None: they are not known, of a model of another family.

    Raises:
        ModelFileError: It is none, damaged, or has a tensor without a place in the model.
    """
    key = (str(path), None if places is None else places.key)
    with _lock:
        known = _remembered.get(key)
        if known is not None and known.stamp == file_stamp(path):
            _remembered.move_to_end(key)
            return known
    found = _read(path, places)
    with _lock:
        _remembered[key] = found
        _remembered.move_to_end(key)
        while len(_remembered) > _MOST_REMEMBERED:
            _remembered.popitem(last=False)
    return found


def _read(path: Path, places: LoraPlaces | None) -> CheckedLora:
    source = str(path)
    with FileBytes(path, "a LoRA") as content:
        header = lora_header(content, source)
        if header is None:
            check_lora(path)
            check_readable(source)
            raise ModelFileError(f"{source}: expected a LoRA")
        tensors = header.tensors.values()
        check_tensors(source, tensors, header.format)
        weight_scales(header, content, source)
        if len(tensors) > _MAX_LORA_TENSORS:
            raise ModelFileError(
                f"{path}: a LoRA of {counted(len(tensors), 'tensor')}; {_MAX_LORA_TENSORS} are "
                f"possible"
            )
        for tensor in tensors:
            if not tensor.n_elements:
                raise ModelFileError(f"{path}: damaged LoRA: {quoted(tensor.name)} is empty")
            if not tensor.name.endswith(".alpha"):
                check_type(source, tensor, header.format)
        modules = () if places is None else tuple(lora_layout(header, places, source))
        return CheckedLora(content.stamp, header, modules)


def lora_places(
    files: Mapping[str, Any], model: FluxInfo | UnetInfo | None = None
) -> LoraPlaces | None:
    """Where LoRAs can go in what an engine loads.

    Args:
        files: The binding's keyword arguments.
        model: The diffusion model, when it is known.

    Returns:
        None for a model that is neither Flux nor SDXL.

    Raises:
        ModelFileError: The model cannot be read.
    """
    alone, full, clip_l, clip_g, t5 = (
        str(files.get(name) or "")
        for name in (
            "diffusion_model_path", "model_path", "clip_l_path", "clip_g_path", "t5xxl_path"
        )
    )  # fmt: skip
    if isinstance(model, FluxInfo):
        return _flux_places(model, full, bool(clip_l), bool(t5))
    if model is not None:
        return SdxlLoraPlaces(model, is_fused(clip_g or full))
    stamps = tuple(file_stamp(path) for path in (alone, full, clip_g))
    return _places_of_files(alone, full, clip_g, stamps, bool(clip_l), bool(t5))


@functools.lru_cache(maxsize=4)
def _places_of_files(
    alone: str,
    full: str,
    clip_g: str,
    stamps: tuple[tuple[int, ...], ...],
    has_clip: bool,
    has_t5: bool,
) -> LoraPlaces | None:
    """`stamps`: of the files, so that others under their names are read anew."""
    if not alone and os.path.isdir(full):
        return SdxlLoraPlaces(unet_info(full)) if is_sdxl_folder(full) else None
    kind = describe_file(alone or full).kind
    if kind == "sdxl":
        return SdxlLoraPlaces(unet_info(alone or full), is_fused(clip_g or full))
    if kind != "flux" or os.path.isdir(full):
        return None
    return _flux_places(check_diffusion_model(alone or full), full, has_clip, has_t5)


def _flux_places(flux: FluxInfo, full: str, has_clip: bool, has_t5: bool) -> LoraPlaces:
    if full and not os.path.isdir(full):  # a full checkpoint has the other parts in it
        names = [tensor.name for tensor in describe_file(full).tensors]
        has_clip = has_clip or any(".clip_l." in name for name in names)
        has_t5 = has_t5 or any(".t5xxl." in name for name in names)
    return FluxLoraPlaces(flux, has_clip, has_t5)


def is_fused(clip_g: str) -> bool:
    """Whether a file's CLIP-G has queries, keys and values in one matrix, as checkpoints do."""
    if not clip_g or os.path.isdir(clip_g):
        return False
    return any(_FUSED.search(tensor.name) for tensor in describe_file(clip_g).tensors)


def has_quantized(files: Mapping[str, Any], model: FluxInfo | UnetInfo) -> bool:
    """Whether any weight of a diffusion model may be quantized when it is loaded."""
    wanted = str(files.get("wtype") or "default").lower()
    is_converted = wanted not in ("default", "f32", "f16", "bf16") or files.get("tensor_type_rules")
    return bool(is_converted) or not set(model.dtypes) <= _UNQUANTIZED


def check_prompt_loras(
    prompt: str,
    files: Mapping[str, Any],
    negative_prompt: str = "",
    model: FluxInfo | UnetInfo | None = None,
    lora_files: LoraFiles = (),
) -> list[Path]:
    """Make sure that every LoRA that a prompt names can be used: the engine only warns.

    Args:
        prompt: The prompt.
        files: The binding's keyword arguments: the model and where LoRAs are.
        negative_prompt: Where there may be none.
        model: The diffusion model, when it is known.
        lora_files: As those of `GenerationOptions`.

    Returns:
        The files, in the order of the tags; without those whose weight is 0.

    Raises:
        ValueError: A tag that is none, a weight out of range, or weights that add up to nothing.
        ModelFileError: A LoRA that does not exist, or is not one, or has a tensor without a place
            in a Flux or SDXL model.
    """
    check_no_lora_tags(negative_prompt)
    loras = prompt_loras(prompt, files.get("lora_model_dir"), lora_files)
    weights: dict[Path, float] = {}
    for lora in loras:
        if lora.weight:
            weights[lora.path] = weights.get(lora.path, 0.0) + lora.weight
    for path, weight in weights.items():
        if not weight:
            raise ValueError(f"the weights of {path.name} in the prompt add up to 0; leave it out")
    places = lora_places(files, model) if loras else None
    for path in dict.fromkeys(lora.path for lora in loras):
        checked_lora(path, places)
    return list(weights)
