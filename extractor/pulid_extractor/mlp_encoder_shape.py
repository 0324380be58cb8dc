"""The sizes of PuLID v1's encoder for SDXL, read from its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.tensors.torch_checkpoint import StoredTensor

from .eva_shape import N_SCALES
from .weights import shape_of

__all__ = ["WHAT_MLP_ENCODER", "MlpEncoderShape", "mlp_encoder_shape"]

WHAT_MLP_ENCODER = "encoder of PuLID v1 for SDXL"


@dataclass(frozen=True)
class MlpEncoderShape:
    """Sizes of v1's encoder, the published ones in brackets.

    Args:
        id_dim: Width of an identity token (2048).
        n_id_tokens: Tokens made of a photo's embeddings (5).
        embedding_dim: ArcFace and CLIP embedding together (1280 = 512 + 768).
        id_hidden: Width inside the network of the embeddings (1024).
        vit_dim: Width of the vision tower's tokens (1024).
        vit_hidden: Width inside their networks (1024).
    """

    id_dim: int
    n_id_tokens: int
    embedding_dim: int
    id_hidden: int
    vit_dim: int
    vit_hidden: int

    @property
    def n_tokens(self) -> int:
        """Identity tokens of one photo (10)."""
        return self.n_id_tokens + N_SCALES


def mlp_encoder_shape(tensors: Mapping[str, StoredTensor], file: Path) -> MlpEncoderShape:
    """Read them from the tensors, named as published, without the prefix.

    Raises:
        ModelFileError: They are not such an encoder's.
    """
    dims = partial(shape_of, tensors, file, WHAT_MLP_ENCODER)
    id_dim = dims("mapping_0.6.weight", 2)[0]
    rows = dims("body.6.weight", 2)[0]
    if not id_dim or rows % id_dim or not rows:
        raise ModelFileError(
            f"{file}: expected the {WHAT_MLP_ENCODER} with whole tokens of {id_dim} numbers, found "
            f"{rows} rows in body.6.weight"
        )
    return MlpEncoderShape(
        id_dim=id_dim,
        n_id_tokens=rows // id_dim,
        embedding_dim=dims("body.0.weight", 2)[1],
        id_hidden=dims("body.0.weight", 2)[0],
        vit_dim=dims("mapping_0.0.weight", 2)[1],
        vit_hidden=dims("mapping_0.0.weight", 2)[0],
    )
