"""The identity attention layers of a PuLID weights file for Flux.

PuLID-Flux adds a cross-attention layer after every second double block and every fourth
single block. Their number and sizes are read from the file, so that small models work too.

Source: ToTheBeginning/PuLID, pulid/encoders_transformer.py (PerceiverAttentionCA) and
flux/model.py (where the layers are called).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ...errors import ModelFileError, ModelMismatchError
from ...tensors.file_kinds import classify
from ...tensors.matrix_rows import MatrixRows
from ...tensors.tensor_file import TensorFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from .layout import FluxInfo

__all__ = [
    "DOUBLE_INTERVAL",
    "HEAD_DIM",
    "SINGLE_INTERVAL",
    "MatrixRows",
    "PulidLayer",
    "PulidWeights",
    "positions",
]

DOUBLE_INTERVAL = 2
SINGLE_INTERVAL = 4
HEAD_DIM = 128
"""Width of one attention head in every PuLID-Flux layer; the number of heads follows."""
MAX_LAYERS = 1024

_LAYER = re.compile(r"pulid_ca\.([0-9]{1,9})\.")
_NORMS = ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias")
_MATRICES = ("to_q.weight", "to_kv.weight", "to_out.weight")


def positions(depth: int, depth_single: int) -> list[tuple[Literal["double", "single"], int]]:
    """The Flux blocks that identity attention follows, in the order of its layers.

    Args:
        depth: Number of double blocks, 19 in the published model.
        depth_single: Number of single blocks, 38 in the published model (20 positions in all).
    """
    doubles = [("double", index) for index in range(0, depth, DOUBLE_INTERVAL)]
    singles = [("single", index) for index in range(0, depth_single, SINGLE_INTERVAL)]
    return doubles + singles  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class PulidLayer:
    """One cross-attention layer, float32, in the file's row-major layout.

    `inner` is heads * 128; `hidden` is Flux's width; `id_dim` that of an identity token. The
    matrices are arrays, or stay in their file and are read in parts.
    """

    norm1_weight: NDArray[np.float32]  # (id_dim,)
    norm1_bias: NDArray[np.float32]  # (id_dim,)
    norm2_weight: NDArray[np.float32]  # (hidden,)
    norm2_bias: NDArray[np.float32]  # (hidden,)
    to_q: NDArray[np.float32] | MatrixRows  # (inner, hidden)
    to_kv: NDArray[np.float32] | MatrixRows  # (2 * inner, id_dim), keys first
    to_out: NDArray[np.float32] | MatrixRows  # (hidden, inner)


class PulidWeights:
    """A PuLID-Flux weights file (safetensors, or a gguf of the same tensors).

    Nothing but the header is read until a layer is asked for. A context manager.

    Args:
        path: The file, such as `pulid_flux_v0.9.1.safetensors`.

    Raises:
        ModelFileError: Missing, damaged, another kind of file, or tensors missing or misshaped.

    Attributes:
        n_layers: Number of cross-attention layers, 20 in the published model.
        hidden_size: Width of the Flux model it belongs to, 3072.
        id_dim: Width of an identity token, 2048.
        inner_dim: Width of queries, keys and values, 2048.
        heads: inner_dim / 128, 16.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.file = TensorFile(path)
        try:
            self._read_layout()
        except BaseException:
            self.file.close()
            raise

    def _read_layout(self) -> None:
        file = self.file
        kind = classify(file.header)
        if kind.kind != "pulid-flux":
            hint = (
                "; download pulid_flux_v0.9.1.safetensors"
                if kind.kind.startswith("pulid")
                else "; the weights file is named like pulid_flux_v0.9.1.safetensors"
            )
            raise ModelFileError(
                f"{self.path}: expected PuLID weights for Flux (pulid_ca.*),"
                f" found {kind.words}{hint}"
            )
        numbers = [int(match[1]) for name in file.names() if (match := _LAYER.match(name))]
        self.n_layers = max(numbers, default=0) + 1
        if self.n_layers > MAX_LAYERS:
            raise ModelFileError(
                f"{self.path}: damaged PuLID weights: layer {self.n_layers - 1} is named"
                f" (limit {MAX_LAYERS - 1})"
            )
        self.inner_dim, self.hidden_size = self._matrix("pulid_ca.0.to_q.weight")
        _, self.id_dim = self._matrix("pulid_ca.0.to_kv.weight")
        self.heads, rest = divmod(self.inner_dim, HEAD_DIM)
        if rest or not self.heads:
            raise ModelFileError(
                f"{self.path}: expected the rows of pulid_ca.0.to_q.weight to be a multiple of"
                f" {HEAD_DIM}, found {self.inner_dim}"
            )
        expected = {
            "norm1.weight": (self.id_dim,),
            "norm1.bias": (self.id_dim,),
            "norm2.weight": (self.hidden_size,),
            "norm2.bias": (self.hidden_size,),
            "to_q.weight": (self.inner_dim, self.hidden_size),
            "to_kv.weight": (2 * self.inner_dim, self.id_dim),
            "to_out.weight": (self.hidden_size, self.inner_dim),
        }
        for index in range(self.n_layers):
            for tensor in (*_NORMS, *_MATRICES):
                name = f"pulid_ca.{index}.{tensor}"
                if name not in file:
                    raise ModelFileError(
                        f"{self.path}: incomplete PuLID weights: {name} is missing"
                    )
                if file.shape(name) != expected[tensor]:
                    raise ModelFileError(
                        f"{self.path}: expected {name} of shape {expected[tensor]},"
                        f" found {file.shape(name)}"
                    )

    def _matrix(self, name: str) -> tuple[int, int]:
        if name not in self.file:
            raise ModelFileError(f"{self.path}: incomplete PuLID weights: {name} is missing")
        shape = self.file.shape(name)
        if len(shape) != 2 or 0 in shape:
            raise ModelFileError(f"{self.path}: expected {name} to be a matrix, found {shape}")
        return shape[0], shape[1]

    @property
    def path(self) -> str:
        return self.file.path

    def layer(self, index: int) -> PulidLayer:
        """One layer; its matrices (84 MB as float32 in the published model) stay in the file.

        Raises:
            ValueError: No such layer.
        """
        if not 0 <= index < self.n_layers:
            raise ValueError(f"PuLID layer {index}: there are {self.n_layers}")
        return PulidLayer(
            *(self.tensor(f"pulid_ca.{index}.{name}") for name in _NORMS),
            *(MatrixRows(self.file, f"pulid_ca.{index}.{name}") for name in _MATRICES),
        )

    def layer_tensors(self) -> list[str]:
        """Names of all tensors that the layers consist of, in their order."""
        return [
            f"pulid_ca.{index}.{name}"
            for index in range(self.n_layers)
            for name in (*_NORMS, *_MATRICES)
        ]

    def tensor(self, name: str) -> NDArray[Any]:
        """Read any tensor of the file as float32.

        Raises:
            ModelFileError: No such tensor.
        """
        return self.file.read(name)

    def check_data(self) -> None:
        """Refuse weights of zeros, which give a picture of nobody.

        Raises:
            ModelFileError: A layer's matrix is.
        """
        self.file.check_not_hollow("pulid-flux")

    def check_matches(self, flux: FluxInfo) -> None:
        """Refuse a Flux model that these weights were not made for.

        Raises:
            ModelMismatchError: Depth or width differ; the message names both.
        """
        expected = len(positions(flux.depth, flux.depth_single))
        if self.hidden_size != flux.hidden_size:
            raise ModelMismatchError(
                f"{self.path} is for a Flux model of width {self.hidden_size},"
                f" {flux.path} has width {flux.hidden_size}"
            )
        if self.n_layers != expected:
            raise ModelMismatchError(
                f"{self.path} has {self.n_layers} identity layers, {flux.path} with"
                f" {flux.depth} double and {flux.depth_single} single blocks needs {expected}"
            )

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
