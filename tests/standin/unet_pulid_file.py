"""A few identity layers for a UNet in a file, and the least that folding asks of such weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from pulid_sdcpp.families.flux.pulid_weights import MatrixRows
from pulid_sdcpp.tensors.safetensors_writer import write_safetensors
from pulid_sdcpp.tensors.tensor_file import TensorFile
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

from .random_values import normal

__all__ = ["FewUnetLayers", "write_few_unet_layers"]

WIDTHS = {1: 128, 3: 128, 5: 64}


class FewUnetLayers:
    """The least of PuLID weights for SDXL; attributes as those of `UnetIdentityWeights`."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.file = TensorFile(path)
        names = [name for name in self.file.names() if name.endswith(".id_to_k.weight")]
        self.widths = {int(name.split(".")[1]): self.file.shape(name)[0] for name in names}
        self.id_dim = self.file.shape(names[0])[1]

    def rows(self, index: int) -> tuple[MatrixRows, MatrixRows]:
        id_to_k, id_to_v = _names(index)
        return MatrixRows(self.file, id_to_k), MatrixRows(self.file, id_to_v)

    def layer_tensors(self) -> list[str]:
        return [name for index in sorted(self.widths) for name in _names(index)]


def write_few_unet_layers(
    path: Path,
    *,
    widths: Mapping[int, int] = WIDTHS,
    id_dim: int = 64,
    dtype: str = "f16",
    seed: int = 0,
    replaced: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """A file of PuLID's identity layers for a UNet, without an encoder.

    Args:
        widths: Of each layer by its index.
        replaced: Values of some tensors, by name.
    """
    replaced = replaced or {}
    specs = []
    for index, width in widths.items():
        for name in _names(index):
            shape = (width, id_dim)
            values = partial(normal, seed, name, shape, id_dim**-0.5)
            if name in replaced:
                values = partial(np.asarray, replaced[name], np.float32)
            specs.append(TensorSpec(name, shape, dtype, values))
    write_safetensors(path, specs)
    return path


def _names(index: int) -> tuple[str, str]:
    prefix = f"id_adapter_attn_layers.{index}"
    return f"{prefix}.id_to_k.weight", f"{prefix}.id_to_v.weight"
