"""Writing the gguf of an identity file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ARCHITECTURE",
    "DTYPES",
    "FORMAT_VERSION",
    "PREFIX",
    "MetadataValue",
    "identity_gguf",
]

ARCHITECTURE = "pulid"
FORMAT_VERSION = 1
DTYPES = ("f16", "f32", "bf16")
PREFIX = "pulid."
"""Of the keys of metadata."""

MetadataValue = str | bool | int | float | tuple["str | bool | int | float", ...]


def identity_gguf(
    tensors: Mapping[str, NDArray[np.float32]],
    dtype: str,
    metadata: Mapping[str, MetadataValue],
    texts: Mapping[str, str],
    arrays: Mapping[str, NDArray[np.int8]],
) -> bytes:
    """What is in the file.

    Args:
        tensors: (tokens, width), by name.
        dtype: Their type in the file, of DTYPES.
        metadata: By name, without PREFIX.
        texts: Further entries, under their whole keys.
        arrays: Further tensors, (n,) bytes.

    Raises:
        ValueError: The dtype is unknown or too small for the tokens.
    """
    packed = {name: _packed(tokens, dtype) for name, tokens in tensors.items()}
    # GGUFWriter only writes to a path, hence the detour.
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, "identity.gguf")
        _write_gguf(draft, packed, dtype, metadata, texts, arrays)
        return draft.read_bytes()


def _packed(tokens: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    """The tokens as the writer wants them: float arrays, or the raw bytes of a BF16 tensor."""
    if dtype == "f32":
        return tokens.astype("<f4")
    if dtype == "f16":
        with np.errstate(over="ignore", under="ignore"):
            packed = tokens.astype("<f2")
        largest = float(np.abs(tokens).max())
        if not np.isfinite(packed).all():
            raise ValueError(
                f"identity tokens reach {largest:g}, more than f16 can hold (65504);"
                " save with dtype 'f32'"
            )
        return packed
    if dtype == "bf16":
        bits = tokens.view(np.uint32).astype(np.uint64)
        # Round to nearest, ties to even, as ggml does.
        halves = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
        if ((halves & 0x7F80) == 0x7F80).any():
            raise ValueError("identity tokens are more than bf16 can hold; save with dtype 'f32'")
        return halves.view(np.uint8)
    raise ValueError(f"identity dtype: expected one of {DTYPES}, found {dtype!r}")


def _write_gguf(
    path: Path,
    tensors: Mapping[str, NDArray[Any]],
    dtype: str,
    metadata: Mapping[str, MetadataValue],
    texts: Mapping[str, str],
    arrays: Mapping[str, NDArray[np.int8]],
) -> None:
    import gguf

    types = gguf.GGUFValueType

    def scalar_type(value: object) -> Any:
        # bool before int: it is one.
        for python_type, gguf_type in (
            (bool, types.BOOL),
            (int, types.INT64),
            (float, types.FLOAT64),
        ):
            if isinstance(value, python_type):
                return gguf_type
        return types.STRING

    writer = gguf.GGUFWriter(path, ARCHITECTURE)
    try:
        writer.add_uint32(PREFIX + "version", FORMAT_VERSION)
        for key, value in metadata.items():
            if not isinstance(value, tuple):
                writer.add_key_value(PREFIX + key, value, scalar_type(value))
            else:
                writer.add_key_value(PREFIX + key, list(value), types.ARRAY, scalar_type(value[0]))
        for key, text in texts.items():
            writer.add_string(key, text)
        for name, packed in tensors.items():
            writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType[dtype.upper()])
        for name, array in arrays.items():
            writer.add_tensor(name, array, raw_dtype=gguf.GGMLQuantizationType.I8)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
