"""Strict, bounded reader of safetensors headers.

The `safetensors` package is not used here: only the extractor depends on it, NumPy has
no bfloat16 for it to return, and a dozen checks on a JSON header are all that is needed
to memory-map the tensors safely.

Source: the format's description in huggingface/safetensors, README.md: 8 bytes length
(little-endian), a JSON object, then the tensors, covering the rest exactly.
"""

from __future__ import annotations

import json
from math import prod
from typing import TYPE_CHECKING, Any

from ..errors import ModelFileError
from ..terminal_text import quoted
from .tensor_header import MAX_NAME_BYTES, TensorHeader, TensorInfo

if TYPE_CHECKING:
    from .file_bytes import FileBytes

__all__ = ["DTYPE_BYTES", "parse_safetensors"]

MAX_JSON_BYTES = 16 << 20
"""The format allows 100 MB; a 12 GB Flux needs 0.2 MB."""
MAX_TENSORS = 1 << 20
MAX_DIMS = 8

DTYPE_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "F8_E8M0": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
    "C64": 8,
}

_UNSUPPORTED = ("F4", "F6_E2M3", "F6_E3M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ")
"""Types that the format has, too."""


def parse_safetensors(
    buffer: bytes | FileBytes, source: str, max_header_bytes: int = MAX_JSON_BYTES
) -> TensorHeader:
    """Read and check the header of a safetensors file.

    Args:
        buffer: The whole file, as bytes or as what reads it.
        source: The file's name, for error messages.
        max_header_bytes: Refuse a JSON header longer than this.

    Raises:
        ModelFileError: Damaged, truncated or oversized.
    """
    size = len(buffer)
    if size < 8:
        raise ModelFileError(f"{source}: truncated: {size} bytes are too few for safetensors")
    length = int.from_bytes(buffer[:8], "little")
    if length > min(max_header_bytes, MAX_JSON_BYTES):
        raise ModelFileError(
            f"{source}: oversized metadata: a safetensors header of {length} bytes"
        )
    data_offset = 8 + length
    if data_offset > size:
        raise ModelFileError(
            f"{source}: truncated: the safetensors header needs {data_offset} bytes,"
            f" the file has {size}"
        )
    try:
        header = json.loads(
            buffer[8:data_offset].decode(),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
        )
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{source}: damaged safetensors header: {error}") from None
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        raise ModelFileError(f"{source}: damaged safetensors header: not an object of tensors")

    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ModelFileError(f"{source}: damaged safetensors header: __metadata__ is not text")
    tensors = {
        name: _tensor_info(name, entry, data_offset, source) for name, entry in header.items()
    }

    end = data_offset
    for info in sorted(tensors.values(), key=lambda tensor: (tensor.offset, tensor.nbytes)):
        if info.offset != end:
            problem = "overlaps another" if info.offset < end else "leaves a gap before it"
            raise ModelFileError(
                f"{source}: damaged safetensors header: tensor {quoted(info.name)} {problem}"
            )
        end = info.offset + info.nbytes
    if end > size:
        raise ModelFileError(
            f"{source}: truncated: its tensors need {end} bytes, the file has {size};"
            " download or write it again"
        )
    if end < size:
        raise ModelFileError(
            f"{source}: damaged safetensors file: {size - end} bytes belong to no tensor"
        )
    return TensorHeader("safetensors", tensors, metadata, data_offset, size)


def _tensor_info(name: str, entry: Any, data_offset: int, source: str) -> TensorInfo:
    damaged = f"{source}: damaged safetensors header: tensor {quoted(name)}"
    size = len(name.encode("utf-8", "surrogatepass"))
    if size > MAX_NAME_BYTES:
        raise ModelFileError(f"{damaged} has a name of {size} bytes (limit {MAX_NAME_BYTES})")
    if not isinstance(entry, dict):
        raise ModelFileError(f"{damaged} is not an object")
    dtype: Any = entry.get("dtype")
    shape: Any = entry.get("shape")
    offsets: Any = entry.get("data_offsets")
    if dtype in _UNSUPPORTED:
        raise ModelFileError(
            f"{source}: tensor {quoted(name)} is of type {dtype}, which cannot be read; use a gguf,"
            " or a file in F16, BF16 or fp8"
        )
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise ModelFileError(f"{damaged} has the unknown dtype {quoted(dtype)}")
    if not _is_sizes(shape) or len(shape) > MAX_DIMS:
        raise ModelFileError(f"{damaged} has the implausible shape {quoted(shape)}")
    if not _is_sizes(offsets) or len(offsets) != 2:
        raise ModelFileError(f"{damaged} has the offsets {quoted(offsets)}")
    nbytes = prod(shape) * DTYPE_BYTES[dtype]
    if offsets[1] - offsets[0] != nbytes:
        raise ModelFileError(
            f"{damaged}: {dtype} {list(shape)} takes {nbytes} bytes, its offsets span"
            f" {offsets[1] - offsets[0]}"
        )
    return TensorInfo(name, tuple(shape), dtype.lower(), data_offset + offsets[0], nbytes)


def _is_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(
        type(number) is int and 0 <= number < 1 << 62 for number in value
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name occurs twice")
    return result


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
