"""Reading weights files with the packages that define the formats, not with our own code."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import safetensors
import torch

__all__ = ["dequantized", "read_gguf", "read_safetensors", "row_major_shape"]


def read_gguf(path: str | Path) -> dict[str, gguf.ReaderTensor]:
    """The tensors of a gguf file by name, in file order, memory-mapped."""
    return {tensor.name: tensor for tensor in gguf.GGUFReader(str(path)).tensors}


def row_major_shape(tensor: gguf.ReaderTensor) -> tuple[int, ...]:
    """gguf lists the fastest dimension first."""
    return tuple(int(n) for n in reversed(tensor.shape))


def dequantized(tensor: gguf.ReaderTensor) -> np.ndarray:
    """A copy of the tensor's values as float32, row-major."""
    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    return values.reshape(row_major_shape(tensor)).astype(np.float32)


def read_safetensors(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file by name."""
    with safetensors.safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
