"""Writing the pocket SDXL's own file, see `pulid_sdcpp.pocket.sdxl_expansion`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch

from pulid_sdcpp.pocket.sdxl_expansion import LAYOUT
from pulid_sdcpp.tensors.gguf_writer import write_gguf
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

from .export import DESCRIPTION
from .sdxl_decoder import FirstLayers
from .sdxl_unet import Unet

__all__ = ["FILE", "write_sdxl"]

FILE = "sdxl.gguf"
QUANTIZATION, ROW = "q8_0", 32
"""Of all matrices whose rows are whole blocks of it, convolutions too."""
_ADAPTER = ("id_to_k", "id_to_v")


def write_sdxl(path: Path, unet: Unet, decoder: FirstLayers) -> None:
    """Write the pack's `sdxl.gguf`."""
    named = {f"taesd.{name}": value for name, value in decoder.named_as_in_the_file().items()}
    for name, value in unet.state_dict().items():
        part, _, number = name.partition(".")
        if part in _ADAPTER:
            named[f"adapter.{2 * int(number) + 1}.{part}.weight"] = value
        else:
            renamed = "label_emb.0.2.bias" if name == "label" else name
            named[f"unet.{renamed}"] = value
    specs = [_spec(name, value) for name, value in sorted(named.items())]
    metadata: dict[str, str | int] = {
        "general.architecture": "pocket-sdxl",
        "general.description": DESCRIPTION,
        "general.quantization_version": 2,
        "pocket.layout": LAYOUT,
    }
    write_gguf(path, specs, metadata)


def _spec(name: str, value: torch.Tensor) -> TensorSpec:
    values = value.detach().float().numpy()
    if values.ndim == 1:
        return TensorSpec(name, values.shape, "f32", partial(np.ascontiguousarray, values))
    flat = values.reshape(len(values), -1)
    quantized = flat.shape[1] % ROW == 0 and not name.startswith("taesd.")
    dtype = QUANTIZATION if quantized else "f16"
    return TensorSpec(name, flat.shape, dtype, partial(np.ascontiguousarray, flat))
