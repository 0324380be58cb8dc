"""Writing gguf files that may have holes, which the `gguf` package's writer cannot.

Source: the gguf specification, ggml/docs/gguf.md.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from ..system.atomic_file import atomic_file
from .tensor_encoding import encode, ggml_type, stored_bytes
from .tensor_spec import TensorSpec

__all__ = ["write_gguf"]

_VERSION = 3
_ALIGNMENT = 32
_PAGE_BYTES = 4096
_EMPTY_PAGE = bytes(_PAGE_BYTES)
_UINT32, _STRING = 4, 8
"""Type numbers of metadata values."""


def write_gguf(
    path: str | os.PathLike[str],
    tensors: Sequence[TensorSpec],
    metadata: Mapping[str, str | int],
) -> None:
    """Write `tensors` in their order, whole or not at all.

    Args:
        metadata: Texts and unsigned 32-bit numbers; "general.architecture" belongs in it.

    Raises:
        OutputFileError: The file cannot be written.
        ValueError: A tensor's type is unknown or does not fit its rows.
    """
    header = b"GGUF" + struct.pack("<IQQ", _VERSION, len(tensors), len(metadata))
    for key, value in metadata.items():
        header += _text(key)
        if isinstance(value, str):
            header += struct.pack("<I", _STRING) + _text(value)
        else:
            header += struct.pack("<II", _UINT32, value)
    offset = 0
    for spec in tensors:
        dimensions = spec.shape[::-1]
        header += _text(spec.name) + struct.pack(
            f"<I{len(dimensions)}Q", len(dimensions), *dimensions
        )
        header += struct.pack("<IQ", ggml_type(spec.dtype), offset)
        offset += _aligned(stored_bytes(spec))
    with atomic_file(path) as file:
        file.write(header.ljust(_aligned(len(header)), b"\0"))
        for spec in tensors:
            size = stored_bytes(spec)
            if spec.values is None:
                file.seek(_aligned(size), os.SEEK_CUR)
            else:
                _write_with_holes(file, encode(spec).ljust(_aligned(size), b"\0"))
        file.truncate(file.tell())


def _write_with_holes(file: BinaryIO, data: bytes) -> None:
    """Leave pages of zeros out: a tensor of few numbers takes little room on the disk."""
    written = 0
    for page in range(0, len(data) - _PAGE_BYTES + 1, _PAGE_BYTES):
        if data.startswith(_EMPTY_PAGE, page):
            file.write(memoryview(data)[written:page])
            file.seek(_PAGE_BYTES, os.SEEK_CUR)
            written = page + _PAGE_BYTES
    file.write(memoryview(data)[written:])


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
