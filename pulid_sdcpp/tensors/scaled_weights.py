"""Weights that are stored as small numbers beside a factor for the whole matrix.

ComfyUI's `*_fp8_scaled` files: `NAME.scale_weight`, in newer files `NAME.weight_scale`, is one
number by which all of `NAME.weight` is to be multiplied. `NAME.scale_input` and
`NAME.input_scale` are of activations, for processors that multiply in fp8; the exact result
does without them. `scaled_fp8` is an empty marker, and `NAME.comfy_quant` a few bytes of JSON
that name the format. The engine does the same: native/src/pulid_scales.hpp.

Source: ComfyUI, QUANTIZATION.md and comfy/ops.py.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterator, Mapping
from math import isfinite

from ..errors import ModelFileError
from ..terminal_text import quoted
from .file_bytes import FileBytes
from .file_header import read_header
from .tensor_header import TensorHeader, TensorInfo

__all__ = ["check_weight_scales", "is_companion", "is_scale", "weight_scales"]

_OF_WEIGHTS = (".scale_weight", ".weight_scale")
_OF_ACTIVATIONS = (".scale_input", ".input_scale")
_MARKER = "scaled_fp8"
_FORMAT = ".comfy_quant"
_SCALABLE = {"f8_e4m3", "f8_e5m2", "f16", "bf16", "f32"}
_COMFY_FORMATS = {"float8_e4m3fn": "f8_e4m3", "float8_e5m2": "f8_e5m2"}
_HARMLESS_KEYS = {"format", "full_precision_matrix_mult", "orig_dtype"}
_MAX_FORMAT_BYTES = 1 << 16
_NUMBER = re.compile(r"(?<=\.)[0-9]+(?=\.)")
_USE = "use a gguf, or a file in F16, BF16 or fp8"


def is_companion(name: str, tensors: Mapping[str, object]) -> bool:
    """Whether a tensor only says something about a weight, so that it is none itself.

    Args:
        name: Of the tensor.
        tensors: All of the file, by name.
    """
    if name == _MARKER or name.endswith(("." + _MARKER, _FORMAT)):
        return True
    owner = _owner(name, (*_OF_WEIGHTS, *_OF_ACTIVATIONS))
    return owner is not None and f"{owner}.weight" in tensors


def is_scale(name: str) -> bool:
    """Whether a tensor is named as the scale of a weight, which need not be there."""
    return _owner(name, _OF_WEIGHTS) is not None


def check_weight_scales(path: str | os.PathLike[str]) -> None:
    """As `weight_scales`, of a gguf or safetensors file; no other is looked at."""
    source = os.fspath(path)
    with FileBytes(path) as buffer:
        weight_scales(read_header(buffer, source), buffer, source)


def weight_scales(header: TensorHeader, buffer: bytes | FileBytes, source: str) -> dict[str, float]:
    """The factors of a file's weights.

    Args:
        header: Of the file.
        buffer: The whole file.
        source: Its name, for errors.

    Returns:
        By name of the weight; most files have none.

    Raises:
        ModelFileError: A factor without its weight, that is no positive finite number, or of a
            weight that cannot have one; a weight without, whose like in other blocks have one; a
            format of ComfyUI's that is more than a factor.
    """
    scales: dict[str, float] = {}
    for info in header.tensors.values():
        owner = _owner(info.name, _OF_WEIGHTS)
        if owner is None:
            continue
        weight = header.tensors.get(f"{owner}.weight")
        if weight is None:
            raise ModelFileError(
                f"{source}: damaged file: {quoted(info.name)} is the scale of a weight that is not"
                " there"
            )
        if weight.dtype not in _SCALABLE or not weight.n_elements or weight.name in scales:
            raise ModelFileError(
                f"{source}: {quoted(weight.name)} is of type {weight.dtype} and has the scale"
                f" {quoted(info.name)}, which the engine cannot read; {_USE}"
            )
        scales[weight.name] = _scale(info, buffer, source)
    _check_none_is_missing(header, scales, source)
    for name, form in _comfy_formats(header, buffer, source):
        _check_format(name, form, header, source)
    return scales


def _check_none_is_missing(header: TensorHeader, scales: Mapping[str, float], source: str) -> None:
    """Weights that some blocks keep in more bits have no factor, but those are not in fp8."""
    alike = {_NUMBER.sub("", name) for name in scales}
    for name, info in header.tensors.items():
        if info.dtype.startswith("f8_") and name not in scales and _NUMBER.sub("", name) in alike:
            raise ModelFileError(
                f"{source}: damaged file: {quoted(name)} is without the scale that such weights of"
                " other blocks have"
            )


def _owner(name: str, suffixes: tuple[str, ...]) -> str | None:
    return next((name[: -len(end)] for end in suffixes if name.endswith(end)), None) or None


def _scale(info: TensorInfo, buffer: bytes | FileBytes, source: str) -> float:
    name = quoted(info.name)
    if info.n_elements != 1 or info.dtype not in ("f32", "f16", "bf16"):
        raise ModelFileError(
            f"{source}: expected the scale {name} to be one number, found {info.dtype} of shape"
            f" {info.shape}; {_USE}"
        )
    raw = bytes(buffer[info.offset : info.offset + info.nbytes])
    if info.dtype == "f16":
        value = struct.unpack("<e", raw)[0]
    else:
        value = struct.unpack("<f", raw if info.dtype == "f32" else b"\0\0" + raw)[0]
    if not isfinite(value) or value <= 0:
        raise ModelFileError(
            f"{source}: damaged file: expected the scale {name} to be a positive number, found"
            f" {value:g}"
        )
    return float(value)


def _comfy_formats(
    header: TensorHeader, buffer: bytes | FileBytes, source: str
) -> Iterator[tuple[str, object]]:
    """What ComfyUI's own notes say of each layer: name, format."""
    for info in header.tensors.values():
        if info.name.endswith(_FORMAT):
            if info.nbytes > _MAX_FORMAT_BYTES:
                raise ModelFileError(f"{source}: {quoted(info.name)} is too long for a format")
            raw = bytes(buffer[info.offset : info.offset + info.nbytes])
            yield info.name.removesuffix(_FORMAT), _json(raw.rstrip(b"\0"), source)
    text = header.metadata.get("_quantization_metadata")
    if isinstance(text, str):
        found = _json(text.encode(errors="replace"), source)
        layers = found.get("layers") if isinstance(found, dict) else None
        yield from (layers if isinstance(layers, dict) else {}).items()


def _json(raw: bytes, source: str) -> object:
    try:
        found: object = json.loads(raw)
    except (ValueError, RecursionError):
        raise ModelFileError(f"{source}: damaged file: a quantization that is not JSON") from None
    return found


def _check_format(layer: str, form: object, header: TensorHeader, source: str) -> None:
    known = form if isinstance(form, dict) else {}
    kind = known.get("format")
    more = {key for key, value in known.items() if key not in _HARMLESS_KEYS and value}
    weight = header.tensors.get(f"{layer}.weight")
    expected = _COMFY_FORMATS.get(kind) if isinstance(kind, str) else None
    if expected is None or more or (weight is not None and weight.dtype != expected):
        shown = ", ".join([str(kind), *sorted(map(str, more))])
        raise ModelFileError(
            f"{source}: {quoted(layer)} is quantized in ComfyUI's format {quoted(shown)}, which the"
            f" engine cannot read; {_USE}"
        )
