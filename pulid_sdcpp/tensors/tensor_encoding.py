"""Values of a tensor to the bytes a file holds, for the types that this project writes."""

from __future__ import annotations

import math

import gguf
import numpy as np

from .q4_k import quantize_q4_k
from .tensor_spec import TensorSpec

__all__ = ["bfloat16", "encode", "ggml_type", "stored_bytes"]


def ggml_type(dtype: str) -> gguf.GGMLQuantizationType:
    """The gguf package's type for a lower-case name such as "q4_0".

    Raises:
        ValueError: There is no such type.
    """
    try:
        return gguf.GGMLQuantizationType[dtype.upper()]
    except KeyError:
        raise ValueError(f"unknown tensor type {dtype!r}") from None


def stored_bytes(spec: TensorSpec) -> int:
    """How many bytes the tensor takes in a file.

    Raises:
        ValueError: Its rows are not whole blocks of its type.
    """
    block, block_bytes = gguf.GGML_QUANT_SIZES[ggml_type(spec.dtype)]
    if spec.shape[-1] % block:
        raise ValueError(
            f"{spec.dtype} needs rows of a multiple of {block}, {spec.name} has {spec.shape[-1]}"
        )
    return math.prod(spec.shape) // int(block) * int(block_bytes)


def encode(spec: TensorSpec) -> bytes:
    """Make the tensor's values and pack them; not for holes (`values` None).

    Raises:
        ValueError: The values do not have the promised shape, or the type cannot be written.
    """
    if spec.values is None:
        raise ValueError(f"{spec.name} is a hole")
    values = spec.values()
    if values.dtype == np.uint8:
        data = values.tobytes()
    elif values.shape != spec.shape:
        raise ValueError(f"{spec.name}: expected the shape {spec.shape}, found {values.shape}")
    elif spec.dtype == "f32":
        data = values.astype("<f4", copy=False).tobytes()
    elif spec.dtype == "f16":
        data = values.astype("<f2").tobytes()
    elif spec.dtype == "bf16":
        data = bfloat16(values).tobytes()
    elif spec.dtype == "q4_k":
        data = quantize_q4_k(values).tobytes()
    elif spec.dtype in ("q4_0", "q8_0"):
        data = gguf.quants.quantize(values, ggml_type(spec.dtype)).tobytes()
    else:
        raise ValueError(f"{spec.name}: writing {spec.dtype} is not supported")
    if len(data) != stored_bytes(spec):
        raise ValueError(f"{spec.name}: {len(data)} bytes for {stored_bytes(spec)}")
    return data


def bfloat16(values: np.ndarray) -> np.ndarray:
    """Round finite float32 to bfloat16, ties to even, as uint16 (NumPy has no such type)."""
    bits = np.ascontiguousarray(values, dtype="<f4").view("<u4")
    rounded: np.ndarray = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return rounded.astype("<u2")
