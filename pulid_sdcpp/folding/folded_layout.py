"""What a folded identity consists of, for each family of models, as its file needs to know it."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..families.flux.folding import PackedLayer, packed_form
from ..families.sdxl.folding import UnetLayerKV, packed_shapes

__all__ = ["PAGE_BYTES", "FileLayout", "FoldedLayout", "Layer", "UnetFoldedLayout", "whole_pages"]

PAGE_BYTES = 4096

Layer = TypeVar("Layer")
"""A folded layer of one family."""
ArrayForm = tuple[np.dtype[Any], tuple[int, ...]]
"""Element type and shape of an array."""

_VERSION = 1
_FIXED = struct.Struct("<8s4I8s")  # magic, version, layers, rows, hidden, dtype


class FileLayout(ABC, Generic[Layer]):
    """The layers of a folded identity, and how each is put into a file and taken from it."""

    MAGIC: ClassVar[bytes]
    """What a file of this family begins with, eight bytes."""
    n_layers: int

    @abstractmethod
    def description(self) -> bytes:
        """What the file's header says of the layout, from MAGIC on."""

    @classmethod
    @abstractmethod
    def described(cls, content: bytes) -> FileLayout[Layer]:
        """The layout of a file that begins so.

        Raises:
            ValueError: Too few bytes.
        """

    @abstractmethod
    def arrays(self, index: int) -> list[ArrayForm]:
        """What a layer has, in the order of the file."""

    @abstractmethod
    def parts(self, layer: Layer) -> Sequence[NDArray[Any]]:
        """The arrays of a layer, as `arrays` says."""

    @abstractmethod
    def layer(self, parts: Sequence[NDArray[Any]]) -> Layer:
        """The inverse of `parts`."""

    def layer_bytes(self, index: int) -> int:
        """Of a layer in the file, with the zeros behind it."""
        return whole_pages(sum(kind.itemsize * prod(shape) for kind, shape in self.arrays(index)))


@dataclass(frozen=True)
class FoldedLayout(FileLayout[PackedLayer]):
    """An identity folded for Flux: bias, a and b of each layer.

    Attributes:
        n_layers: Number of layers.
        rows: Attention heads times identity tokens.
        hidden: Flux's width.
        dtype: "f16", "f32" or "q8_0".
    """

    MAGIC = b"PULIDFLD"
    n_layers: int
    rows: int
    hidden: int
    dtype: str

    def description(self) -> bytes:
        sizes = (self.n_layers, self.rows, self.hidden)
        return _FIXED.pack(self.MAGIC, _VERSION, *sizes, self.dtype.encode())

    @classmethod
    def described(cls, content: bytes) -> FoldedLayout:
        n_layers, rows, hidden, dtype = _unpacked(content)
        return cls(n_layers, rows, hidden, dtype)

    def arrays(self, index: int) -> list[ArrayForm]:
        return [
            (np.dtype("<f4"), (self.rows,)),
            packed_form(self.dtype, self.rows, self.hidden),
            packed_form(self.dtype, self.hidden, self.rows),
        ]

    def parts(self, layer: PackedLayer) -> Sequence[NDArray[Any]]:
        return layer.bias, layer.a, layer.b

    def layer(self, parts: Sequence[NDArray[Any]]) -> PackedLayer:
        bias, a, b = parts
        return PackedLayer(a, bias, b, self.dtype)


@dataclass(frozen=True)
class UnetFoldedLayout(FileLayout[UnetLayerKV]):
    """An identity folded for SDXL's UNet: keys and values of each layer.

    Attributes:
        widths: Channels of each layer, in the order of the layers.
        rows: Identity tokens and the zeros behind them.
        dtype: "f16" or "f32".
    """

    MAGIC = b"PULIDFKV"
    widths: tuple[int, ...]
    rows: int
    dtype: str

    @property
    def n_layers(self) -> int:  # type: ignore[override]
        return len(self.widths)

    def description(self) -> bytes:
        sizes = (self.n_layers, self.rows, 0)
        fixed = _FIXED.pack(self.MAGIC, _VERSION, *sizes, self.dtype.encode())
        return fixed + struct.pack(f"<{self.n_layers}I", *self.widths)

    @classmethod
    def described(cls, content: bytes) -> UnetFoldedLayout:
        n_layers, rows, _, dtype = _unpacked(content)
        widths = content[_FIXED.size :][: 4 * n_layers]
        if len(widths) != 4 * n_layers:
            raise ValueError(f"it ends before the widths of {n_layers} layers")
        return cls(struct.unpack(f"<{n_layers}I", widths), rows, dtype)

    def arrays(self, index: int) -> list[ArrayForm]:
        kind = np.dtype({"f16": "<f2", "f32": "<f4"}[self.dtype])
        return [(kind, shape) for shape in packed_shapes(self.widths[index], self.rows)]

    def parts(self, layer: UnetLayerKV) -> Sequence[NDArray[Any]]:
        return layer.k, layer.v

    def layer(self, parts: Sequence[NDArray[Any]]) -> UnetLayerKV:
        k, v = parts
        return UnetLayerKV(k, v, self.dtype)


def whole_pages(size: int) -> int:
    """A size in bytes, rounded up to whole pages."""
    return -(-size // PAGE_BYTES) * PAGE_BYTES


def _unpacked(content: bytes) -> tuple[int, int, int, str]:
    if len(content) < _FIXED.size:
        raise ValueError(f"it has {len(content)} bytes")
    _, _, n_layers, rows, hidden, dtype = _FIXED.unpack(content[: _FIXED.size])
    return n_layers, rows, hidden, dtype.rstrip(b"\0").decode("ascii", "replace")
