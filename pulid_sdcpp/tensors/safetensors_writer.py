"""Writing safetensors files: the format is a JSON header before the raw tensors.

Source: huggingface/safetensors, README.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

from ..system.atomic_file import atomic_file
from .tensor_encoding import encode, stored_bytes
from .tensor_spec import TensorSpec

__all__ = ["write_safetensors"]

DTYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16"}
_ALIGNMENT = 8


def write_safetensors(
    path: str | os.PathLike[str],
    tensors: Sequence[TensorSpec],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write `tensors` in their order, whole or not at all.

    Raises:
        OutputFileError: The file cannot be written.
        ValueError: A tensor's type is not one of f32, f16, bf16.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for spec in tensors:
        if spec.dtype not in DTYPES:
            raise ValueError(f"{spec.name}: safetensors files cannot hold {spec.dtype}")
        end = offset + stored_bytes(spec)
        header[spec.name] = {
            "dtype": DTYPES[spec.dtype],
            "shape": list(spec.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with atomic_file(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for spec in tensors:
            if spec.values is None:
                file.seek(stored_bytes(spec), os.SEEK_CUR)
            else:
                file.write(encode(spec))
        file.truncate(file.tell())
