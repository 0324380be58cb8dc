"""PuLID's identity layers for a UNet in a file, as few and as small as a test likes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from pulid_sdcpp.tensors.safetensors_writer import write_safetensors
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

from .random_values import normal

__all__ = ["write_few_unet_layers"]

WIDTHS = {1: 128, 3: 128, 5: 64}


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
