"""Numbers of a LoRA, read from the user's file and written into the engine's."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelFileError
from ..tensors.tensor_file import TensorFile
from ..tensors.tensor_header import TensorInfo
from ..terminal_text import quoted
from .lora_layout import LoraModule, matrix_shape

__all__ = ["LoraReader", "Values", "Written", "kept_type", "write_tensors"]

_NUMPY = {"f16": "<f2", "f32": "<f4", "bf16": "<u2"}
_SAFETENSORS = {"f16": "F16", "f32": "F32", "bf16": "BF16"}
Values = NDArray[np.float32]


@dataclass(frozen=True)
class Written:
    """A tensor of the file to write; its values are made when it is its turn."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    values: Callable[[], Values]

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(_NUMPY[self.dtype]).itemsize


class LoraReader:
    """Numbers of a LoRA file."""

    def __init__(self, file: TensorFile, source: str) -> None:
        self._file = file
        self.source = source

    def matrix(self, info: TensorInfo) -> Values:
        """A tensor in float32, without the ones at the end of its shape.

        Raises:
            ModelFileError: It has numbers that are not finite.
        """
        values: Values = self._file.read(info.name).reshape(matrix_shape(info))
        if not np.isfinite(values).all():
            raise ModelFileError(
                f"{self.source}: damaged LoRA: {quoted(info.name)} has numbers that are not finite"
            )
        return values

    def scale(self, module: LoraModule) -> float:
        """What the weight's change is multiplied by: alpha / rank, where there is an alpha."""
        tensors = module.tensors
        if "alpha" not in tensors or module.form in ("dense", ""):
            return module.metadata_scale
        for role, axis in (("down", 0), ("hada_w1_b", 0), ("lokr_w1_b", 0), ("lokr_w2_b", 0)):
            if role in tensors:
                rank = matrix_shape(tensors[role])[axis]
                return float(self.matrix(tensors["alpha"]).reshape(())) / rank
        return 1.0  # a Kronecker product of two whole matrices is taken as it is

    def size(self, module: LoraModule) -> float:
        """How much a number of the model may change, at most by one rank; 0: not at all."""
        largest = {
            role: float(np.abs(self.matrix(info)).max())
            for role, info in module.tensors.items()
            if role != "alpha"
        }
        scale = abs(self.scale(module))
        sizes = [
            largest.pop(role) * (scale if role == "up_bias" else 1.0)
            for role in ("up_bias", "diff_b")
            if role in largest
        ]
        if largest:
            sizes.append(math.prod(largest.values()) * scale)
        return max(sizes)


def kept_type(info: TensorInfo) -> str:
    return info.dtype if info.dtype in _NUMPY else "f16" if info.dtype.startswith("f8") else "f32"


def write_tensors(tensors: Sequence[Written], output: BinaryIO, source: str) -> None:
    header, end = {}, 0
    for tensor in tensors:
        start, end = end, end + tensor.nbytes
        header[tensor.name] = {
            "dtype": _SAFETENSORS[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    output.write(len(text).to_bytes(8, "little") + text)
    for tensor in tensors:
        with np.errstate(over="ignore", invalid="ignore"):
            values = tensor.values()
        assert values.shape == tensor.shape
        if not np.isfinite(values).all():
            raise ModelFileError(
                f"{source}: damaged LoRA: the numbers that make {tensor.name} are too large"
            )
        if tensor.dtype == "bf16":  # was one, so that its lower half is empty
            output.write((values.view(np.uint32) >> 16).astype("<u2").tobytes())
        else:
            output.write(values.astype(_NUMPY[tensor.dtype]).tobytes())
