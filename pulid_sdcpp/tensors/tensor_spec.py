"""A tensor that is yet to be written: its name, shape, type, and how to make its values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["TensorSpec"]


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a file to write.

    Attributes:
        name: Its name in the file.
        shape: Row-major, the fastest dimension last (gguf lists it the other way round).
        dtype: "f32", "f16", "bf16", or for gguf a ggml type in lower case.
        values: Makes a float32 array of `shape`, or a uint8 array that already is what the
            file will hold. Called when the tensor is written, so that one is in memory at
            a time. None stands for zeros, which are left as a hole in the file: they take
            no room on file systems that know sparse files.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    values: Callable[[], np.ndarray] | None = None
