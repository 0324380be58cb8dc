"""Tensors out of a torch checkpoint, for who writes them in a format without programs in it."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import ModelFileError
from ..tensors.tensor_spec import TensorSpec
from ..terminal_text import quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["checkpoint_tensors"]

_DTYPES = {"torch.float32": "f32", "torch.float16": "f16", "torch.bfloat16": "bf16"}


def checkpoint_tensors(path: str | os.PathLike[str]) -> list[TensorSpec]:
    """Read a torch checkpoint, of which nothing but tensors is unpickled.

    The whole file is in memory as long as the result is.

    Returns:
        Its tensors in their order, of the types they have there.

    Raises:
        ModelFileError: Damaged, not of named tensors, or with whole or complex numbers.
        MissingDependencyError: The extra [extract] is not installed.
    """
    from pulid_extractor.dependencies import require_module

    require_module("torch")
    from pulid_extractor.checkpoint import read_checkpoint

    specs = []
    for name, tensor in read_checkpoint(path).items():
        if str(tensor.dtype) not in _DTYPES or not tensor.shape:
            raise ModelFileError(
                f"{os.fspath(path)}: expected matrices of floating point numbers, found "
                f"{quoted(name)} of type {str(tensor.dtype).removeprefix('torch.')} and shape "
                f"{tuple(tensor.shape)}"
            )
        dtype = _DTYPES[str(tensor.dtype)]
        specs.append(TensorSpec(name, tuple(tensor.shape), dtype, partial(_values, tensor)))
    return specs


def _values(tensor: Any) -> NDArray[np.float32]:
    values: NDArray[np.float32] = tensor.detach().float().contiguous().numpy()
    return values
