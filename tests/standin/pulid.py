"""PuLID weights that fit a small Flux: the tensors of pulid_flux_v0.9.1.safetensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np

from pulid_sdcpp.families.flux.pulid_weights import HEAD_DIM, positions
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

from .flux import FluxShape
from .random_values import normal

__all__ = ["ID_DIM", "pulid_tensors"]

HEADS = 2
"""The real weights have 16; the number is read from the shapes."""
ID_DIM = 2048
"""Width of the real identity tokens, so that files for the real model fit the small one."""


def pulid_tensors(
    shape: FluxShape,
    seed: int,
    idformer_tensors: Mapping[str, np.ndarray] | None = None,
    heads: int = HEADS,
) -> list[TensorSpec]:
    """The tensors of a PuLID file, all bf16.

    Args:
        idformer_tensors: The `pulid_encoder.*` tensors, float32 by full name; they decide the
            width of the identity tokens. Without them the file has the attention layers only.
        heads: Attention heads of each layer; the published weights have 16.

    Raises:
        ValueError: A name in `idformer_tensors` does not belong to the encoder.
    """
    encoder = dict(idformer_tensors or {})
    strays = [name for name in encoder if not name.startswith("pulid_encoder.")]
    if strays:
        raise ValueError(f"not a tensor of the identity encoder: {strays[0]!r}")
    id_dim = int(encoder["pulid_encoder.proj_out"].shape[1]) if encoder else ID_DIM
    specs = [
        TensorSpec(name, values.shape, "bf16", partial(np.asarray, values, np.float32))
        for name, values in encoder.items()
    ]
    for layer in range(len(positions(shape.depth, shape.depth_single))):
        specs += _layer(f"pulid_ca.{layer}", shape.hidden, id_dim, heads, seed)
    return specs


def _layer(prefix: str, hidden: int, id_dim: int, heads: int, seed: int) -> list[TensorSpec]:
    inner = heads * HEAD_DIM
    sizes: dict[str, tuple[tuple[int, ...], float, float]] = {
        "norm1.weight": ((id_dim,), 0.1, 1.0),
        "norm1.bias": ((id_dim,), 0.1, 0.0),
        "norm2.weight": ((hidden,), 0.1, 1.0),
        "norm2.bias": ((hidden,), 0.1, 0.0),
        "to_q.weight": ((inner, hidden), 1.5 / math.sqrt(hidden), 0.0),
        "to_kv.weight": ((2 * inner, id_dim), 1 / math.sqrt(id_dim), 0.0),
        # Averaging the values of many tokens shrinks them; this makes up for it, so that
        # an identity of weight 1 changes the picture plainly.
        "to_out.weight": ((hidden, inner), 2 / math.sqrt(inner), 0.0),
    }
    return [
        TensorSpec(name, size, "bf16", partial(normal, seed, name, size, deviation, mean))
        for name, (size, deviation, mean) in (
            (f"{prefix}.{part}", values) for part, values in sizes.items()
        )
    ]
