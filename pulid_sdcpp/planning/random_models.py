"""Files of random weights in the layout of published models, to measure how fast they compute.

They are of real width and have few blocks. Pictures made with them are noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ..families.flux.layout import FluxInfo, flux_shapes, published_flux
from ..families.flux.pulid_weights import positions
from ..identity.identity_file import ID_TOKENS, Identity
from ..model_files.autoencoder_shapes import autoencoder_shapes
from ..model_files.published_layout import PULID_TOKEN_WIDTH, is_outside_blocks, pulid_shapes
from ..tensors.gguf_writer import write_gguf
from ..tensors.random_blocks import TYPES, random_matrix
from ..tensors.random_values import normal
from ..tensors.safetensors_writer import write_safetensors
from ..tensors.tensor_spec import TensorSpec

__all__ = [
    "random_identity",
    "random_type",
    "small_flux",
    "write_random_autoencoder",
    "write_random_flux",
    "write_random_pulid",
]

SEED = 0


def small_flux(depth: int, depth_single: int, hidden: int = 3072) -> FluxInfo:
    """A FLUX.1 schnell with fewer blocks, and perhaps of another width, a multiple of 256."""
    whole = published_flux(guidance_embed=False)
    return replace(whole, depth=depth, depth_single=depth_single, hidden_size=hidden)


def random_type(dtype: str) -> str:
    """The type to make random weights in, so that they are computed as those of `dtype` are.

    The engine keeps 8-bit floats as F16.
    """
    if dtype in TYPES:
        return dtype
    return {"f8_e4m3": "f16", "f8_e5m2": "f16", "iq4_nl": "q4_0", "iq4_xs": "q4_k"}.get(
        dtype, "f16"
    )


def write_random_flux(path: Path, flux: FluxInfo, dtype: str) -> None:
    """Write a Flux with the blocks' matrices in `dtype`.

    Args:
        path: A gguf file.
        dtype: One of `random_blocks.TYPES`.

    Raises:
        OutputFileError: The file cannot be written.
    """
    specs = []
    for name, shape in flux_shapes(flux):
        if len(shape) == 1:
            specs.append(_vector(name, shape))
        else:
            stored = "f16" if is_outside_blocks(name) else dtype
            specs.append(_matrix(name, shape, stored))
    write_gguf(path, specs, {"general.architecture": "flux", "general.quantization_version": 2})


def write_random_pulid(path: Path, flux: FluxInfo) -> None:
    """Write PuLID's identity layers for a Flux.

    Raises:
        OutputFileError: The file cannot be written.
    """
    layers = len(positions(flux.depth, flux.depth_single))
    write_safetensors(path, list(_specs(pulid_shapes(layers, flux.hidden_size), "bf16")))


def write_random_autoencoder(path: Path) -> None:
    """Write the decoder of Flux's autoencoder.

    Raises:
        OutputFileError: The file cannot be written.
    """
    write_safetensors(path, list(_specs(autoencoder_shapes(decoder_only=True), "f16")))


def random_identity() -> Identity:
    """An identity of nobody."""
    return Identity.from_array(normal(SEED, "identity", (ID_TOKENS, PULID_TOKEN_WIDTH)))


def _specs(shapes: Iterable[tuple[str, tuple[int, ...]]], dtype: str) -> Iterator[TensorSpec]:
    for name, shape in shapes:
        if len(shape) == 1:
            is_bf16 = dtype == "bf16"
            yield replace(_vector(name, shape), dtype="bf16") if is_bf16 else _vector(name, shape)
        else:
            yield _matrix(name, shape, dtype)


def _matrix(name: str, shape: tuple[int, ...], dtype: str) -> TensorSpec:
    """Results have the size of what is multiplied."""
    deviation = 1 / math.sqrt(math.prod(shape[1:]))
    return TensorSpec(
        name, shape, dtype, partial(random_matrix, dtype, SEED, name, shape, deviation)
    )


def _vector(name: str, shape: tuple[int, ...]) -> TensorSpec:
    make = np.zeros if name.endswith("bias") else np.ones
    return TensorSpec(name, shape, "f32", partial(make, shape, np.float32))
