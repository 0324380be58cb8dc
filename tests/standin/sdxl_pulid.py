"""PuLID weights that fit a small SDXL UNet: the tensors of pulid_v1 and pulid_v1.1.

Source of names: ToTheBeginning/PuLID, pulid/encoders.py (IDEncoder), encoders_transformer.py
(IDFormer), attention_processor.py; the renamed form: huchenlei/ipadapter_pulid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pulid_sdcpp.tensors.tensor_spec import TensorSpec

from .extractor.networks import ARCFACE_DIM, CLIP_DIM, VIT_WIDTH, idformer_tensors
from .random_values import normal
from .unet import UnetShape, attention_modules

__all__ = [
    "SDXL_ID_DIM",
    "mlp_encoder_tensors",
    "renamed",
    "sdxl_idformer_tensors",
    "sdxl_pulid_tensors",
]

SDXL_ID_DIM = 64
"""Width of the stand-in's identity tokens (published: 2048)."""
ENCODER_HIDDEN = 32
"""Width inside the stand-in's MLP encoder (published: 1024)."""
N_DEPTHS = 5
"""Depths of the vision tower that are looked at, and ArcFace tokens of v1."""
_LAYERS = "id_adapter_attn_layers"

Array = NDArray[np.float32]


def sdxl_pulid_tensors(
    shape: UnetShape,
    seed: int,
    encoder: Mapping[str, Array] | None = None,
    *,
    id_dim: int = SDXL_ID_DIM,
    dtype: str = "f16",
) -> list[TensorSpec]:
    """The tensors of a PuLID file for SDXL, by their original names.

    Args:
        encoder: The `id_adapter.*` tensors, float32, as `mlp_encoder_tensors` (v1) and
            `sdxl_idformer_tensors` (v1.1) make them. None: the adapter's layers only.
        id_dim: Width of the identity tokens.
        dtype: "f32", as published of v1, or "f16", as of v1.1 and of renamed files.
    """
    specs = [
        TensorSpec(name, values.shape, dtype, partial(np.asarray, values, np.float32))
        for name, values in (encoder or {}).items()
    ]
    for index, _, width in attention_modules(shape):
        # Keys are short: ortho_v2 takes their products with queries eight times as large as
        # attention does, and the zero tokens are to count there too. An average over many
        # tokens is small; the values' gain makes up for it.
        for part, gain in (("id_to_k", 0.25), ("id_to_v", 4.0)):
            name = f"{_LAYERS}.{index}.{part}.weight"
            size = (width, id_dim)
            make = partial(normal, seed, name, size, gain / math.sqrt(id_dim))
            specs.append(TensorSpec(name, size, dtype, make))
    return specs


def mlp_encoder_tensors(
    seed: int = 0,
    *,
    id_dim: int = SDXL_ID_DIM,
    hidden: int = ENCODER_HIDDEN,
    vit_dim: int = VIT_WIDTH,
    clip_dim: int = CLIP_DIM,
) -> dict[str, Array]:
    """v1's encoder, the 110 tensors `id_adapter.*` of the published file, float32.

    Args:
        id_dim: Width of an identity token (published: 2048).
        hidden: Width inside (published: 1024).
        vit_dim: Width of the vision tower (published: 1024).
        clip_dim: Width of its CLIP embedding (published: 768).
    """
    sizes = {"body": (ARCFACE_DIM + clip_dim, N_DEPTHS * id_dim)}
    for depth in range(N_DEPTHS):
        sizes[f"mapping_{depth}"] = sizes[f"mapping_patch_{depth}"] = (vit_dim, id_dim)
    tensors: dict[str, Array] = {}
    for name, (inside, outside) in sizes.items():
        for part, rows, columns in (
            ("0", hidden, inside),
            ("3", hidden, hidden),
            ("6", outside, hidden),
        ):
            full = f"id_adapter.{name}.{part}"
            size = (rows, columns)
            tensors[f"{full}.weight"] = normal(seed, full, size, 1 / math.sqrt(columns))
            tensors[f"{full}.bias"] = normal(seed, f"{full}.bias", (rows,), 0.1)
        for part in ("1", "4"):
            full = f"id_adapter.{name}.{part}"
            tensors[f"{full}.weight"] = normal(seed, full, (hidden,), 0.1, 1.0)
            tensors[f"{full}.bias"] = normal(seed, f"{full}.bias", (hidden,), 0.1)
    return tensors


def sdxl_idformer_tensors(seed: int = 0, *, id_dim: int = SDXL_ID_DIM) -> dict[str, Array]:
    """v1.1's encoder, `id_adapter.*`: Flux's IDFormer under another prefix, float32."""
    return idformer_tensors(seed, id_dim=id_dim, prefix="id_adapter.")


def renamed(specs: list[TensorSpec]) -> list[TensorSpec]:
    """The same tensors by the names that ComfyUI's and Forge's files give them."""
    names = {
        f"{_LAYERS}.": "ip_adapter.",
        "id_adapter.": "image_proj.",
        "id_to_k": "to_k_ip",
        "id_to_v": "to_v_ip",
    }
    made = []
    for spec in specs:
        name = spec.name
        for old, new in names.items():
            name = name.replace(old, new, 1)
        made.append(TensorSpec(name, spec.shape, spec.dtype, spec.values))
    return made
