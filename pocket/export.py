"""Writing trained networks as the files that generation reads, under their published names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pulid_sdcpp.tensors.gguf_writer import write_gguf
from pulid_sdcpp.tensors.safetensors_writer import write_safetensors
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

from .autoencoder import Decoder, tae_tensors
from .flux import TEXT_DIM, Flux
from .patches import PatchPca

__all__ = ["DESCRIPTION", "write_autoencoder", "write_flux", "write_pulid"]

DESCRIPTION = "pocket model: trained on drawn portraits"
KEPT_IN_F16 = ("img_in.", "txt_in.", "time_in.", "vector_in.", "final_layer.")
"""Not quantized, as in published files."""
MINOR = ("_mod.lin.", "modulation.lin.", "txt_attn.", "txt_mlp.")


def write_flux(
    path: Path, flux: Flux, quantization: str, minor_quantization: str | None = None
) -> None:
    """A gguf file of everything but the identity's cross-attention.

    Args:
        quantization: Of the blocks' matrices: "f16", "q8_0" or "q4_0".
        minor_quantization: Of those that matter least, the modulations and the stream of the one
            text token; not given: the same.
    """
    tensors = {
        name: value for name, value in _arrays(flux.state_dict()).items() if "pulid_ca" not in name
    }
    bias = tensors.pop("txt_in_bias")
    tensors["txt_in.bias"] = bias
    tensors["txt_in.weight"] = np.zeros((len(bias), TEXT_DIM), np.float32)
    minor = quantization if minor_quantization is None else minor_quantization
    specs = []
    for name, values in sorted(tensors.items()):
        kept = name.startswith(KEPT_IN_F16)
        blocks = minor if any(part in name for part in MINOR) else quantization
        dtype = "f32" if values.ndim == 1 else "f16" if kept else blocks
        specs.append(_spec(name, values, dtype))
    metadata: dict[str, str | int] = {
        "general.architecture": "flux",
        "general.description": DESCRIPTION,
        "general.quantization_version": 2,
    }
    write_gguf(path, specs, metadata)


def write_pulid(path: Path, flux: Flux, idformer: Mapping[str, torch.Tensor]) -> None:
    """PuLID's file: the cross-attention and the IDFormer (`pulid_encoder.*`), in bfloat16."""
    attention = {
        name: value for name, value in flux.state_dict().items() if name.startswith("pulid_ca.")
    }
    arrays = _arrays({**attention, **idformer})
    specs = [_spec(name, values, "bf16") for name, values in arrays.items()]
    write_safetensors(path, specs, {"description": DESCRIPTION})


def write_autoencoder(path: Path, pca: PatchPca, decoder: Decoder) -> None:
    """A TAEF1 file: matrices in float16, biases in float32."""
    specs = [
        _spec(name, values, "f16" if values.ndim > 1 else "f32")
        for name, values in tae_tensors(pca, decoder).items()
    ]
    write_safetensors(path, specs, {"description": DESCRIPTION})


def _arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: value.detach().float().cpu().numpy() for name, value in tensors.items()}


def _spec(name: str, values: np.ndarray, dtype: str) -> TensorSpec:
    return TensorSpec(name, values.shape, dtype, partial(np.ascontiguousarray, values, np.float32))
