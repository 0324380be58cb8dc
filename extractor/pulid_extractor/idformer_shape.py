"""The sizes of PuLID's IDFormer, read from its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.tensors.torch_checkpoint import StoredTensor

from .eva_shape import N_SCALES
from .weights import shape_of

__all__ = ["HEAD_DIM", "WHAT_IDFORMER", "IdFormerShape", "idformer_shape"]

HEAD_DIM = 64
"""Width of an attention head; heads = rows of `to_q` / 64 (16 in the published weights)."""
WHAT_IDFORMER = "IDFormer of PuLID"


@dataclass(frozen=True)
class IdFormerShape:
    """Sizes of an IDFormer, the published ones in brackets.

    Args:
        dim: Width of a latent (1024).
        inner: Width of queries, keys and values together (1024).
        ff_dim: Inner width of the feed-forward layers (4096).
        n_layers: Layers in all, a multiple of five (10).
        n_queries: Identity tokens that come out (32).
        id_dim: Width of an identity token (2048).
        n_id_tokens: Tokens made from one photo's embeddings (5).
        embedding_dim: ArcFace and CLIP embedding together (1280 = 512 + 768).
        id_hidden: Width inside the mapping of the embeddings (1024).
        vit_dim: Width of the vision tower's tokens (1024).
        vit_hidden: Width inside their mappings (1024).
    """

    dim: int
    inner: int
    ff_dim: int
    n_layers: int
    n_queries: int
    id_dim: int
    n_id_tokens: int
    embedding_dim: int
    id_hidden: int
    vit_dim: int
    vit_hidden: int


def idformer_shape(tensors: Mapping[str, StoredTensor], file: Path) -> IdFormerShape:
    """Read them from the tensors, named as published, without the prefix.

    Raises:
        ModelFileError: They are not such an encoder's.
    """
    dims = partial(shape_of, tensors, file, WHAT_IDFORMER)
    _, n_queries, dim = dims("latents", 3)
    id_rows = dims("id_embedding_mapping.6.weight", 2)[0]
    n_layers = 0
    while f"layers.{n_layers}.0.to_q.weight" in tensors:
        n_layers += 1
    shape = IdFormerShape(
        dim=dim,
        inner=dims("layers.0.0.to_q.weight", 2)[0],
        ff_dim=dims("layers.0.1.1.weight", 2)[0],
        n_layers=n_layers,
        n_queries=n_queries,
        id_dim=dims("proj_out", 2)[1],
        n_id_tokens=id_rows // dim,
        embedding_dim=dims("id_embedding_mapping.0.weight", 2)[1],
        id_hidden=dims("id_embedding_mapping.0.weight", 2)[0],
        vit_dim=dims("mapping_0.0.weight", 2)[1],
        vit_hidden=dims("mapping_0.0.weight", 2)[0],
    )
    if n_layers == 0 or n_layers % N_SCALES:
        raise ModelFileError(
            f"{file}: expected the {WHAT_IDFORMER} with a multiple of {N_SCALES} layers, found "
            f"{n_layers}"
        )
    if shape.inner % HEAD_DIM:
        raise ModelFileError(
            f"{file}: expected the {WHAT_IDFORMER} with heads of {HEAD_DIM}, found queries of "
            f"{shape.inner} in all"
        )
    return shape
