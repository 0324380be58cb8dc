"""What the header of a file of tensors says, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod

from ..terminal_text import quoted

__all__ = ["MAX_NAME_BYTES", "TensorHeader", "TensorInfo"]


MAX_NAME_BYTES = 1 << 10
"""Of a tensor. Flux's names have up to 70, kohya's of its LoRAs 80."""


@dataclass(frozen=True)
class TensorInfo:
    """One tensor: where it lies and how to read it.

    Attributes:
        name: As in the file, prefix included.
        shape: Row-major, as NumPy and PyTorch write it. (gguf stores the reverse, `ne`.)
        dtype: Lower-case element type: "f32", "f16", "bf16", "q8_0", "i64", "f8_e4m3", ...
        offset: First byte, counted from the start of the file.
        nbytes: Stored size.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    offset: int
    nbytes: int

    @property
    def n_elements(self) -> int:
        return prod(self.shape)

    def rows(self, start: int, stop: int) -> TensorInfo:
        """Some of its rows, as if they were a tensor; not for one without dimensions.

        Raises:
            ValueError: There are no such rows.
        """
        if not 0 <= start < stop <= self.shape[0]:
            raise ValueError(
                f"rows {start} to {stop} of {quoted(self.name)}: there are {self.shape[0]}"
            )
        row_bytes = self.nbytes // self.shape[0]
        return replace(
            self,
            shape=(stop - start, *self.shape[1:]),
            offset=self.offset + start * row_bytes,
            nbytes=(stop - start) * row_bytes,
        )


@dataclass(frozen=True)
class TensorHeader:
    """A whole header, checked: every tensor lies inside the file and none overlap.

    Attributes:
        format: "gguf" or "safetensors".
        tensors: By name, in file order.
        metadata: gguf key-value pairs, or safetensors' `__metadata__`. Long gguf arrays
            (token lists) are not kept: an `OmittedArray` says what they were.
        data_offset: First byte after the header.
        size_bytes: Size of the whole file.
    """

    format: str
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, object] = field(default_factory=dict)
    data_offset: int = 0
    size_bytes: int = 0
